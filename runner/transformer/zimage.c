/*
 * The Z-Image transformer: noise refiner over the picture, context refiner over the
 * caption, then blocks over both (docs/models/zimage.md). Adds nodes and feeds their
 * inputs; GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "runner/transformer/transformer.h"
#include "runner/transformer/zimage.h"

enum { SEQ_MULTIPLE = 32 };                     /* both streams are padded to multiples of this */

static const float final_norm_eps = 1e-6f;      /* the reference writes it out */

static uint32_t zimage_latent_channels(const void *self)
{
	return ((const struct zimage *)self)->in_channels;
}

static uint32_t zimage_cond_width(const void *self)
{
	return ((const struct zimage *)self)->cap_feat_dim;
}

static uint32_t zimage_image_tokens(const void *self, uint32_t latent_h, uint32_t latent_w)
{
	(void)self;
	return latent_h / ZIMAGE_PATCH * (latent_w / ZIMAGE_PATCH);
}

/* ---- the network ---- */

static uint32_t padded(uint32_t n)
{
	return (n + SEQ_MULTIPLE - 1) / SEQ_MULTIPLE * SEQ_MULTIPLE;
}

static int zimage_check_size(const void *self, const struct canvas *c, uint32_t n_text,
			     struct err *err)
{
	const struct zimage *m = self;
	const uint32_t side = ZIMAGE_PATCH * 8;        /* pixels of a patch */

	if (c->h % ZIMAGE_PATCH || c->w % ZIMAGE_PATCH)
		return err_set(err, -EINVAL, "width and height must be multiples of %u", side);
	if (c->h / ZIMAGE_PATCH > m->axes_lens[1] || c->w / ZIMAGE_PATCH > m->axes_lens[2])
		return err_set(err, -EINVAL, "this model draws at most %ux%u pixels",
			       m->axes_lens[2] * side, m->axes_lens[1] * side);
	if (padded(n_text) + 1 >= m->axes_lens[0])
		return err_set(err, -EINVAL, "the prompt is too long for this model (%u tokens)",
			       n_text);
	return 0;
}

/* Columns of a block's modulation, dim each. */
enum { SCALE_MSA, GATE_MSA, SCALE_MLP, GATE_MLP };

/* (1 + s) * norm(x) */
static T modulated(struct graph *g, const struct zimage *m, T x, const struct weight *norm, T mod,
		   unsigned scale)
{
	return op_scale1(g, op_rms_norm(g, x, norm, (float)m->norm_eps),
			 graph_cols(g, mod, scale * m->dim, m->dim));
}

/*
 *	s1, g1, s2, g2 = split(W t + b, 4)
 *	x += tanh(g1) * norm(attention((1 + s1) * norm(x)))
 *	x += tanh(g2) * norm(swiglu   ((1 + s2) * norm(x)))
 *
 * x [n, dim] of one or more sequences, t [1, modulation]
 */
static T modulated_block(struct graph *g, const struct zimage *m, const struct block *b, T x, T t,
			 T rope, unsigned sequences)
{
	float eps = (float)m->norm_eps;
	T mod = nn_linear(g, &b->adaln, t), h;

	h = modulated(g, m, x, &b->attention_norm1, mod, SCALE_MSA);
	h = nn_attention(g, &b->attention, h, rope, h.rows, sequences);
	h = op_rms_norm(g, h, &b->attention_norm2, eps);
	x = op_gate_add(g, x, graph_cols(g, mod, GATE_MSA * m->dim, m->dim), h);

	h = modulated(g, m, x, &b->ffn_norm1, mod, SCALE_MLP);
	h = op_rms_norm(g, nn_swiglu(g, &b->ffn, h), &b->ffn_norm2, eps);
	return op_gate_add(g, x, graph_cols(g, mod, GATE_MLP * m->dim, m->dim), h);
}

/* The same with scale and gate 1. */
static T plain_block(struct graph *g, const struct zimage *m, const struct block *b, T x, T rope)
{
	float eps = (float)m->norm_eps;
	T h;

	h = op_rms_norm(g, x, &b->attention_norm1, eps);
	h = nn_attention(g, &b->attention, h, rope, h.rows, 1);
	x = op_add(g, x, op_rms_norm(g, h, &b->attention_norm2, eps));
	h = nn_swiglu(g, &b->ffn, op_rms_norm(g, x, &b->ffn_norm1, eps));
	return op_add(g, x, op_rms_norm(g, h, &b->ffn_norm2, eps));
}

/* ---- the caption, once per prompt ---- */

struct built_cond {
	T cond, rope;
	uint32_t n_text;
};

static void *zimage_build_cond(const void *self, struct graph *g, uint32_t n_text, T *ret_cond,
			       T *ret_refined)
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
		x = graph_tap(g, plain_block(g, m, &m->context_refiner[i], x, b->rope),
			      "context_refiner.%u", i);
	*ret_cond = b->cond;
	*ret_refined = x;
	return b;
}

