/*
 * FLUX.2: reads and checks transformer/config.json, claims the tensors. GPU thread, or
 * the importer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/transformer/axes.h"
#include "runner/transformer/flux2.h"

enum { MAX_BLOCKS = 1024, MAX_HEADS = 1024, MAX_WIDTH = 1 << 16 };

/* ---- config ---- */

#define COUNT(member, name_, max_) \
	FIELD_AS(struct flux2, member, name_, U32, .required = true, .min = 1, .max = (max_))

static const struct field config_fields[] = {
	COUNT(n_layers, "num_layers", MAX_BLOCKS),
	COUNT(n_single_layers, "num_single_layers", MAX_BLOCKS),
	COUNT(n_heads, "num_attention_heads", MAX_HEADS),
	COUNT(head_dim, "attention_head_dim", 4096),
	COUNT(joint_attention_dim, "joint_attention_dim", MAX_WIDTH),
	COUNT(in_channels, "in_channels", 1024),
	FIELD(struct flux2, patch_size, U32, .min = 1, .max = 64),
	FIELD_AS(struct flux2, timestep_channels, "timestep_guidance_channels", U32, .min = 2,
		 .max = FLUX2_FREQUENCIES),
	FIELD(struct flux2, mlp_ratio, F64, .min = 0.1, .max = 64),
	FIELD(struct flux2, rope_theta, F64, .min = 1, .max = 1e12),
	FIELD(struct flux2, eps, F64, .min = 1e-12, .max = 1),
	FIELD(struct flux2, guidance_embeds, BOOL),
	FIELD_AS(struct flux2, axes_dims_json, "axes_dims_rope", JSON),
	FIELD_AS(struct flux2, out_channels_json, "out_channels", JSON),
	{ 0 }
};

static int check_supported(const struct flux2 *m, struct err *err)
{
	if (m->patch_size != 1)
		return err_set(err, -EINVAL, "patch_size must be 1: latents come packed");
	if (m->guidance_embeds)
		return err_set(err, -EINVAL, "guidance_embeds true (FLUX.2-dev) is not supported");
	if (m->timestep_channels % 2)
		return err_set(err, -EINVAL, "timestep_guidance_channels %u is odd",
			       m->timestep_channels);
	if (json_is_integer(m->out_channels_json) &&
	    json_integer_value(m->out_channels_json) != m->in_channels)
		return err_set(err, -EINVAL, "out_channels must be null or in_channels %u",
			       m->in_channels);
	if ((uint64_t)m->n_heads * m->head_dim > MAX_WIDTH)
		return err_set(err, -EINVAL, "num_attention_heads %u of %u are too wide",
			       m->n_heads, m->head_dim);
	return 0;
}

static int read_config(struct flux2 *m, const json_t *config, struct err *err)
{
	int r = fields_read(config_fields, config, 0, m, NULL, err);

	if (r == 0)
		r = check_supported(m, err);
	if (r == 0 && m->axes_dims_json)
		r = axes_read(m->axes_dims_json, "axes_dims_rope", FLUX2_AXES, 4096, m->axes_dims,
			      err);
	if (r == 0)
		r = axes_check(m->axes_dims, "axes_dims_rope", FLUX2_AXES, m->head_dim, err);
	if (r < 0)
		return r;
	m->dim = m->n_heads * m->head_dim;
	m->ffn = (uint32_t)(m->dim * m->mlp_ratio);
	if (m->ffn % 4)
		return err_set(err, -EINVAL, "mlp_ratio gives a width of %u, no multiple of 4",
			       m->ffn);
	return 0;
}

void flux2_free(void *self)
{
	struct flux2 *m = self;

	if (!m)
		return;
	fields_clear(config_fields, m);
	free(m->double_blocks);
	free(m->single_blocks);
	free(m);
}

