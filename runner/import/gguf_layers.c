/*
 * Names and shapes of single-file checkpoints, as GGUF files of image models have them, to
 * those of diffusers. Pure; the importer's one thread.
 */
#include "runner/import/gguf_layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "runner/family.h"

enum { SPLIT = 3 };

/* A star stands for the same text in all patterns of a rule; several names share the rows. */
struct rule {
	const char *family;             /* pipeline class */
	const char *from, *to[SPLIT];   /* to[0] NULL: known and unused */
	bool swapped;                   /* the halves of its rows are */
};

#define Z "ZImagePipeline"
#define F "Flux2KleinPipeline"
#define SINGLE "single_transformer_blocks."
static const struct rule rules[] = {
	{ Z, "x_embedder.*", { "all_x_embedder.2-1.*" }, false },
	{ Z, "final_layer.*", { "all_final_layer.2-1.*" }, false },
	{ Z, "*.attention.qkv.weight", { "*.attention.to_q.weight", "*.attention.to_k.weight", "*.attention.to_v.weight" },
	  false },
	{ Z, "*.attention.out.weight", { "*.attention.to_out.0.weight" }, false },
	{ Z, "*.attention.q_norm.weight", { "*.attention.norm_q.weight" }, false },
	{ Z, "*.attention.k_norm.weight", { "*.attention.norm_k.weight" }, false },
	{ Z, "norm_final.weight", { NULL }, false },
	{ F, "img_in.*", { "x_embedder.*" }, false },
	{ F, "txt_in.*", { "context_embedder.*" }, false },
	{ F, "time_in.in_layer.*", { "time_guidance_embed.timestep_embedder.linear_1.*" }, false },
	{ F, "time_in.out_layer.*", { "time_guidance_embed.timestep_embedder.linear_2.*" }, false },
	{ F, "*_modulation_img.lin.weight", { "*_modulation_img.linear.weight" }, false },
	{ F, "*_modulation_txt.lin.weight", { "*_modulation_txt.linear.weight" }, false },
	{ F, "single_stream_modulation.lin.*", { "single_stream_modulation.linear.*" }, false },
	{ F, "double_blocks.*.img_attn.qkv.weight", { "transformer_blocks.*.attn.to_q.weight",
	  "transformer_blocks.*.attn.to_k.weight", "transformer_blocks.*.attn.to_v.weight" }, false },
	{ F, "double_blocks.*.txt_attn.qkv.weight", { "transformer_blocks.*.attn.add_q_proj.weight",
	  "transformer_blocks.*.attn.add_k_proj.weight", "transformer_blocks.*.attn.add_v_proj.weight" }, false },
	{ F, "double_blocks.*.img_attn.proj.weight", { "transformer_blocks.*.attn.to_out.0.weight" }, false },
	{ F, "double_blocks.*.txt_attn.proj.weight", { "transformer_blocks.*.attn.to_add_out.weight" }, false },
	{ F, "double_blocks.*.img_attn.norm.query_norm.scale", { "transformer_blocks.*.attn.norm_q.weight" }, false },
	{ F, "double_blocks.*.img_attn.norm.key_norm.scale", { "transformer_blocks.*.attn.norm_k.weight" }, false },
	{ F, "double_blocks.*.txt_attn.norm.query_norm.scale", { "transformer_blocks.*.attn.norm_added_q.weight" }, false },
	{ F, "double_blocks.*.txt_attn.norm.key_norm.scale", { "transformer_blocks.*.attn.norm_added_k.weight" }, false },
	{ F, "double_blocks.*.img_mlp.0.weight", { "transformer_blocks.*.ff.linear_in.weight" }, false },
	{ F, "double_blocks.*.img_mlp.2.weight", { "transformer_blocks.*.ff.linear_out.weight" }, false },
	{ F, "double_blocks.*.txt_mlp.0.weight", { "transformer_blocks.*.ff_context.linear_in.weight" }, false },
	{ F, "double_blocks.*.txt_mlp.2.weight", { "transformer_blocks.*.ff_context.linear_out.weight" }, false },
	{ F, "single_blocks.*.linear1.weight", { SINGLE "*.attn.to_qkv_mlp_proj.weight" }, false },
	{ F, "single_blocks.*.linear2.weight", { SINGLE "*.attn.to_out.weight" }, false },
	{ F, "single_blocks.*.norm.query_norm.scale", { SINGLE "*.attn.norm_q.weight" }, false },
	{ F, "single_blocks.*.norm.key_norm.scale", { SINGLE "*.attn.norm_k.weight" }, false },
	{ F, "final_layer.linear.*", { "proj_out.*" }, false },
	{ F, "final_layer.adaLN_modulation.1.*", { "norm_out.linear.*" }, true },
};
static const struct rule same_name = { .to = { "*" } };

