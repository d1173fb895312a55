/*
 * Z-Image: reads and checks transformer/config.json, claims the tensors. GPU thread, or
 * the importer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/transformer/axes.h"
#include "runner/transformer/zimage.h"

enum {
	MODULATION_MAX = 256,                   /* the timestep embedding is min(dim, this) wide */
	TIMESTEP_MID = 1024,
	MAX_BLOCKS = 1024, MAX_WIDTH = 1 << 16, MAX_POSITIONS = 1 << 20,
};

static const float head_norm_eps = 1e-5f;       /* of queries and keys, whatever norm_eps is */

/* ---- config ---- */

#define COUNT(member, max_) \
	FIELD(struct zimage, member, U32, .required = true, .min = 1, .max = (max_))

static const struct field config_fields[] = {
	COUNT(dim, MAX_WIDTH),
	COUNT(n_layers, MAX_BLOCKS),
	FIELD(struct zimage, n_refiner_layers, U32, .required = true, .max = MAX_BLOCKS),
	COUNT(n_heads, 1024),
	COUNT(n_kv_heads, 1024),
	COUNT(in_channels, 1024),
	COUNT(cap_feat_dim, MAX_WIDTH),
	FIELD(struct zimage, norm_eps, F64, .min = 1e-12, .max = 1),
	FIELD(struct zimage, rope_theta, F64, .min = 1, .max = 1e12),
	FIELD(struct zimage, t_scale, F64, .min = 1e-6, .max = 1e9),
	FIELD(struct zimage, qk_norm, BOOL),
	FIELD_AS(struct zimage, axes_dims_json, "axes_dims", JSON, .required = true),
	FIELD_AS(struct zimage, axes_lens_json, "axes_lens", JSON),
	FIELD_AS(struct zimage, patch_json, "all_patch_size", JSON),
	FIELD_AS(struct zimage, f_patch_json, "all_f_patch_size", JSON),
	FIELD_AS(struct zimage, siglip_json, "siglip_feat_dim", JSON),
	{ 0 }
};

static bool is_list_of(const json_t *list, json_int_t only)
{
	return !list || (json_array_size(list) == 1 &&
			 json_integer_value(json_array_get(list, 0)) == only);
}

static int check_supported(const struct zimage *m, struct err *err)
{
	if (!m->qk_norm)
		return err_set(err, -EINVAL, "qk_norm false is not supported");
	if (!is_list_of(m->patch_json, ZIMAGE_PATCH))
		return err_set(err, -EINVAL, "all_patch_size must be [%d]", ZIMAGE_PATCH);
	if (!is_list_of(m->f_patch_json, 1))
		return err_set(err, -EINVAL, "all_f_patch_size must be [1]");
	if (m->siglip_json && !json_is_null(m->siglip_json))
		return err_set(err, -EINVAL,
			       "siglip_feat_dim: the variant with SigLIP is not supported");
	return 0;
}

static int check_heads(const struct zimage *m, struct err *err)
{
	if (m->dim % m->n_heads)
		return err_set(err, -EINVAL, "dim %u cannot be divided by n_heads %u", m->dim,
			       m->n_heads);
	if (m->n_heads % m->n_kv_heads)
		return err_set(err, -EINVAL, "n_heads %u is no multiple of n_kv_heads %u",
			       m->n_heads, m->n_kv_heads);
	return axes_check(m->axes_dims, "axes_dims", ZIMAGE_AXES, m->head_dim, err);
}

static int read_config(struct zimage *m, const json_t *config, struct err *err)
{
	int r;

	r = fields_read(config_fields, config, 0, m, NULL, err);
	if (r == 0)
		r = axes_read(m->axes_dims_json, "axes_dims", ZIMAGE_AXES, 4096, m->axes_dims, err);
	if (r == 0 && m->axes_lens_json)
		r = axes_read(m->axes_lens_json, "axes_lens", ZIMAGE_AXES, MAX_POSITIONS,
			      m->axes_lens, err);
	if (r < 0)
		return r;
	m->head_dim = m->dim / m->n_heads;
	m->ffn = (uint32_t)((double)m->dim / 3 * 8);
	m->modulation = m->dim < MODULATION_MAX ? m->dim : MODULATION_MAX;
	m->patch_features = ZIMAGE_PATCH * ZIMAGE_PATCH * m->in_channels;
	r = check_supported(m, err);
	return r < 0 ? r : check_heads(m, err);
}

void zimage_free(void *self)
{
	struct zimage *m = self;

	if (!m)
		return;
	fields_clear(config_fields, m);
	free(m->noise_refiner);
	free(m->context_refiner);
	free(m->layers);
	free(m);
}

