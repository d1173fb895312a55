/*
 * The Z-Image transformer: noise refiner over the picture, context refiner over the
 * caption, then blocks over both (docs/models/zimage.md). Owns its config and weight
 * handles. GPU thread; create and bind also in the importer.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/nn/nn.h"
#include "runner/transformer/transformer.h"

enum {
	PATCH = 2,
	SEQ_MULTIPLE = 32,                      /* both streams are padded to multiples of this */
	MODULATION_MAX = 256,                   /* the timestep embedding is min(dim, this) wide */
	FREQUENCIES = 256, TIMESTEP_MID = 1024,
	N_AXES = 3,
	MAX_BLOCKS = 1024, MAX_WIDTH = 1 << 16, MAX_POSITIONS = 1 << 20,
};

static const float final_norm_eps = 1e-6f;      /* the reference writes it out */

struct block {
	struct weight attention_norm1, attention_norm2, ffn_norm1, ffn_norm2;
	struct attention attention;
	struct swiglu ffn;
	struct linear adaln;                    /* absent in the context refiner */
};

struct zimage {
	uint32_t dim, n_layers, n_refiner_layers, n_heads, n_kv_heads;
	uint32_t in_channels, cap_feat_dim;
	double norm_eps, rope_theta, t_scale;
	bool qk_norm;
	json_t *axes_dims_json, *axes_lens_json, *patch_json, *f_patch_json, *siglip_json;
	/* derived */
	uint32_t axes_dims[N_AXES], axes_lens[N_AXES];
	uint32_t head_dim, ffn, modulation, patch_features;
	/* weights */
	struct linear x_embedder, cap_embedder, t_embedder[2], final_linear, final_adaln;
	struct weight cap_norm, x_pad_token, cap_pad_token;
	struct block *noise_refiner, *context_refiner, *layers;
};

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

static int read_axes(const json_t *list, const char *key, uint32_t max, uint32_t ret[N_AXES], struct err *err)
{
	unsigned i;

	if (!list)
		return 0;
	if (json_array_size(list) != N_AXES)
		return err_set(err, -EINVAL, "%s must be a list of %d numbers", key, N_AXES);
	for (i = 0; i < N_AXES; i++) {
		json_int_t v = json_integer_value(json_array_get(list, i));

		if (v < 1 || v > max)
			return err_set(err, -EINVAL, "%s[%u] must be a whole number from 1 to %u", key, i, max);
		ret[i] = (uint32_t)v;
	}
	return 0;
}

static bool is_list_of(const json_t *list, json_int_t only)
{
	return !list || (json_array_size(list) == 1 && json_integer_value(json_array_get(list, 0)) == only);
}

static int check_supported(const struct zimage *m, struct err *err)
{
	if (!m->qk_norm)
		return err_set(err, -EINVAL, "qk_norm false is not supported");
	if (!is_list_of(m->patch_json, PATCH))
		return err_set(err, -EINVAL, "all_patch_size must be [%d]", PATCH);
	if (!is_list_of(m->f_patch_json, 1))
		return err_set(err, -EINVAL, "all_f_patch_size must be [1]");
	if (m->siglip_json && !json_is_null(m->siglip_json))
		return err_set(err, -EINVAL, "siglip_feat_dim: the variant with SigLIP is not supported");
	return 0;
}

static int check_heads(const struct zimage *m, struct err *err)
{
	uint32_t i, sum = 0;

	if (m->dim % m->n_heads)
		return err_set(err, -EINVAL, "dim %u cannot be divided by n_heads %u", m->dim, m->n_heads);
	if (m->n_heads % m->n_kv_heads)
		return err_set(err, -EINVAL, "n_heads %u is no multiple of n_kv_heads %u",
			       m->n_heads, m->n_kv_heads);
	if (m->head_dim % 4)
		return err_set(err, -EINVAL, "head dim %u (dim / n_heads) is no multiple of 4", m->head_dim);
	for (i = 0; i < N_AXES; i++) {
		if (m->axes_dims[i] % 2)
			return err_set(err, -EINVAL, "axes_dims[%u] is odd", i);
		sum += m->axes_dims[i];
	}
	if (sum != m->head_dim)
		return err_set(err, -EINVAL, "axes_dims sum to %u, but the head dim (dim / n_heads) is %u",
			       sum, m->head_dim);
	return 0;
}

