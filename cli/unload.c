/*
 * Unloading by HTTP: look the model up, then ask for it with a keep-alive of zero.
 * What easel stop and easel rm share.
 */
#include "cli/progress.h"
#include "cli/unload.h"
#include "common/fields.h"

static int ignore_line(void *ctx, const json_t *line, struct err *err)
{
	(void)ctx;
	(void)line;
	(void)err;
	return 0;
}

static int ask(struct client *c, const char *name, struct err *err)
{
	json_t *show = json_pack("{s:o}", "model", text_json(name));
	json_t *stop = json_pack("{s:o, s:s}", "model", text_json(name), "keep_alive", "0s");
	int r = client_call(c, "POST", "/api/show", show, NULL, err);

	if (r == 0)
		r = client_stream(c, "/api/generate", stop, ignore_line, NULL, err);
	json_decref(show);
	json_decref(stop);
	return r;
}

int unload_model(struct client *c, const char *name, bool quiet, struct err *err)
{
	struct progress progress = { 0 };
	int r;

	if (!quiet)
		progress_open(&progress, true);
	r = client_watch(c, &progress, err);
	if (r == 0) {
		progress_spin(&progress, "");
		r = ask(c, name, err);
	}
	c->progress = NULL;
	progress_close(&progress, false);
	return r;
}