static int alloc_blocks(struct zimage *m, struct err *err)
{
	m->noise_refiner = calloc(m->n_refiner_layers + 1, sizeof *m->noise_refiner);
	m->context_refiner = calloc(m->n_refiner_layers + 1, sizeof *m->context_refiner);
	m->layers = calloc(m->n_layers, sizeof *m->layers);
	if (!m->noise_refiner || !m->context_refiner || !m->layers)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

int zimage_create(const json_t *config, void **ret, struct err *err)
{
	struct zimage *m = malloc(sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	*m = (struct zimage){
		.norm_eps = 1e-5, .rope_theta = 256, .t_scale = 1000, .qk_norm = true,
		.axes_lens = { 1024, 512, 512 },
	};
	r = read_config(m, config, err);
	if (r == 0)
		r = alloc_blocks(m, err);
	if (r < 0) {
		zimage_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* ---- weights ---- */

static void bind_linear(struct weights *w, struct linear *l, uint32_t out, uint32_t in,
			const char *name)
{
	weights_matrix(w, &l->weight, out, in, "%s.weight", name);
	weights_vector(w, &l->bias, out, "%s.bias", name);
}

static void bind_attention(const struct zimage *m, struct weights *w, struct attention *a,
			   const char *list, unsigned i)
{
	uint32_t kv = m->n_kv_heads * m->head_dim;

	*a = (struct attention){
		.n_heads = m->n_heads, .n_kv_heads = m->n_kv_heads, .head_dim = m->head_dim,
		.eps = head_norm_eps, .layout = ROPE_INTERLEAVED,
	};
	weights_matrix(w, &a->q.weight, m->dim, m->dim, "%s.%u.attention.to_q.weight", list, i);
	weights_matrix(w, &a->k.weight, kv, m->dim, "%s.%u.attention.to_k.weight", list, i);
	weights_matrix(w, &a->v.weight, kv, m->dim, "%s.%u.attention.to_v.weight", list, i);
	weights_matrix(w, &a->out.weight, m->dim, m->dim, "%s.%u.attention.to_out.0.weight", list,
		       i);
	weights_vector(w, &a->norm_q, m->head_dim, "%s.%u.attention.norm_q.weight", list, i);
	weights_vector(w, &a->norm_k, m->head_dim, "%s.%u.attention.norm_k.weight", list, i);
}

static void bind_block(const struct zimage *m, struct weights *w, struct block *b,
		       const char *list, unsigned i, bool modulated)
{
	bind_attention(m, w, &b->attention, list, i);
	weights_matrix(w, &b->ffn.gate.weight, m->ffn, m->dim, "%s.%u.feed_forward.w1.weight", list,
		       i);
	weights_matrix(w, &b->ffn.up.weight, m->ffn, m->dim, "%s.%u.feed_forward.w3.weight", list,
		       i);
	weights_matrix(w, &b->ffn.down.weight, m->dim, m->ffn, "%s.%u.feed_forward.w2.weight", list,
		       i);
	weights_vector(w, &b->attention_norm1, m->dim, "%s.%u.attention_norm1.weight", list, i);
	weights_vector(w, &b->attention_norm2, m->dim, "%s.%u.attention_norm2.weight", list, i);
	weights_vector(w, &b->ffn_norm1, m->dim, "%s.%u.ffn_norm1.weight", list, i);
	weights_vector(w, &b->ffn_norm2, m->dim, "%s.%u.ffn_norm2.weight", list, i);
	if (!modulated)
		return;
	weights_matrix(w, &b->adaln.weight, 4 * m->dim, m->modulation,
		       "%s.%u.adaLN_modulation.0.weight", list, i);
	weights_vector(w, &b->adaln.bias, 4 * m->dim, "%s.%u.adaLN_modulation.0.bias", list, i);
}

void zimage_bind(void *self, struct weights *w)
{
	struct zimage *m = self;
	const uint32_t token[] = { 1, m->dim };
	uint32_t i;

	weights_component(w, "transformer", NULL);
	weights_part(w, WEIGHTS_CAPTION);
	weights_vector(w, &m->cap_norm, m->cap_feat_dim, "cap_embedder.0.weight");
	bind_linear(w, &m->cap_embedder, m->dim, m->cap_feat_dim, "cap_embedder.1");
	weights_bind(w, &m->cap_pad_token, 2, token, "cap_pad_token");
	for (i = 0; i < m->n_refiner_layers; i++)
		bind_block(m, w, &m->context_refiner[i], "context_refiner", i, false);

	weights_part(w, WEIGHTS_PICTURE);
	bind_linear(w, &m->x_embedder, m->dim, m->patch_features, "all_x_embedder.2-1");
	bind_linear(w, &m->t_embedder[0], TIMESTEP_MID, ZIMAGE_FREQUENCIES, "t_embedder.mlp.0");
	bind_linear(w, &m->t_embedder[1], m->modulation, TIMESTEP_MID, "t_embedder.mlp.2");
	weights_bind(w, &m->x_pad_token, 2, token, "x_pad_token");
	bind_linear(w, &m->final_linear, m->patch_features, m->dim, "all_final_layer.2-1.linear");
	bind_linear(w, &m->final_adaln, m->dim, m->modulation,
		    "all_final_layer.2-1.adaLN_modulation.1");
	for (i = 0; i < m->n_refiner_layers; i++)
		bind_block(m, w, &m->noise_refiner[i], "noise_refiner", i, true);
	for (i = 0; i < m->n_layers; i++)
		bind_block(m, w, &m->layers[i], "layers", i, true);
}