static int read_config(struct zimage *m, const json_t *config, struct err *err)
{
	int r;

	r = fields_read(config_fields, config, 0, m, NULL, err);
	if (r == 0)
		r = read_axes(m->axes_dims_json, "axes_dims", 4096, m->axes_dims, err);
	if (r == 0)
		r = read_axes(m->axes_lens_json, "axes_lens", MAX_POSITIONS, m->axes_lens, err);
	if (r < 0)
		return r;
	m->head_dim = m->dim / m->n_heads;
	m->ffn = (uint32_t)((double)m->dim / 3 * 8);
	m->modulation = m->dim < MODULATION_MAX ? m->dim : MODULATION_MAX;
	m->patch_features = PATCH * PATCH * m->in_channels;
	r = check_supported(m, err);
	return r < 0 ? r : check_heads(m, err);
}

static void zimage_free(void *self)
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

static int zimage_create(const json_t *config, void **ret, struct err *err)
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

static void bind_linear(struct weights *w, struct linear *l, uint32_t out, uint32_t in, const char *name)
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
		.eps = (float)m->norm_eps, .layout = ROPE_INTERLEAVED,
	};
	weights_matrix(w, &a->q.weight, m->dim, m->dim, "%s.%u.attention.to_q.weight", list, i);
	weights_matrix(w, &a->k.weight, kv, m->dim, "%s.%u.attention.to_k.weight", list, i);
	weights_matrix(w, &a->v.weight, kv, m->dim, "%s.%u.attention.to_v.weight", list, i);
	weights_matrix(w, &a->out.weight, m->dim, m->dim, "%s.%u.attention.to_out.0.weight", list, i);
	weights_vector(w, &a->norm_q, m->head_dim, "%s.%u.attention.norm_q.weight", list, i);
	weights_vector(w, &a->norm_k, m->head_dim, "%s.%u.attention.norm_k.weight", list, i);
}

static void bind_block(const struct zimage *m, struct weights *w, struct block *b,
		       const char *list, unsigned i, bool modulated)
{
	bind_attention(m, w, &b->attention, list, i);
	weights_matrix(w, &b->ffn.gate.weight, m->ffn, m->dim, "%s.%u.feed_forward.w1.weight", list, i);
	weights_matrix(w, &b->ffn.up.weight, m->ffn, m->dim, "%s.%u.feed_forward.w3.weight", list, i);
	weights_matrix(w, &b->ffn.down.weight, m->dim, m->ffn, "%s.%u.feed_forward.w2.weight", list, i);
	weights_vector(w, &b->attention_norm1, m->dim, "%s.%u.attention_norm1.weight", list, i);
	weights_vector(w, &b->attention_norm2, m->dim, "%s.%u.attention_norm2.weight", list, i);
	weights_vector(w, &b->ffn_norm1, m->dim, "%s.%u.ffn_norm1.weight", list, i);
	weights_vector(w, &b->ffn_norm2, m->dim, "%s.%u.ffn_norm2.weight", list, i);
	if (!modulated)
		return;
	weights_matrix(w, &b->adaln.weight, 4 * m->dim, m->modulation, "%s.%u.adaLN_modulation.0.weight", list, i);
	weights_vector(w, &b->adaln.bias, 4 * m->dim, "%s.%u.adaLN_modulation.0.bias", list, i);
}

static void zimage_bind(void *self, struct weights *w)
{
	struct zimage *m = self;
	const uint32_t token[] = { 1, m->dim };
	uint32_t i;

	weights_component(w, "transformer", NULL);
	bind_linear(w, &m->x_embedder, m->dim, m->patch_features, "all_x_embedder.2-1");
	weights_vector(w, &m->cap_norm, m->cap_feat_dim, "cap_embedder.0.weight");
	bind_linear(w, &m->cap_embedder, m->dim, m->cap_feat_dim, "cap_embedder.1");
	bind_linear(w, &m->t_embedder[0], TIMESTEP_MID, FREQUENCIES, "t_embedder.mlp.0");
	bind_linear(w, &m->t_embedder[1], m->modulation, TIMESTEP_MID, "t_embedder.mlp.2");
	weights_bind(w, &m->x_pad_token, 2, token, "x_pad_token");
	weights_bind(w, &m->cap_pad_token, 2, token, "cap_pad_token");
	bind_linear(w, &m->final_linear, m->patch_features, m->dim, "all_final_layer.2-1.linear");
	bind_linear(w, &m->final_adaln, m->dim, m->modulation, "all_final_layer.2-1.adaLN_modulation.1");
	for (i = 0; i < m->n_refiner_layers; i++) {
		bind_block(m, w, &m->noise_refiner[i], "noise_refiner", i, true);
		bind_block(m, w, &m->context_refiner[i], "context_refiner", i, false);
	}
	for (i = 0; i < m->n_layers; i++)
		bind_block(m, w, &m->layers[i], "layers", i, true);
}

