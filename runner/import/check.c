/*
 * What must hold before the first byte of an import is written. Reads headers and
 * configs of the plan, writes nothing. Runs on the importer's one thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/limits.h"
#include "common/timefmt.h"
#include "runner/family.h"
#include "runner/import/check.h"

static int offer(struct weights *w, const struct plan_tensor *t, struct err *err)
{
	struct weights_source source = {
		.name = t->name, .dtype = t->dtype, .rank = t->rank, .quant = t->quant,
		.array.bytes = t->parts[0].bytes,
	};

	memcpy(source.shape, t->shape, sizeof source.shape);
	for (unsigned i = 1; i < t->n_parts; i++)
		*(strcmp(t->parts[i].suffix, ".bias") ? &source.scale : &source.bias) =
			(struct weights_array){ .bytes = t->parts[i].bytes };
	return weights_offer(w, &source, err);
}

static int offer_all(const struct plan *p, struct weights *w, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < p->n_tensors && r == 0; i++)
		r = offer(w, &p->tensors[i], err);
	return r;
}

/* Room for the configs and texts beside the tensors. */
static int check_count(const struct plan *p, struct err *err)
{
	const size_t n = p->n_tensors + p->n_texts + p->n_licenses + 16;

	if (n > LIMIT_LAYERS)
		return err_set(err, -EINVAL, "the folder makes %zu layers, at most %u are allowed",
			       n, LIMIT_LAYERS);
	return 0;
}

int check_model(struct plan *p, struct err *err)
{
	const struct family_configs configs = {
		.model_index = p->model_index,
		.transformer = plan_json(p, "transformer/config.json"),
		.text_encoder = plan_json(p, "text_encoder/config.json"),
		.vae = plan_json(p, "vae/config.json"),
		.scheduler = plan_json(p, "scheduler/scheduler_config.json"),
		.step_cache = plan_json(p, "transformer/step_cache.json"),
		.latent_rgb = plan_json(p, "vae/latent_rgb.json"),
	};
	struct weights *w = weights_create();
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	r = check_count(p, err);
	if (r == 0)
		r = offer_all(p, w, err);
	if (r == 0)
		r = family_check(&configs, w, &p->edits, err);
	weights_close(NULL, &w);
	return r;
}

static int free_space(const char *path, uint64_t *ret, struct err *err)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return err_errno(err, errno, "cannot tell the free space of %s", path);
	*ret = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

int check_space(const struct plan *p, const struct store *s, struct err *err)
{
	char path[PATH_MAX], needed[32], available[32];
	uint64_t bytes = plan_bytes(p), free_bytes = 0;
	int r;

	snprintf(path, sizeof path, "%s/blobs", store_root(s));
	r = free_space(path, &free_bytes, err);
	if (r == 0 && bytes > free_bytes) {
		store_free_partials(s, NULL, NULL);
		r = free_space(path, &free_bytes, err);
	}
	if (r < 0 || bytes <= free_bytes)
		return r;
	human_bytes(bytes, needed, sizeof needed);
	human_bytes(free_bytes, available, sizeof available);
	return err_set(err, -ENOSPC, "not enough disk space in %s: needs %s (%" PRIu64 " bytes), "
		       "%s (%" PRIu64 " bytes) are free", path, needed, bytes, available, free_bytes);
}
