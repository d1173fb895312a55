/*
 * Entry to the importer: checks the request, then makes the model from a folder, from
 * uploaded files or from another model. Runs on the importer's one thread.
 */
#include <errno.h>

#include "runner/import/derive.h"
#include "runner/import/folder.h"
#include "runner/import/import.h"
#include "runner/import/options.h"
#include "runner/import/verify.h"

static bool is_given(const char *text)
{
	return text && *text;
}

int import_run(const struct msg_import *request, const struct import_hooks *hooks,
	       struct import_result *ret, struct err *err)
{
	struct options options;
	int r;

	if (request->verify)
		return verify_run(request, hooks, ret, err);
	r = options_read(request, &options, err);

	if (r < 0)
		return r;
	if (is_given(request->directory) || json_object_size(request->files))
		r = folder_import(request, &options, hooks, ret, err);
	else if (is_given(request->from))
		r = derive_import(request, &options, hooks, ret, err);
	else
		r = err_set(err, -EINVAL, "neither 'from' or 'files' was specified");
	options_finish(&options);
	return r;
}
