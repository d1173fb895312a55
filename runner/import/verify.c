/*
 * Whether a model's blobs are what their names say. Writes nothing. Runs on the importer's
 * one thread and blocks on the disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store.h"
#include "common/timefmt.h"
#include "runner/import/verify.h"

#define STATUS_NS 100000000             /* at most ten lines a second */

struct verification {
	const struct import_hooks *hooks;
	struct store *store;
	char short_name[NAME_TEXT_SIZE];
	uint64_t completed, total;
	int64_t shown_ns;
	size_t n, n_bad;
	char bad[256];                  /* the first */
};

static void show(struct verification *v, const char *text, bool always)
{
	const int64_t now = time_monotonic_ns();
	char line[NAME_TEXT_SIZE + 32];

	if (!v->hooks->status || (!always && now - v->shown_ns < STATUS_NS))
		return;
	v->shown_ns = now;
	snprintf(line, sizeof line, "verifying %s", v->short_name);
	v->hooks->status(v->hooks->context, &(struct msg_status){
		.status = text ? (char *)(uintptr_t)text : line, .completed = text ? 0 : v->completed,
		.total = text ? 0 : v->total,
	});
}

static void found_bad(struct verification *v, const struct layer *layer, const char *what)
{
	char text[512];

	snprintf(text, sizeof text, "%s of %s is %s", layer->digest, layer->name ? layer->name : layer->media_type, what);
	show(v, text, true);
	if (v->n_bad++ == 0)
		snprintf(v->bad, sizeof v->bad, "blob %.72s (%.100s) is %s", layer->digest,
			 layer->name ? layer->name : layer->media_type, what);
}

static bool go_on(void *context, size_t bytes)
{
	struct verification *v = context;

	v->completed += bytes;
	show(v, NULL, false);
	return !v->hooks->cancelled || !v->hooks->cancelled(v->hooks->context);
}

static int verify_blob(struct verification *v, const struct layer *layer, struct err *err)
{
	const uint64_t before = v->completed;
	const int r = store_blob_check(v->store, layer->digest, go_on, v, err);

	v->n++;
	v->completed = before + layer->size;
	switch (r) {
	case 0:
		return 0;
	case -ECANCELED:
		return err_set(err, r, "the verification was cancelled");
	case -ENOMEM:
		return r;
	case -ENOENT:
		found_bad(v, layer, "missing");
		return 0;
	case -EBADMSG:
		found_bad(v, layer, "damaged");
		return 0;
	default:
		found_bad(v, layer, "unreadable");
		return 0;
	}
}

static int by_digest(const void *a, const void *b)
{
	return strcmp((*(const struct layer *const *)a)->digest, (*(const struct layer *const *)b)->digest);
}

/* Each blob once. */
static int verify_all(struct verification *v, const struct manifest *m, struct err *err)
{
	const struct layer **list = calloc(m->n_layers + 1, sizeof *list);
	size_t n = 0;
	int r = 0;

	if (!list)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n_layers; i++)
		list[n++] = &m->layers[i];
	if (m->config.digest[0])
		list[n++] = &m->config;
	qsort(list, n, sizeof *list, by_digest);
	for (size_t i = 0; i < n; i++)
		v->total += i && !by_digest(&list[i - 1], &list[i]) ? 0 : list[i]->size;
	for (size_t i = 0; i < n && r == 0; i++)
		if (i == 0 || by_digest(&list[i - 1], &list[i]))
			r = verify_blob(v, list[i], err);
	free(list);
	return r;
}

static int verify_model(struct verification *v, const char *text, struct import_result *ret, struct err *err)
{
	struct manifest *m;
	struct model_name name;
	int r = name_parse(text, &name, err);

	if (r == 0)
		r = store_resolve(v->store, &name, &name, err);
	if (r == 0)
		r = store_read(v->store, &name, &m, err);
	if (r < 0)
		return r;
	name_short(&name, v->short_name);
	memcpy(ret->digest, m->digest, sizeof ret->digest);
	r = verify_all(v, m, err);
	ret->layers = v->n;
	manifest_free(m);
	if (r == 0 && v->n_bad)
		r = err_set(err, -EBADMSG, "%zu of the %zu blobs of model '%.200s' cannot be used: %s; \"easel pull %.200s\" "
			    "fetches such blobs again, a model of your own must be created again", v->n_bad, v->n,
			    v->short_name, v->bad, v->short_name);
	return r;
}

int verify_run(const struct msg_import *request, const struct import_hooks *hooks, struct import_result *ret,
	       struct err *err)
{
	struct verification v = { .hooks = hooks };
	int r = store_open(request->root, &v.store, err);

	if (r == 0) {
		store_hold(v.store);
		r = verify_model(&v, request->model, ret, err);
		store_close(v.store);
	}
	return r;
}