static uint32_t zimage_latent_channels(const void *self)
{
	return ((const struct zimage *)self)->in_channels;
}

static uint32_t zimage_cond_width(const void *self)
{
	return ((const struct zimage *)self)->cap_feat_dim;
}

/* ---- the network ---- */

static uint32_t padded(uint32_t n)
{
	return (n + SEQ_MULTIPLE - 1) / SEQ_MULTIPLE * SEQ_MULTIPLE;
}

static int zimage_check_size(const void *self, uint32_t latent_h, uint32_t latent_w, uint32_t n_text,
			     struct err *err)
{
	const struct zimage *m = self;
	const uint32_t side = PATCH * 8;        /* pixels of a patch */

	if (latent_h % PATCH || latent_w % PATCH)
		return err_set(err, -EINVAL, "width and height must be multiples of %u", side);
	if (latent_h / PATCH > m->axes_lens[1] || latent_w / PATCH > m->axes_lens[2])
		return err_set(err, -EINVAL, "this model draws at most %ux%u pixels",
			       m->axes_lens[2] * side, m->axes_lens[1] * side);
	if (padded(n_text) + 1 >= m->axes_lens[0])
		return err_set(err, -EINVAL, "the prompt is too long for this model (%u tokens)", n_text);
	return 0;
}

/*
 *	s1, g1, s2, g2 = split(W t + b, 4)
 *	x += tanh(g1) * norm(attention((1 + s1) * norm(x)))
 *	x += tanh(g2) * norm(swiglu   ((1 + s2) * norm(x)))
 *
 * x [n, dim], t [1, modulation]
 */
static T modulated_block(struct graph *g, const struct zimage *m, const struct block *b, T x, T t, T rope)
{
	enum { SCALE_MSA, GATE_MSA, SCALE_MLP, GATE_MLP };
	float eps = (float)m->norm_eps;
	T mod = nn_linear(g, &b->adaln, t), h;

	h = op_rms_norm(g, x, &b->attention_norm1, eps);
	h = op_scale1(g, h, graph_cols(g, mod, SCALE_MSA * m->dim, m->dim));
	h = op_rms_norm(g, nn_attention(g, &b->attention, h, rope), &b->attention_norm2, eps);
	x = op_gate_add(g, x, graph_cols(g, mod, GATE_MSA * m->dim, m->dim), h);

	h = op_rms_norm(g, x, &b->ffn_norm1, eps);
	h = op_scale1(g, h, graph_cols(g, mod, SCALE_MLP * m->dim, m->dim));
	h = op_rms_norm(g, nn_swiglu(g, &b->ffn, h), &b->ffn_norm2, eps);
	return op_gate_add(g, x, graph_cols(g, mod, GATE_MLP * m->dim, m->dim), h);
}

/* The same with scale and gate 1. */
static T plain_block(struct graph *g, const struct zimage *m, const struct block *b, T x, T rope)
{
	float eps = (float)m->norm_eps;
	T h;

	h = nn_attention(g, &b->attention, op_rms_norm(g, x, &b->attention_norm1, eps), rope);
	x = op_add(g, x, op_rms_norm(g, h, &b->attention_norm2, eps));
	h = nn_swiglu(g, &b->ffn, op_rms_norm(g, x, &b->ffn_norm1, eps));
	return op_add(g, x, op_rms_norm(g, h, &b->ffn_norm2, eps));
}

/* ---- the caption, once per prompt ---- */

struct built_cond {
	T cond, rope;
	uint32_t n_text;
};

static void *zimage_build_cond(const void *self, struct graph *g, uint32_t n_text, T *ret_cond, T *ret_refined)
{
	const struct zimage *m = self;
	struct built_cond *b = calloc(1, sizeof *b);
	uint32_t i;
	T x;

	if (!b)
		return NULL;
	b->n_text = n_text;
	b->cond = graph_input(g, n_text, m->cap_feat_dim);
	b->rope = graph_input(g, padded(n_text), m->head_dim);

	x = op_rms_norm(g, b->cond, &m->cap_norm, (float)m->norm_eps);
	x = graph_tap(g, nn_linear(g, &m->cap_embedder, x), "cap_embedder");
	x = op_pad_rows(g, x, &m->cap_pad_token, padded(n_text));
	for (i = 0; i < m->n_refiner_layers; i++)
		x = graph_tap(g, plain_block(g, m, &m->context_refiner[i], x, b->rope), "context_refiner.%u", i);
	*ret_cond = b->cond;
	*ret_refined = x;
	return b;
}

