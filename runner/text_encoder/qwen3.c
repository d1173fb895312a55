/*
 * The Qwen3 decoder as a text encoder: what the transformer is fed is the residual
 * stream after some layers, without the final norm; layers behind the last of them, the
 * norm and the output matrix are never loaded. Owns its config and weight handles.
 * GPU thread; create and bind also in the importer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/nn/nn.h"
#include "runner/text_encoder/text_encoder.h"

enum { MAX_LAYERS = 1024, MAX_WIDTH = 1 << 16, MAX_HEADS = 1024, MAX_VOCAB = 1 << 24,
	MAX_READ = 8 };

struct block {
	struct weight input_norm, post_attention_norm;
	struct attention attention;
	struct swiglu mlp;
};

struct qwen3 {
	uint32_t hidden, n_layers, n_heads, n_kv_heads, head_dim, intermediate, vocab;
	double eps, theta;
	bool attention_bias, use_sliding_window;
	char *hidden_act;
	json_t *rope_parameters, *rope_scaling;
	const struct weights_source *embedding; /* on the host; a row gather needs no device */
	struct block *blocks;
	uint32_t read[MAX_READ];                /* layers whose outputs make the result */
	unsigned n_read;
	uint32_t n_run;                         /* blocks that the result depends on */
};

#define COUNT(member, name_, max_) \
	FIELD_AS(struct qwen3, member, name_, U32, .required = true, .min = 1, .max = (max_))

static const struct field config_fields[] = {
	COUNT(hidden, "hidden_size", MAX_WIDTH),
	FIELD_AS(struct qwen3, n_layers, "num_hidden_layers", U32, .required = true, .min = 2,
		 .max = MAX_LAYERS),
	COUNT(n_heads, "num_attention_heads", MAX_HEADS),
	COUNT(n_kv_heads, "num_key_value_heads", MAX_HEADS),
	FIELD_AS(struct qwen3, head_dim, "head_dim", U32, .min = 1, .max = 4096),
	COUNT(intermediate, "intermediate_size", 1 << 20),
	COUNT(vocab, "vocab_size", MAX_VOCAB),
	FIELD_AS(struct qwen3, eps, "rms_norm_eps", F64, .min = 1e-12, .max = 1),
	FIELD_AS(struct qwen3, theta, "rope_theta", F64, .min = 1, .max = 1e12),
	FIELD(struct qwen3, attention_bias, BOOL),
	FIELD(struct qwen3, use_sliding_window, BOOL),
	FIELD(struct qwen3, hidden_act, STR, .max = 64),
	FIELD(struct qwen3, rope_parameters, JSON),
	FIELD(struct qwen3, rope_scaling, JSON),
	{ 0 }
};

/* Newer files keep these inside rope_parameters. */
struct rope_parameters {
	double theta;
	char *type;
};
static const struct field rope_fields[] = {
	FIELD_AS(struct rope_parameters, theta, "rope_theta", F64, .min = 1, .max = 1e12),
	FIELD_AS(struct rope_parameters, type, "rope_type", STR, .max = 64),
	{ 0 }
};

static int read_rope_parameters(struct qwen3 *m, struct err *err)
{
	struct rope_parameters p = { .theta = m->theta };
	int r;

	if (json_is_object(m->rope_scaling))
		return err_set(err, -EINVAL, "rope_scaling is not supported");
	if (!json_is_object(m->rope_parameters))
		return 0;
	r = fields_read(rope_fields, m->rope_parameters, 0, &p, NULL, err);
	if (r < 0)
		return err_prefix(err, "rope_parameters");
	if (p.type && strcmp(p.type, "default"))
		r = err_set(err, -EINVAL, "rope_parameters: rope_type '%s' is not supported",
			    p.type);
	m->theta = p.theta;
	fields_clear(rope_fields, &p);
	return r;
}

