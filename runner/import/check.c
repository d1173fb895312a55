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
#include "common/text.h"
#include "common/timefmt.h"
#include "runner/family.h"
#include "runner/import/check.h"

/* By tensors, not by what a config claims. */
static bool is_quantized(const struct st_tensor *t)
{
	bool weight = text_ends_with(t->name, ".weight");

	return text_ends_with(t->name, ".scales") || text_ends_with(t->name, ".weight_packed") ||
	       (weight && (t->dtype == DTYPE_U8 || t->dtype == DTYPE_U32 || t->dtype == DTYPE_I8 ||
			   t->dtype == DTYPE_F8_E4M3));
}

static int check_float(const struct plan_file *f, const struct st_tensor *t, struct err *err)
{
	if (t->dtype == DTYPE_F8_E5M2)
		return err_set(err, -EINVAL, "unsupported fp8 source: tensor %s is F8_E5M2; only F8_E4M3 "
			       "block-FP8 sources are supported", t->name);
	if (is_quantized(t))
		return err_set(err, -EINVAL, "%s is quantized already (tensor %s is %s): only bf16, fp16 "
			       "and fp32 sources can be imported", f->name, t->name, dtype_name(t->dtype));
	return 0;
}

static int offer(struct weights *w, const struct plan_file *f, const struct st_tensor *t,
		 struct err *err)
{
	char name[1024];
	struct weights_source source = {
		.name = name, .dtype = t->dtype, .rank = t->rank,
		.array.bytes = t->end - t->begin, .origin = f->name,
	};

	if (snprintf(name, sizeof name, "%s/%s", f->component, t->name) >= (int)sizeof name)
		return err_set(err, -EINVAL, "%s: the name of tensor %.100s... is too long", f->name, t->name);
	memcpy(source.shape, t->shape, sizeof source.shape);
	return weights_offer(w, &source, err);
}

static int offer_all(const struct plan *p, struct weights *w, struct err *err)
{
	for (size_t i = 0; i < p->n_files; i++) {
		const struct plan_file *f = &p->files[i];

		for (size_t t = 0; t < f->st.n_tensors; t++) {
			int r = check_float(f, &f->st.tensors[t], err);

			if (r == 0)
				r = offer(w, f, &f->st.tensors[t], err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Room for the configs and texts beside the tensors. */
static int check_count(const struct plan *p, struct err *err)
{
	size_t n = p->n_texts + p->n_licenses + 16;

	for (size_t i = 0; i < p->n_files; i++)
		n += p->files[i].st.n_tensors;
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

int check_space(const struct plan *p, const struct store *s, struct err *err)
{
	char path[PATH_MAX], needed[32], available[32];
	struct statvfs fs;
	uint64_t bytes = plan_bytes(p), free_bytes;

	snprintf(path, sizeof path, "%s/blobs", store_root(s));
	if (statvfs(path, &fs) < 0)
		return err_errno(err, errno, "cannot tell the free space of %s", path);
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (bytes <= free_bytes)
		return 0;
	human_bytes(bytes, needed, sizeof needed);
	human_bytes(free_bytes, available, sizeof available);
	return err_set(err, -ENOSPC, "not enough disk space in %s: needs %s (%" PRIu64 " bytes), "
		       "%s (%" PRIu64 " bytes) are free", path, needed, bytes, available, free_bytes);
}