/* One row of a rotary table: the three axes side by side. */
static void rope_row(const struct zimage *m, float *row, uint32_t frame, uint32_t y, uint32_t x)
{
	const uint32_t position[N_AXES] = { frame, y, x };
	uint32_t axis, pair = 0;

	for (axis = 0; axis < N_AXES; axis++) {
		nn_rope_fill(row, m->head_dim, pair, position[axis], m->axes_dims[axis], m->rope_theta);
		pair += m->axes_dims[axis] / 2;
	}
}

/* Captions count up from 1 along the first axis, pad rows included. */
static void caption_rope(const struct zimage *m, float *table, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		rope_row(m, table + (size_t)i * m->head_dim, 1 + i, 0, 0);
}

/* The picture lies at the frame after the caption; its pad rows at the origin. */
static void image_rope(const struct zimage *m, float *table, uint32_t frame, uint32_t rows, uint32_t cols)
{
	uint32_t i, n = rows * cols;

	for (i = 0; i < n; i++)
		rope_row(m, table + (size_t)i * m->head_dim, frame, i / cols, i % cols);
	for (; i < padded(n); i++)
		rope_row(m, table + (size_t)i * m->head_dim, 0, 0, 0);
}

static int zimage_feed_cond(const void *self, struct graph *g, void *built, const float *cond)
{
	const struct zimage *m = self;
	const struct built_cond *b = built;
	float *table = calloc(b->rope.rows, m->head_dim * sizeof *table);

	if (!table)
		return -ENOMEM;
	caption_rope(m, table, b->rope.rows);
	graph_write(g, b->rope, table);
	graph_write(g, b->cond, cond);
	free(table);
	return 0;
}

/* ---- one evaluation ---- */

struct built {
	T patches, frequencies, rope, refined, out;
	uint32_t rows, cols;                    /* patches */
	float *host;                            /* [rows * cols, patch_features] */
};

static T timestep_embedding(struct graph *g, const struct zimage *m, T frequencies)
{
	T t = op_silu(g, nn_linear(g, &m->t_embedder[0], frequencies));

	return graph_tap(g, nn_linear(g, &m->t_embedder[1], t), "t_embedder");
}

/* LayerNorm without weights, scaled by the timestep; here there is a SiLU. */
static T final_layer(struct graph *g, const struct zimage *m, T x, T t)
{
	T scale = nn_linear(g, &m->final_adaln, op_silu(g, t));
	T h = op_scale1(g, op_layer_norm(g, x, final_norm_eps), scale);

	return graph_tap(g, nn_linear(g, &m->final_linear, h), "final_layer");
}

static T forward(struct graph *g, const struct zimage *m, struct built *b)
{
	uint32_t i, n_image = b->rows * b->cols, n_padded = padded(n_image);
	T t = timestep_embedding(g, m, b->frequencies);
	T image_rows = graph_rows(g, b->rope, 0, n_padded);
	T x = graph_tap(g, nn_linear(g, &m->x_embedder, b->patches), "x_embedder");

	x = op_pad_rows(g, x, &m->x_pad_token, n_padded);
	for (i = 0; i < m->n_refiner_layers; i++)
		x = graph_tap(g, modulated_block(g, m, &m->noise_refiner[i], x, t, image_rows),
			      "noise_refiner.%u", i);
	x = op_concat_rows(g, x, b->refined);
	for (i = 0; i < m->n_layers; i++)
		x = graph_tap(g, modulated_block(g, m, &m->layers[i], x, t, b->rope), "layers.%u", i);
	return final_layer(g, m, graph_rows(g, x, 0, n_image), t);
}

static void zimage_free_built(void *built)
{
	struct built *b = built;

	if (b)
		free(b->host);
	free(b);
}

