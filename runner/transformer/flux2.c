/*
 * The FLUX.2 transformer: blocks with a stream each for picture and text, then blocks
 * over both (docs/models/flux2.md). Adds nodes and feeds their inputs; GPU thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "runner/transformer/flux2.h"
#include "runner/transformer/transformer.h"

enum { REFERENCE_STEP = 10 };                   /* between references along the first axis */

static uint32_t flux2_latent_channels(const void *self)
{
	return ((const struct flux2 *)self)->in_channels;
}

static uint32_t flux2_cond_width(const void *self)
{
	return ((const struct flux2 *)self)->joint_attention_dim;
}

static uint32_t flux2_image_tokens(const void *self, uint32_t latent_h, uint32_t latent_w)
{
	(void)self;
	return latent_h * latent_w;
}

/* Rotary positions have no bound here; the arena's size is the limit. */
static int flux2_check_size(const void *self, const struct canvas *c, uint32_t n_text,
			    struct err *err)
{
	(void)self;
	(void)c;
	(void)n_text;
	(void)err;
	return 0;
}

/* ---- the network ---- */

/* One set of a modulation's columns. */
struct modulation {
	T shift, scale, gate;
};

static struct modulation modulation_of(struct graph *g, const struct flux2 *m, T columns,
				       unsigned set)
{
	const uint32_t dim = m->dim, at = 3 * set * dim;

	return (struct modulation){
		graph_cols(g, columns, at, dim), graph_cols(g, columns, at + dim, dim),
		graph_cols(g, columns, at + 2 * dim, dim),
	};
}

/* LN(x) (1 + scale) + shift */
static T modulated(struct graph *g, const struct flux2 *m, T x, T shift, T scale)
{
	return op_add(g, op_scale1(g, op_layer_norm(g, x, (float)m->eps), scale), shift);
}

struct qkv {
	T q, k, v;
};

static struct qkv stream_qkv(struct graph *g, const struct flux2 *m, const struct stream *s, T x)
{
	const float eps = (float)m->eps;

	return (struct qkv){
		nn_head_norm(g, nn_linear(g, &s->q, x), m->n_heads, &s->norm_q, eps),
		nn_head_norm(g, nn_linear(g, &s->k, x), m->n_heads, &s->norm_k, eps),
		nn_linear(g, &s->v, x),
	};
}

static T rotated_attention(struct graph *g, const struct flux2 *m, struct qkv x, T rope, unsigned n)
{
	return op_attention(g, op_rope(g, x.q, rope, m->n_heads, ROPE_INTERLEAVED),
			    op_rope(g, x.k, rope, m->n_heads, ROPE_INTERLEAVED), x.v, n, m->n_heads,
			    m->n_heads, false);
}

/*
 *	x += gate1 * out(attention)
 *	x += gate2 * ff(mod2(x))
 */
static T stream_after(struct graph *g, const struct flux2 *m, const struct stream *s,
		      const struct modulation mod[2], T x, T attended)
{
	x = op_mul_add(g, x, mod[0].gate, nn_linear(g, &s->out, attended));
	return op_mul_add(g, x, mod[1].gate,
			  nn_swiglu(g, &s->ff, modulated(g, m, x, mod[1].shift, mod[1].scale)));
}

/* What double blocks work on: n sequences each. */
struct streams {
	T img, txt;
	unsigned n;
};

/* Picture and text keep weights of their own and attend to both: [text ; image]. */
static void double_block(struct graph *g, const struct flux2 *m, const struct double_block *b,
			 const struct modulation img_mod[2], const struct modulation txt_mod[2],
			 struct streams *s, T rope)
{
	const unsigned n = s->n;
	const uint32_t n_text = s->txt.rows / n, n_image = s->img.rows / n;
	struct qkv i = stream_qkv(g, m, &b->img, modulated(g, m, s->img, img_mod[0].shift,
							   img_mod[0].scale));
	struct qkv t = stream_qkv(g, m, &b->txt, modulated(g, m, s->txt, txt_mod[0].shift,
							   txt_mod[0].scale));
	T x = rotated_attention(g, m, (struct qkv){
		nn_join(g, t.q, i.q, n), nn_join(g, t.k, i.k, n), nn_join(g, t.v, i.v, n) },
		rope, n);

	s->img = stream_after(g, m, &b->img, img_mod, s->img, nn_pick(g, x, n_text, n_image, n));
	s->txt = stream_after(g, m, &b->txt, txt_mod, s->txt, nn_pick(g, x, 0, n_text, n));
}