/* ---- names ---- */

/* What the star stands for: *ret_len characters from the result on; NULL: no match. */
static const char *match(const char *pattern, const char *name, size_t *ret_len)
{
	const char *star = strchr(pattern, '*');
	const size_t before = star ? (size_t)(star - pattern) : strlen(pattern), after = star ? strlen(star + 1) : 0;
	const size_t len = strlen(name);

	if (len < before + after || strncmp(pattern, name, before) || (!star && len != before) ||
	    (star && strcmp(star + 1, name + len - after)))
		return NULL;
	*ret_len = len - before - after;
	return name + before;
}

/* Newer files call the scales of norms weights. */
static const char *old_suffix(const char *name, char *copy, size_t size)
{
	static const char from[] = ".weight", to[] = ".scale";
	const size_t len = strlen(name);

	if (!text_ends_with(name, "_norm.weight") || len >= size)
		return name;
	memcpy(copy, name, len - strlen(from));
	memcpy(copy + len - strlen(from), to, sizeof to);
	return copy;
}

static const struct rule *find_rule(const char *family, const char *name, const char **ret_star, size_t *ret_len)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		if (strcmp(rules[i].family, family))
			continue;
		*ret_star = match(rules[i].from, name, ret_len);
		if (*ret_star)
			return &rules[i];
	}
	return NULL;
}

static char *new_name(const char *pattern, const char *star, size_t len)
{
	const char *at = strchr(pattern, '*');
	char *name;

	if (asprintf(&name, "transformer/%.*s%.*s%s", (int)(at ? at - pattern : (long)strlen(pattern)), pattern,
		     at ? (int)len : 0, star, at ? at + 1 : "") < 0)
		return NULL;
	return name;
}

/* ---- layers ---- */

/* One of n equal shares of a tensor's rows. */
struct share {
	const struct gguf_tensor *tensor;
	unsigned i, n;
	bool swapped;
};

static struct st_tensor describe(const struct share *s, const char *name)
{
	struct st_tensor t = { .dtype = s->tensor->dtype, .rank = s->tensor->rank };

	memcpy(t.shape, s->tensor->shape, sizeof s->tensor->shape);
	t.shape[0] /= s->n;
	/* A row may have lost its rank of two. */
	if (t.rank == 1 && text_ends_with(name, "pad_token")) {
		t.rank = 2;
		t.shape[1] = t.shape[0];
		t.shape[0] = 1;
	}
	return t;
}

static int add_blocks(struct plan *p, char *name, const struct st_tensor *t, const struct quant *q,
		      const struct plan_array *from, struct err *err)
{
	struct plan_tensor *ret = layers_append(p, name);
	const struct quant_form *f = &quant_forms[q->format];
	struct plan_part *part;

	if (!ret)
		return err_set(err, -ENOMEM, "out of memory");
	if (t->rank != 2 || t->shape[0] > UINT32_MAX || t->shape[1] > INT32_MAX)
		return err_set(err, -EINVAL, "tensor %s is stored as %s and no matrix", name, f->name);
	ret->dtype = DTYPE_U8;
	ret->quant = *q;
	ret->rank = t->rank;
	memcpy(ret->shape, t->shape, sizeof ret->shape);
	ret->n_parts = 1;
	part = &ret->parts[0];
	*part = (struct plan_part){ .suffix = "", .dtype = DTYPE_U8, .rank = t->rank, .bytes = from->bytes, .from = *from };
	part->shape[0] = t->shape[0];
	part->shape[1] = t->shape[1] / f->block * f->block_bytes;
	return 0;
}

