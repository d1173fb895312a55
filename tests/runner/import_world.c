/*
 * Runs imports in a temporary folder and looks at the store afterwards. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/golden.h"
#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

void world_init(struct world *w, const char *golden)
{
	*w = (struct world){ .root = folder_temporary(), .cancel_after = -1, .statuses = strdup("") };
	w->model = strdup(folder_path(w->root, "model"));
	w->store = strdup(folder_path(w->root, "store"));
	folder_copy(golden_path("models/%s", golden), w->model);
}

void world_finish(struct world *w)
{
	folder_remove(w->root);
	free(w->root);
	free(w->model);
	free(w->store);
	free(w->statuses);
}

static bool cancelled(void *context)
{
	struct world *w = context;

	return w->cancel_after >= 0 && w->cancel_after-- == 0;
}

static void status(void *context, const struct msg_status *s)
{
	struct world *w = context;
	char *more;

	assert_true(s->completed <= s->total);
	assert_true(asprintf(&more, "%s%s\n", w->statuses, s->status) >= 0);
	free(w->statuses);
	w->statuses = more;
}

int world_import(struct world *w, struct msg_import request, struct import_result *ret,
		 struct err *err)
{
	const struct import_hooks hooks = { .context = w, .cancelled = cancelled, .status = status };
	char name[] = "m";

	request.root = w->store;
	if (!request.model)
		request.model = name;
	if (!request.from)
		request.directory = w->model;
	return import_run(&request, &hooks, ret, err);
}

void world_must_import(struct world *w, struct msg_import request, struct import_result *ret)
{
	struct err err;

	if (world_import(w, request, ret, &err) < 0)
		fail_msg("%s", err.text);
}

struct manifest *world_manifest(struct world *w, const char *name)
{
	struct model_name parsed;
	struct manifest *m;
	struct store *s;

	assert_int_equal(name_parse(name, &parsed, NULL), 0);
	assert_int_equal(store_open(w->store, &s, NULL), 0);
	assert_int_equal(store_read(s, &parsed, &m, NULL), 0);
	store_close(s);
	return m;
}

char *world_blob(struct world *w, const struct layer *layer)
{
	struct store *s;
	size_t len;
	char *text;

	assert_non_null(layer);
	assert_int_equal(store_open(w->store, &s, NULL), 0);
	assert_int_equal(store_blob_read(s, layer->digest, 1 << 20, &text, &len, NULL), 0);
	store_close(s);
	return text;
}