/*
 *	h = mod(x)
 *	x += gate * out([attention(h), silu(gate h) * up h])
 */
static T single_block(struct graph *g, const struct flux2 *m, const struct single_block *b,
		      struct modulation mod, T x, T rope, unsigned n)
{
	const float eps = (float)m->eps;
	T h = modulated(g, m, x, mod.shift, mod.scale), parts[2];

	parts[0] = rotated_attention(g, m, (struct qkv){
		nn_head_norm(g, nn_linear(g, &b->q, h), m->n_heads, &b->norm_q, eps),
		nn_head_norm(g, nn_linear(g, &b->k, h), m->n_heads, &b->norm_k, eps),
		nn_linear(g, &b->v, h) }, rope, n);
	parts[1] = op_swiglu(g, nn_linear(g, &b->gate, h), nn_linear(g, &b->up, h));
	return op_mul_add(g, x, mod.gate, nn_linear(g, &b->out, op_concat_cols(g, parts, 2)));
}

/* ---- the text, once per prompt ---- */

struct built_cond {
	T cond;
};

static void *flux2_build_cond(const void *self, struct graph *g, uint32_t n_text, T *ret_cond,
			      T *ret_refined)
{
	const struct flux2 *m = self;
	struct built_cond *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->cond = graph_input(g, n_text, m->joint_attention_dim);
	*ret_cond = b->cond;
	*ret_refined = graph_tap(g, nn_linear(g, &m->context_embedder, b->cond),
				 "context_embedder");
	return b;
}

static int flux2_feed_cond(const void *self, struct graph *g, void *built, const float *cond)
{
	struct built_cond *b = built;

	(void)self;
	graph_write(g, b->cond, cond);
	return 0;
}

/* ---- one evaluation ---- */

struct built {
	T tokens, frequencies, out[MAX_CAPTIONS];
	T references, rope;                     /* not in a skim; rope: a table for every caption */
	T refined[MAX_CAPTIONS];
	unsigned n_captions;                    /* 0 in a skim */
	uint32_t n_references;                  /* tokens */
	float *host;                            /* [the larger of both, in_channels] */
};

static T timestep_embedding(struct graph *g, const struct flux2 *m, T frequencies)
{
	T t = op_silu(g, nn_linear(g, &m->time_embedder[0], frequencies));

	return graph_tap(g, nn_linear(g, &m->time_embedder[1], t), "time_guidance_embed");
}

static T embed_image(struct graph *g, const struct flux2 *m, const struct built *b)
{
	T x = nn_linear(g, &m->x_embedder, b->tokens);

	if (b->n_references)
		x = op_concat_rows(g, x, nn_linear(g, &m->x_embedder, b->references));
	return graph_tap(g, x, "x_embedder");
}

/* Modulation of blocks of a kind: the same for all of them. */
static void shared_modulation(struct graph *g, const struct flux2 *m, const struct linear *l, T t,
			      const char *name, unsigned n, struct modulation *ret)
{
	T columns = graph_tap(g, nn_linear(g, l, t), "%s", name);
	unsigned i;

	for (i = 0; i < n; i++)
		ret[i] = modulation_of(g, m, columns, i);
}

static T final_layer(struct graph *g, const struct flux2 *m, T x, T t, unsigned sequences)
{
	T columns = nn_linear(g, &m->norm_out, t);      /* scale, then shift */
	T h = modulated(g, m, x, graph_cols(g, columns, m->dim, m->dim),
			graph_cols(g, columns, 0, m->dim));

	return nn_linear(g, &m->proj_out, graph_tap_parts(g, h, sequences, "norm_out"));
}

static void forward(struct graph *g, const struct flux2 *m, struct built *b,
		    struct evaluation *ret)
{
	const unsigned n = b->n_captions;
	T t = op_silu(g, timestep_embedding(g, m, b->frequencies));
	T img = embed_image(g, m, b), x;
	struct streams s = { .img = nn_repeat(g, img, n), .txt = b->refined[0], .n = n };
	struct modulation img_mod[2], txt_mod[2], single_mod;
	uint32_t i;