static int add_share(struct plan *p, size_t file, char *name, const struct share *s, const struct options *options,
		     struct err *err)
{
	const uint64_t bytes = s->tensor->bytes / s->n;
	const struct plan_array from = { file, s->tensor->at + bytes * s->i, bytes };
	struct st_tensor t;
	int r;

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	t = describe(s, name);
	if (s->tensor->quant.format == QUANT_NONE)
		r = layers_add(p, name, &t, &from, options, err);
	else
		r = add_blocks(p, name, &t, &s->tensor->quant, &from, err);
	if (r < 0)
		return r;
	if (s->swapped && p->tensors[p->n_tensors - 1].encoded)
		return err_set(err, -EINVAL, "tensor %s cannot be quantized from a GGUF file", name);
	p->tensors[p->n_tensors - 1].parts[0].swapped = s->swapped;
	return 0;
}

static int add_tensor(struct plan *p, size_t file, const struct gguf_tensor *t, const struct options *options,
		      struct err *err)
{
	static const char prefix[] = "model.diffusion_model.";
	const char *family = family_class_name(p->model_index);
	const char *name = strncmp(t->name, prefix, strlen(prefix)) ? t->name : t->name + strlen(prefix), *star = name;
	char copy[512];
	size_t len = strlen(name);
	const struct rule *rule = find_rule(family, name, &star, &len);
	struct share s = { .tensor = t };
	int r = 0;

	if (!rule)
		rule = find_rule(family, old_suffix(name, copy, sizeof copy), &star, &len);
	if (!rule) {
		rule = &same_name;
		star = name;
		len = strlen(name);
	}
	while (s.n < SPLIT && rule->to[s.n])
		s.n++;
	s.swapped = rule->swapped;
	if (s.n > 1 && (t->rank == 0 || t->shape[0] % s.n))
		return err_set(err, -EINVAL, "tensor %s does not hold %u matrices", t->name, s.n);
	if (s.swapped && (t->rank == 0 || t->shape[0] % 2))
		return err_set(err, -EINVAL, "tensor %s has no two halves", t->name);
	for (; s.i < s.n && r == 0; s.i++)
		r = add_share(p, file, new_name(rule->to[s.i], star, len), &s, options, err);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct plan_tensor *)a)->name, ((const struct plan_tensor *)b)->name);
}

int gguf_layers(struct plan *p, size_t file, const struct gguf *g, const struct options *options, struct err *err)
{
	const size_t first = p->n_tensors;
	int r = 0;

	for (size_t i = 0; i < g->n_tensors && r == 0; i++) {
		const struct gguf_tensor *t = &g->tensors[i];

		if (t->quant.format && options->quantize)
			return err_set(err, -EINVAL, "cannot requantize an already-quantized source model (requested "
				       "\"%s\"): only bf16/fp16/fp32 sources can be quantized", options->quantize);
		p->files[file].bytes += t->bytes;
		r = add_tensor(p, file, t, options, err);
	}
	if (r < 0)
		return r;
	qsort(p->tensors + first, p->n_tensors - first, sizeof *p->tensors, by_name);
	for (size_t i = first; i + 1 < p->n_tensors; i++)
		if (!by_name(&p->tensors[i], &p->tensors[i + 1]))
			return err_set(err, -EINVAL, "plan: output tensor %s planned twice", p->tensors[i].name);
	return 0;
}