static int check(const struct qwen3 *m, struct err *err)
{
	if (m->n_heads % m->n_kv_heads)
		return err_set(err, -EINVAL,
			       "num_attention_heads %u is no multiple of num_key_value_heads %u",
			       m->n_heads, m->n_kv_heads);
	if (m->head_dim == 0)
		return err_set(err, -EINVAL,
			       "hidden_size %u cannot be divided by num_attention_heads %u "
			       "and there is no head_dim", m->hidden, m->n_heads);
	if (m->head_dim % 8)
		return err_set(err, -EINVAL, "head_dim %u is no multiple of 8", m->head_dim);
	if (m->attention_bias || m->use_sliding_window)
		return err_set(err, -EINVAL, "%s is not supported",
			       m->attention_bias ? "attention_bias" : "use_sliding_window");
	if (m->hidden_act && strcmp(m->hidden_act, "silu"))
		return err_set(err, -EINVAL, "hidden_act '%s' is not supported (only silu)",
			       m->hidden_act);
	return 0;
}

static void qwen3_free(void *self)
{
	struct qwen3 *m = self;

	if (!m)
		return;
	fields_clear(config_fields, m);
	free(m->blocks);
	free(m);
}

static int read_config(struct qwen3 *m, const json_t *config, struct err *err)
{
	int r = fields_read(config_fields, config, 0, m, NULL, err);

	if (r < 0)
		return r;
	if (m->head_dim == 0 && m->hidden % m->n_heads == 0)
		m->head_dim = m->hidden / m->n_heads;
	r = read_rope_parameters(m, err);
	return r < 0 ? r : check(m, err);
}