	for (i = 1; i < n; i++)
		s.txt = op_concat_rows(g, s.txt, b->refined[i]);
	ret->before = graph_rows(g, img, 0, b->tokens.rows);
	shared_modulation(g, m, &m->modulation_img, t, "double_stream_modulation_img", 2, img_mod);
	shared_modulation(g, m, &m->modulation_txt, t, "double_stream_modulation_txt", 2, txt_mod);
	shared_modulation(g, m, &m->modulation_single, t, "single_stream_modulation", 1,
			  &single_mod);
	for (i = 0; i < m->n_layers; i++) {
		double_block(g, m, &m->double_blocks[i], img_mod, txt_mod, &s, b->rope);
		graph_tap_parts(g, s.txt, n, "transformer_blocks.%u.txt", i);
		graph_tap_parts(g, s.img, n, "transformer_blocks.%u.img", i);
	}
	x = nn_join(g, s.txt, s.img, n);
	for (i = 0; i < m->n_single_layers; i++) {
		x = single_block(g, m, &m->single_blocks[i], single_mod, x, b->rope, n);
		graph_tap_parts(g, x, n, "single_transformer_blocks.%u", i);
	}
	x = nn_pick(g, x, b->refined[0].rows, b->tokens.rows, n);
	ret->out = final_layer(g, m, x, t, n);
	for (i = 0; i < n; i++) {
		ret->after[i] = graph_part(g, x, i, n);
		b->out[i] = graph_part(g, ret->out, i, n);
	}
}

static void forward_skim(struct graph *g, const struct flux2 *m, const struct built *b,
			 struct skim *ret)
{
	T t = op_silu(g, timestep_embedding(g, m, b->frequencies));
	T img = embed_image(g, m, b);
	struct modulation mod[2];

	shared_modulation(g, m, &m->modulation_img, t, "double_stream_modulation_img", 2, mod);
	ret->signal = modulated(g, m, img, mod[0].shift, mod[0].scale);
	graph_output(g, ret->signal);
	ret->change = graph_input(g, img.rows, m->dim);
	ret->out = final_layer(g, m, op_add(g, img, ret->change), t, 1);
}

static void flux2_free_built(void *built)
{
	struct built *b = built;

	if (b)
		free(b->host);
	free(b);
}

static uint32_t reference_tokens(const struct canvas *c)
{
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < c->n_references; i++)
		n += c->reference[i].h * c->reference[i].w;
	return n;
}

/* With the inputs that all graphs have, and room for as many reference tokens. */
static struct built *built_create(const struct flux2 *m, struct graph *g, const struct canvas *c,
				  uint32_t n_references)
{
	const uint32_t n_image = c->h * c->w;
	struct built *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->n_references = n_references;
	b->host = calloc(n_image > n_references ? n_image : n_references,
			 m->in_channels * sizeof *b->host);
	if (!b->host) {
		free(b);
		return NULL;
	}
	b->tokens = graph_input(g, n_image, m->in_channels);
	b->frequencies = graph_input(g, 1, m->timestep_channels);
	return b;
}

static void *flux2_build(const void *self, struct graph *g, const struct canvas *c, unsigned n,
			 uint32_t n_refined, struct evaluation *ret)
{
	const struct flux2 *m = self;
	const uint32_t n_references = reference_tokens(c);
	struct built *b = built_create(m, g, c, n_references);
	unsigned i;

	if (!b)
		return NULL;
	if (n_references)
		b->references = graph_input(g, n_references, m->in_channels);
	b->n_captions = n;
	b->rope = graph_input(g, n * (n_refined + b->tokens.rows + n_references), m->head_dim);
	for (i = 0; i < n; i++)
		b->refined[i] = graph_input(g, n_refined, m->dim);
	forward(g, m, b, ret);
	return b;
}

static void *flux2_build_skim(const void *self, struct graph *g, const struct canvas *c,
			      struct skim *ret)
{
	struct built *b = built_create(self, g, c, 0);

	if (!b)
		return NULL;
	forward_skim(g, self, b, ret);
	b->out[0] = ret->out;
	return b;
}

/* Rows for a grid of positions (t, row, column, 0); returns what follows them. */
static float *grid_rope(const struct flux2 *m, float *row, uint32_t t, uint32_t h, uint32_t w)
{
	uint32_t y, x;

	for (y = 0; y < h; y++)
		for (x = 0; x < w; x++, row += m->head_dim)
			nn_rope_axes(row, m->head_dim, FLUX2_AXES, m->axes_dims,
				     (const uint32_t[]){ t, y, x, 0 }, m->rope_theta,
				     ROPE_ANGLE_DOUBLE);
	return row;
}