static void rope_row(const struct zimage *m, float *row, uint32_t frame, uint32_t y, uint32_t x)
{
	nn_rope_axes(row, m->head_dim, ZIMAGE_AXES, m->axes_dims, (const uint32_t[]){ frame, y, x },
		     m->rope_theta, ROPE_ANGLE_ROUNDED);
}

/* Captions count up from 1 along the first axis, pad rows included. */
static void caption_rope(const struct zimage *m, float *table, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		rope_row(m, table + (size_t)i * m->head_dim, 1 + i, 0, 0);
}

/* The picture lies at the frame after the caption; its pad rows at the origin. */
static void image_rope(const struct zimage *m, float *table, uint32_t frame, uint32_t rows,
		       uint32_t cols)
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
	T patches, frequencies;
	T out[MAX_CAPTIONS];
	T rope;                                 /* a table for every caption; not in a skim */
	T refined[MAX_CAPTIONS];
	unsigned n_captions;                    /* 0 in a skim */
	uint32_t rows, cols;                    /* patches */
	float *host;                            /* [rows * cols, patch_features] */
};

static T timestep_embedding(struct graph *g, const struct zimage *m, T frequencies)
{
	T t = op_silu(g, nn_linear(g, &m->t_embedder[0], frequencies));

	return graph_tap(g, nn_linear(g, &m->t_embedder[1], t), "t_embedder");
}

/* LayerNorm without weights, scaled by the timestep; here there is a SiLU. */
static T final_layer(struct graph *g, const struct zimage *m, T x, T t, unsigned sequences)
{
	T scale = nn_linear(g, &m->final_adaln, op_silu(g, t));
	T h = op_scale1(g, op_layer_norm(g, x, final_norm_eps), scale);

	return graph_tap_parts(g, nn_linear(g, &m->final_linear, h), sequences, "final_layer");
}

static T embedded_patches(struct graph *g, const struct zimage *m, const struct built *b)
{
	return graph_tap(g, nn_linear(g, &m->x_embedder, b->patches), "x_embedder");
}

/* Captions do not matter before the layers: what comes earlier is computed once. */
static void forward(struct graph *g, const struct zimage *m, struct built *b,
		    struct evaluation *ret)
{
	const unsigned n = b->n_captions;
	uint32_t i, n_image = b->rows * b->cols, n_padded = padded(n_image);
	T t = timestep_embedding(g, m, b->frequencies);
	T image_rows = graph_rows(g, b->rope, 0, n_padded);
	T x = embedded_patches(g, m, b);

	ret->before = x;
	x = op_pad_rows(g, x, &m->x_pad_token, n_padded);
	for (i = 0; i < m->n_refiner_layers; i++)
		x = graph_tap(g, modulated_block(g, m, &m->noise_refiner[i], x, t, image_rows, 1),
			      "noise_refiner.%u", i);
	x = op_concat_rows(g, x, b->refined[0]);
	for (i = 1; i < n; i++)
		x = op_concat_rows(g, x, op_concat_rows(g, graph_rows(g, x, 0, n_padded),
							b->refined[i]));
	for (i = 0; i < m->n_layers; i++)
		x = graph_tap_parts(g, modulated_block(g, m, &m->layers[i], x, t, b->rope, n), n,
				    "layers.%u", i);
	x = nn_pick(g, x, 0, n_image, n);
	ret->out = final_layer(g, m, x, t, n);
	for (i = 0; i < n; i++) {
		ret->after[i] = graph_part(g, x, i, n);
		b->out[i] = graph_part(g, ret->out, i, n);
	}
}

/* The noise refiner's first block is the first that is modulated by the timestep. */
static void forward_skim(struct graph *g, const struct zimage *m, const struct built *b,
			 struct skim *ret)
{
	const struct block *first = m->n_refiner_layers ? m->noise_refiner : m->layers;
	T t = timestep_embedding(g, m, b->frequencies);
	T x = embedded_patches(g, m, b);

	ret->signal = modulated(g, m, x, &first->attention_norm1, nn_linear(g, &first->adaln, t),
				SCALE_MSA);
	graph_output(g, ret->signal);
	ret->change = graph_input(g, x.rows, m->dim);
	ret->out = final_layer(g, m, op_add(g, x, ret->change), t, 1);
}

static void zimage_free_built(void *built)
{
	struct built *b = built;

	if (b)
		free(b->host);
	free(b);
}

/* With the inputs that all graphs have. */
static struct built *built_create(const struct zimage *m, struct graph *g, const struct canvas *c)
{
	struct built *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->rows = c->h / ZIMAGE_PATCH;
	b->cols = c->w / ZIMAGE_PATCH;
	b->host = calloc((size_t)b->rows * b->cols, m->patch_features * sizeof *b->host);
	if (!b->host) {
		free(b);
		return NULL;
	}
	b->patches = graph_input(g, b->rows * b->cols, m->patch_features);
	b->frequencies = graph_input(g, 1, ZIMAGE_FREQUENCIES);
	return b;
}