static int choose_layers(struct qwen3 *m, const uint32_t *layers, struct err *err)
{
	if (!layers) {
		m->read[m->n_read++] = m->n_layers - 1;
	} else {
		while (m->n_read < MAX_READ && layers[m->n_read]) {
			m->read[m->n_read] = layers[m->n_read];
			m->n_read++;
		}
	}
	m->n_run = m->read[m->n_read - 1];
	/* After the last layer the reference applies the final norm: nobody reads that. */
	if (m->n_run >= m->n_layers)
		return err_set(err, -EINVAL, "num_hidden_layers %u is too few: this pipeline reads "
			       "layer %u", m->n_layers, m->n_run);
	m->blocks = calloc(m->n_run, sizeof *m->blocks);
	return m->blocks ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int qwen3_create(const json_t *config, const uint32_t *layers, void **ret, struct err *err)
{
	struct qwen3 *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->eps = 1e-6;
	m->theta = 1e6;
	r = read_config(m, config, err);
	if (r == 0)
		r = choose_layers(m, layers, err);
	if (r < 0) {
		qwen3_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static void bind_attention(const struct qwen3 *m, struct weights *w, struct attention *a,
			   unsigned i)
{
	uint32_t q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;

	*a = (struct attention){
		.n_heads = m->n_heads, .n_kv_heads = m->n_kv_heads, .head_dim = m->head_dim,
		.eps = (float)m->eps, .layout = ROPE_HALVES, .causal = true,
	};
	weights_matrix(w, &a->q.weight, q, m->hidden, "layers.%u.self_attn.q_proj.weight", i);
	weights_matrix(w, &a->k.weight, kv, m->hidden, "layers.%u.self_attn.k_proj.weight", i);
	weights_matrix(w, &a->v.weight, kv, m->hidden, "layers.%u.self_attn.v_proj.weight", i);
	weights_matrix(w, &a->out.weight, m->hidden, q, "layers.%u.self_attn.o_proj.weight", i);
	weights_vector(w, &a->norm_q, m->head_dim, "layers.%u.self_attn.q_norm.weight", i);
	weights_vector(w, &a->norm_k, m->head_dim, "layers.%u.self_attn.k_norm.weight", i);
}

static void bind_block(const struct qwen3 *m, struct weights *w, struct block *b, unsigned i)
{
	bind_attention(m, w, &b->attention, i);
	weights_vector(w, &b->input_norm, m->hidden, "layers.%u.input_layernorm.weight", i);
	weights_vector(w, &b->post_attention_norm, m->hidden,
		       "layers.%u.post_attention_layernorm.weight", i);
	weights_matrix(w, &b->mlp.gate.weight, m->intermediate, m->hidden,
		       "layers.%u.mlp.gate_proj.weight", i);
	weights_matrix(w, &b->mlp.up.weight, m->intermediate, m->hidden,
		       "layers.%u.mlp.up_proj.weight", i);
	weights_matrix(w, &b->mlp.down.weight, m->hidden, m->intermediate,
		       "layers.%u.mlp.down_proj.weight", i);
}

static void qwen3_bind(void *self, struct weights *w)
{
	struct qwen3 *m = self;
	char unused[32];
	uint32_t i;

	weights_component(w, "text_encoder", "model.");
	m->embedding = weights_host(w, 2, (const uint32_t[]){ m->vocab, m->hidden },
				    "embed_tokens.weight");
	for (i = 0; i < m->n_run; i++)
		bind_block(m, w, &m->blocks[i], i);
	for (i = m->n_run; i < m->n_layers; i++) {
		snprintf(unused, sizeof unused, "layers.%u.", i);
		weights_ignore(w, unused);
	}
	weights_ignore(w, "norm.weight");
	weights_ignore(w, "lm_head.weight");
}

static uint32_t qwen3_width(const void *self)
{
	const struct qwen3 *m = self;

	return m->hidden * m->n_read;
}

static uint32_t qwen3_vocab(const void *self)
{
	return ((const struct qwen3 *)self)->vocab;
}

/*
 *	x += attention(norm(x))
 *	x += mlp(norm(x))
 *
 * x [n, hidden]
 */
static T block_forward(struct graph *g, const struct qwen3 *m, const struct block *b, T x, T rope,
		       uint32_t n_seen)
{
	float eps = (float)m->eps;
	T h;

	h = op_rms_norm(g, x, &b->input_norm, eps);
	x = op_add(g, x, nn_attention(g, &b->attention, h, rope, n_seen, 1));
	h = op_rms_norm(g, x, &b->post_attention_norm, eps);
	return op_add(g, x, nn_swiglu(g, &b->mlp, h));
}

static T qwen3_build(const void *self, struct graph *g, uint32_t n, uint32_t n_seen, T *ret_embeds,
		     T *ret_rope)
{
	const struct qwen3 *m = self;
	T x, read[MAX_READ];
	unsigned n_read = 0;
	uint32_t i;

	*ret_embeds = graph_input(g, n, m->hidden);
	*ret_rope = graph_input(g, n, m->head_dim);
	x = graph_tap(g, *ret_embeds, "hidden_states.0");
	for (i = 0; i < m->n_run; i++) {
		x = block_forward(g, m, &m->blocks[i], x, *ret_rope, n_seen);
		graph_tap(g, x, "hidden_states.%u", i + 1);
		if (i + 1 == m->read[n_read])
			read[n_read++] = x;
	}
	return n_read > 1 ? op_concat_cols(g, read, n_read) : x;
}

static void gather(const struct qwen3 *m, const uint32_t *ids, uint32_t n, float *ret)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		weights_decode(m->embedding, ids[i], ret + (size_t)i * m->hidden);
}

static int qwen3_feed(const void *self, struct graph *g, T embeds, T rope, const uint32_t *ids,
		      uint32_t n)
{
	const struct qwen3 *m = self;
	uint32_t i, widest = m->hidden > m->head_dim ? m->hidden : m->head_dim;
	float *x = calloc(n, widest * sizeof *x);

	if (!x)
		return -ENOMEM;
	gather(m, ids, n, x);
	graph_write(g, embeds, x);
	for (i = 0; i < n; i++)
		nn_rope_fill(x + (size_t)i * m->head_dim, m->head_dim, 0, i, m->head_dim, m->theta,
			     ROPE_ANGLE_FLOAT);
	graph_write(g, rope, x);
	free(x);
	return 0;
}

const struct text_encoder_class qwen3 = {
	.create = qwen3_create,
	.free = qwen3_free,
	.bind = qwen3_bind,
	.width = qwen3_width,
	.vocab = qwen3_vocab,
	.build = qwen3_build,
	.feed = qwen3_feed,
};