/* Words count along the last axis; the picture lies at 0, references behind each other. */
static float *sequence_rope(const struct flux2 *m, float *row, uint32_t n_text,
			    const struct canvas *c)
{
	uint32_t i;

	for (i = 0; i < n_text; i++, row += m->head_dim)
		nn_rope_axes(row, m->head_dim, FLUX2_AXES, m->axes_dims,
			     (const uint32_t[]){ 0, 0, 0, i }, m->rope_theta, ROPE_ANGLE_DOUBLE);
	row = grid_rope(m, row, 0, c->h, c->w);
	for (i = 0; i < c->n_references; i++)
		row = grid_rope(m, row, REFERENCE_STEP * (i + 1), c->reference[i].h,
				c->reference[i].w);
	return row;
}

static int flux2_prepare(const void *self, struct graph *g, void *built, const struct canvas *c)
{
	const struct flux2 *m = self;
	const struct built *b = built;
	float *table = calloc(b->rope.rows, m->head_dim * sizeof *table), *row = table;
	unsigned i;

	if (!table)
		return -ENOMEM;
	for (i = 0; i < b->n_captions; i++)
		row = sequence_rope(m, row, b->refined[0].rows, c);
	graph_write(g, b->rope, table);
	free(table);
	return 0;
}

/* [channels, n] -> [n, channels] */
static void to_tokens(const struct flux2 *m, const float *latent, uint32_t n, float *tokens)
{
	uint32_t c, i;

	for (c = 0; c < m->in_channels; c++)
		for (i = 0; i < n; i++)
			tokens[(size_t)i * m->in_channels + c] = *latent++;
}

static void feed_references(const struct flux2 *m, struct graph *g, struct built *b,
			    const float *const *references, const struct canvas *canvas)
{
	float *tokens = b->host;
	unsigned i;

	for (i = 0; i < canvas->n_references; i++) {
		uint32_t n = canvas->reference[i].h * canvas->reference[i].w;

		to_tokens(m, references[i], n, tokens);
		tokens += (size_t)n * m->in_channels;
	}
	graph_write(g, b->references, b->host);
}

static void flux2_feed(const void *self, struct graph *g, void *built, const float *latent,
		       float sigma, const float *const *refined, const float *const *references,
		       const struct canvas *canvas)
{
	const struct flux2 *m = self;
	struct built *b = built;
	/* Divided and multiplied again, as the reference does. */
	float frequencies[FLUX2_FREQUENCIES], t = sigma * 1000.0f / 1000.0f * 1000.0f;
	unsigned i;

	to_tokens(m, latent, b->tokens.rows, b->host);
	graph_write(g, b->tokens, b->host);
	nn_timestep_fill(t, m->timestep_channels / 2, frequencies);
	graph_write(g, b->frequencies, frequencies);
	for (i = 0; i < b->n_captions; i++)
		graph_write(g, b->refined[i], refined[i]);
	if (b->n_references)
		feed_references(m, g, b, references, canvas);
}

static void flux2_velocity(const void *self, struct graph *g, void *built, unsigned i, float *ret)
{
	const struct flux2 *m = self;
	struct built *b = built;
	uint32_t c, token, n = b->tokens.rows;

	graph_read(g, b->out[i], b->host);
	for (c = 0; c < m->in_channels; c++)
		for (token = 0; token < n; token++)
			*ret++ = b->host[(size_t)token * m->in_channels + c];
}

static const uint32_t text_layers[] = { 9, 18, 27, 0 };

const struct transformer_class flux2 = {
	.prompt_prefix = "<|im_start|>user\n",
	.prompt_suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
	.cond_key = "joint_attention_dim",
	.text_layers = text_layers,
	.pads_prompt = true,
	.default_side = 1024,
	.defaults = { { .steps = 50, .guidance = 4 }, { .steps = 4 } },
	.max_references = LIMIT_INPUT_IMAGES,
	.guidance_base = 1,
	.create = flux2_create,
	.free = flux2_free,
	.bind = flux2_bind,
	.latent_channels = flux2_latent_channels,
	.cond_width = flux2_cond_width,
	.image_tokens = flux2_image_tokens,
	.check_size = flux2_check_size,
	.build_cond = flux2_build_cond,
	.feed_cond = flux2_feed_cond,
	.free_cond = free,
	.build = flux2_build,
	.build_skim = flux2_build_skim,
	.prepare = flux2_prepare,
	.feed = flux2_feed,
	.velocity = flux2_velocity,
	.free_built = flux2_free_built,
};