static void *zimage_build(const void *self, struct graph *g, const struct canvas *c, unsigned n,
			  uint32_t n_refined, struct evaluation *ret)
{
	const struct zimage *m = self;
	struct built *b = built_create(m, g, c);
	unsigned i;

	if (!b)
		return NULL;
	b->n_captions = n;
	b->rope = graph_input(g, n * (padded(b->rows * b->cols) + n_refined), m->head_dim);
	for (i = 0; i < n; i++)
		b->refined[i] = graph_input(g, n_refined, m->dim);
	forward(g, m, b, ret);
	return b;
}

static void *zimage_build_skim(const void *self, struct graph *g, const struct canvas *c,
			       struct skim *ret)
{
	struct built *b = built_create(self, g, c);

	if (!b)
		return NULL;
	forward_skim(g, self, b, ret);
	b->out[0] = ret->out;
	return b;
}

static int zimage_prepare(const void *self, struct graph *g, void *built, const struct canvas *c)
{
	const struct zimage *m = self;
	const struct built *b = built;
	const uint32_t n_text = b->refined[0].rows, n_image = padded(b->rows * b->cols);
	float *table = calloc(b->rope.rows, m->head_dim * sizeof *table), *row = table;
	unsigned i;

	(void)c;
	if (!table)
		return -ENOMEM;
	for (i = 0; i < b->n_captions; i++) {
		image_rope(m, row, n_text + 1, b->rows, b->cols);
		row += (size_t)n_image * m->head_dim;
		caption_rope(m, row, n_text);
		row += (size_t)n_text * m->head_dim;
	}
	graph_write(g, b->rope, table);
	free(table);
	return 0;
}

/* The place of a latent value in the patches: tokens row by row, inside (row, column, channel). */
static size_t patch_index(const struct zimage *m, const struct built *b, uint32_t c, uint32_t y,
			  uint32_t x)
{
	size_t token = (size_t)(y / ZIMAGE_PATCH) * b->cols + x / ZIMAGE_PATCH;
	uint32_t inside = y % ZIMAGE_PATCH * ZIMAGE_PATCH + x % ZIMAGE_PATCH;

	return token * m->patch_features + inside * m->in_channels + c;
}

static void patchify(const struct zimage *m, struct built *b, const float *latent)
{
	uint32_t c, y, x, h = b->rows * ZIMAGE_PATCH, w = b->cols * ZIMAGE_PATCH;

	for (c = 0; c < m->in_channels; c++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++)
				b->host[patch_index(m, b, c, y, x)] = *latent++;
}

static void unpatchify(const struct zimage *m, const struct built *b, float *latent)
{
	uint32_t c, y, x, h = b->rows * ZIMAGE_PATCH, w = b->cols * ZIMAGE_PATCH;

	for (c = 0; c < m->in_channels; c++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++)
				*latent++ = b->host[patch_index(m, b, c, y, x)];
}

static void zimage_feed(const void *self, struct graph *g, void *built, const float *latent,
			float sigma, const float *const *refined, const float *const *references,
			const struct canvas *c)
{
	const struct zimage *m = self;
	struct built *b = built;
	unsigned i;
	float frequencies[ZIMAGE_FREQUENCIES];
	float t = (1000.0f - 1000.0f * sigma) / 1000.0f;        /* 0: noise, 1: picture */

	(void)references;
	(void)c;
	patchify(m, b, latent);
	nn_timestep_fill(t * (float)m->t_scale, ZIMAGE_FREQUENCIES / 2, frequencies);
	graph_write(g, b->patches, b->host);
	graph_write(g, b->frequencies, frequencies);
	for (i = 0; i < b->n_captions; i++)
		graph_write(g, b->refined[i], refined[i]);
}

/* The network points from noise to data, the sampler's velocity from data to noise. */
static void zimage_velocity(const void *self, struct graph *g, void *built, unsigned i, float *ret)
{
	const struct zimage *m = self;
	struct built *b = built;
	size_t k, n = (size_t)b->rows * b->cols * m->patch_features;

	graph_read(g, b->out[i], b->host);
	for (k = 0; k < n; k++)
		b->host[k] = -b->host[k];
	unpatchify(m, b, ret);
}

const struct transformer_class zimage = {
	.prompt_prefix = "<|im_start|>user\n",
	.prompt_suffix = "<|im_end|>\n<|im_start|>assistant\n",
	.cond_key = "cap_feat_dim",
	.default_side = 1024,
	.defaults = { { .steps = 8 }, { .steps = 8 } },
	.default_strength = 0.6,
	.create = zimage_create,
	.free = zimage_free,
	.bind = zimage_bind,
	.latent_channels = zimage_latent_channels,
	.cond_width = zimage_cond_width,
	.image_tokens = zimage_image_tokens,
	.check_size = zimage_check_size,
	.build_cond = zimage_build_cond,
	.feed_cond = zimage_feed_cond,
	.free_cond = free,
	.build = zimage_build,
	.build_skim = zimage_build_skim,
	.prepare = zimage_prepare,
	.feed = zimage_feed,
	.velocity = zimage_velocity,
	.free_built = zimage_free_built,
};