static void *zimage_build(const void *self, struct graph *g, uint32_t latent_h, uint32_t latent_w,
			  uint32_t n_refined, T *ret_out)
{
	const struct zimage *m = self;
	struct built *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->rows = latent_h / PATCH;
	b->cols = latent_w / PATCH;
	b->host = calloc((size_t)b->rows * b->cols, m->patch_features * sizeof *b->host);
	if (!b->host) {
		free(b);
		return NULL;
	}
	b->patches = graph_input(g, b->rows * b->cols, m->patch_features);
	b->frequencies = graph_input(g, 1, FREQUENCIES);
	b->rope = graph_input(g, padded(b->rows * b->cols) + n_refined, m->head_dim);
	b->refined = graph_input(g, n_refined, m->dim);
	b->out = forward(g, m, b);
	*ret_out = b->out;
	return b;
}

static int zimage_prepare(const void *self, struct graph *g, void *built)
{
	const struct zimage *m = self;
	const struct built *b = built;
	uint32_t n_image = padded(b->rows * b->cols);
	float *table = calloc(b->rope.rows, m->head_dim * sizeof *table);

	if (!table)
		return -ENOMEM;
	image_rope(m, table, b->refined.rows + 1, b->rows, b->cols);
	caption_rope(m, table + (size_t)n_image * m->head_dim, b->refined.rows);
	graph_write(g, b->rope, table);
	free(table);
	return 0;
}

/* The place of a latent value in the patches: tokens row by row, inside (row, column, channel). */
static size_t patch_index(const struct zimage *m, const struct built *b, uint32_t c, uint32_t y, uint32_t x)
{
	size_t token = (size_t)(y / PATCH) * b->cols + x / PATCH;
	uint32_t inside = y % PATCH * PATCH + x % PATCH;

	return token * m->patch_features + inside * m->in_channels + c;
}

static void patchify(const struct zimage *m, struct built *b, const float *latent)
{
	uint32_t c, y, x, h = b->rows * PATCH, w = b->cols * PATCH;

	for (c = 0; c < m->in_channels; c++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++)
				b->host[patch_index(m, b, c, y, x)] = *latent++;
}

static void unpatchify(const struct zimage *m, const struct built *b, float *latent)
{
	uint32_t c, y, x, h = b->rows * PATCH, w = b->cols * PATCH;

	for (c = 0; c < m->in_channels; c++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++)
				*latent++ = b->host[patch_index(m, b, c, y, x)];
}

/* Cosines, then sines, of 1000 t exp(-ln(10000) i / 128), where t = 1 - sigma. */
static void timestep_frequencies(const struct zimage *m, float sigma, float ret[FREQUENCIES])
{
	enum { HALF = FREQUENCIES / 2 };
	float t = (1000.0f - 1000.0f * sigma) / 1000.0f * (float)m->t_scale;
	int i;

	for (i = 0; i < HALF; i++) {
		float angle = t * (float)exp(-log(10000.0) * i / HALF);

		ret[i] = cosf(angle);
		ret[HALF + i] = sinf(angle);
	}
}

static void zimage_feed(const void *self, struct graph *g, void *built, const float *latent, float sigma,
			const float *refined)
{
	const struct zimage *m = self;
	struct built *b = built;
	float frequencies[FREQUENCIES];

	patchify(m, b, latent);
	timestep_frequencies(m, sigma, frequencies);
	graph_write(g, b->patches, b->host);
	graph_write(g, b->frequencies, frequencies);
	graph_write(g, b->refined, refined);
}

/* The network points from noise to data, the sampler's velocity from data to noise. */
static void zimage_velocity(const void *self, struct graph *g, void *built, float *ret)
{
	const struct zimage *m = self;
	struct built *b = built;
	size_t i, n = (size_t)b->rows * b->cols * m->patch_features;

	graph_read(g, b->out, b->host);
	for (i = 0; i < n; i++)
		b->host[i] = -b->host[i];
	unpatchify(m, b, ret);
}

const struct transformer_class zimage = {
	.prompt_prefix = "<|im_start|>user\n",
	.prompt_suffix = "<|im_end|>\n<|im_start|>assistant\n",
	.distilled_guidance = true,
	.default_steps = 8,
	.default_side = 1024,
	.default_guidance = 0,
	.create = zimage_create,
	.free = zimage_free,
	.bind = zimage_bind,
	.latent_channels = zimage_latent_channels,
	.cond_width = zimage_cond_width,
	.check_size = zimage_check_size,
	.build_cond = zimage_build_cond,
	.feed_cond = zimage_feed_cond,
	.free_cond = free,
	.build = zimage_build,
	.prepare = zimage_prepare,
	.feed = zimage_feed,
	.velocity = zimage_velocity,
	.free_built = zimage_free_built,
};