int flux2_create(const json_t *config, void **ret, struct err *err)
{
	struct flux2 *m = malloc(sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	*m = (struct flux2){
		.patch_size = 1, .timestep_channels = 256, .mlp_ratio = 3, .rope_theta = 2000,
		.eps = 1e-6, .guidance_embeds = true, .axes_dims = { 32, 32, 32, 32 },
	};
	r = read_config(m, config, err);
	if (r == 0) {
		m->double_blocks = calloc(m->n_layers, sizeof *m->double_blocks);
		m->single_blocks = calloc(m->n_single_layers, sizeof *m->single_blocks);
		if (!m->double_blocks || !m->single_blocks)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		flux2_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* ---- weights ---- */

/* What the two streams of a block call the same things. */
struct stream_names {
	const char *q, *k, *v, *out, *norm_q, *norm_k, *ff;
};
static const struct stream_names img_names = {
	"to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k", "ff",
};
static const struct stream_names txt_names = {
	"add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "norm_added_q", "norm_added_k",
	"ff_context",
};

static void bind_stream(const struct flux2 *m, struct weights *w, struct stream *s,
			const struct stream_names *n, unsigned i)
{
	const struct { struct linear *linear; const char *name; } square[] = {
		{ &s->q, n->q }, { &s->k, n->k }, { &s->v, n->v }, { &s->out, n->out },
	};
	size_t j;

	for (j = 0; j < sizeof square / sizeof square[0]; j++)
		weights_matrix(w, &square[j].linear->weight, m->dim, m->dim,
			       "transformer_blocks.%u.attn.%s.weight", i, square[j].name);
	weights_vector(w, &s->norm_q, m->head_dim, "transformer_blocks.%u.attn.%s.weight", i,
		       n->norm_q);
	weights_vector(w, &s->norm_k, m->head_dim, "transformer_blocks.%u.attn.%s.weight", i,
		       n->norm_k);
	weights_matrix(w, &s->ff_in, 2 * m->ffn, m->dim,
		       "transformer_blocks.%u.%s.linear_in.weight", i, n->ff);
	weights_rows(w, &s->ff.gate.weight, &s->ff_in, 0, m->ffn);
	weights_rows(w, &s->ff.up.weight, &s->ff_in, m->ffn, m->ffn);
	weights_matrix(w, &s->ff.down.weight, m->dim, m->ffn,
		       "transformer_blocks.%u.%s.linear_out.weight", i, n->ff);
}

static void bind_single(const struct flux2 *m, struct weights *w, struct single_block *b,
			unsigned i)
{
	const struct { struct linear *linear; uint32_t rows; } parts[] = {
		{ &b->q, m->dim }, { &b->k, m->dim }, { &b->v, m->dim },
		{ &b->gate, m->ffn }, { &b->up, m->ffn },
	};
	uint32_t row = 0;
	size_t j;

	weights_matrix(w, &b->in, 3 * m->dim + 2 * m->ffn, m->dim,
		       "single_transformer_blocks.%u.attn.to_qkv_mlp_proj.weight", i);
	for (j = 0; j < sizeof parts / sizeof parts[0]; row += parts[j++].rows)
		weights_rows(w, &parts[j].linear->weight, &b->in, row, parts[j].rows);
	weights_matrix(w, &b->out.weight, m->dim, m->dim + m->ffn,
		       "single_transformer_blocks.%u.attn.to_out.weight", i);
	weights_vector(w, &b->norm_q, m->head_dim, "single_transformer_blocks.%u.attn.norm_q.weight",
		       i);
	weights_vector(w, &b->norm_k, m->head_dim, "single_transformer_blocks.%u.attn.norm_k.weight",
		       i);
}

void flux2_bind(void *self, struct weights *w)
{
	struct flux2 *m = self;
	const uint32_t dim = m->dim;
	const struct { struct linear *linear; uint32_t out, in; const char *name; } linears[] = {
		{ &m->x_embedder, dim, m->in_channels, "x_embedder" },
		{ &m->time_embedder[0], dim, m->timestep_channels,
		  "time_guidance_embed.timestep_embedder.linear_1" },
		{ &m->time_embedder[1], dim, dim,
		  "time_guidance_embed.timestep_embedder.linear_2" },
		{ &m->modulation_img, 6 * dim, dim, "double_stream_modulation_img.linear" },
		{ &m->modulation_txt, 6 * dim, dim, "double_stream_modulation_txt.linear" },
		{ &m->modulation_single, 3 * dim, dim, "single_stream_modulation.linear" },
		{ &m->norm_out, 2 * dim, dim, "norm_out.linear" },
		{ &m->proj_out, m->in_channels, dim, "proj_out" },
	};
	uint32_t i;

	weights_component(w, "transformer", NULL);
	weights_part(w, WEIGHTS_CAPTION);
	weights_matrix(w, &m->context_embedder.weight, dim, m->joint_attention_dim,
		       "context_embedder.weight");

	weights_part(w, WEIGHTS_PICTURE);
	for (i = 0; i < sizeof linears / sizeof linears[0]; i++)
		weights_matrix(w, &linears[i].linear->weight, linears[i].out, linears[i].in,
			       "%s.weight", linears[i].name);
	for (i = 0; i < m->n_layers; i++) {
		bind_stream(m, w, &m->double_blocks[i].img, &img_names, i);
		bind_stream(m, w, &m->double_blocks[i].txt, &txt_names, i);
	}
	for (i = 0; i < m->n_single_layers; i++)
		bind_single(m, w, &m->single_blocks[i], i);
}
