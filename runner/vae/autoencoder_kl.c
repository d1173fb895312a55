/*
 * The decoder of AutoencoderKL: latent to picture. Owns its config and weight handles;
 * the encoder's tensors are known and ignored. GPU thread; create and bind also in the
 * importer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/nn/nn.h"
#include "runner/vae/vae.h"

enum { N_BLOCKS = 4, MAX_RESNETS = 17, RGB = 3 };       /* three doublings: 8 pixels per latent */

static const float norm_eps = 1e-6f;            /* not in the config; the reference's constant */

struct norm {
	struct weight weight, bias;
};

struct resnet {
	struct norm norm1, norm2;
	struct linear conv1, conv2;
	struct linear shortcut;                 /* 1x1, only when channels change */
};

struct up_block {
	struct resnet resnets[MAX_RESNETS];
	struct linear upsampler;                /* 3x3; not in the last block */
	uint32_t channels;
};

struct mid_block {
	struct resnet resnets[2];
	struct norm norm;
	struct linear q, k, v, out;
};

struct autoencoder_kl {
	uint32_t latent_channels, out_channels, layers_per_block, groups;
	double scaling_factor, shift_factor;
	bool use_quant_conv, use_post_quant_conv, mid_attention;
	char *act_fn;
	json_t *channels_json, *up_types_json, *mean_json, *std_json;
	uint32_t channels[N_BLOCKS];
	struct linear conv_in, conv_out;
	struct norm norm_out;
	struct mid_block mid;
	struct up_block up[N_BLOCKS];
};

/* ---- config ---- */

static const struct field config_fields[] = {
	FIELD(struct autoencoder_kl, latent_channels, U32, .required = true, .min = 1, .max = 1024),
	FIELD(struct autoencoder_kl, out_channels, U32, .min = 1, .max = 1024),
	FIELD(struct autoencoder_kl, layers_per_block, U32, .required = true, .min = 1,
	      .max = MAX_RESNETS - 1),
	FIELD_AS(struct autoencoder_kl, groups, "norm_num_groups", U32, .min = 1, .max = 4096),
	FIELD(struct autoencoder_kl, scaling_factor, F64, .required = true, .min = 1e-6,
	      .max = 1e6),
	FIELD(struct autoencoder_kl, shift_factor, F64, .min = -1e6, .max = 1e6),
	FIELD(struct autoencoder_kl, use_quant_conv, BOOL),
	FIELD(struct autoencoder_kl, use_post_quant_conv, BOOL),
	FIELD_AS(struct autoencoder_kl, mid_attention, "mid_block_add_attention", BOOL),
	FIELD(struct autoencoder_kl, act_fn, STR, .max = 64),
	FIELD_AS(struct autoencoder_kl, channels_json, "block_out_channels", JSON,
		 .required = true),
	FIELD_AS(struct autoencoder_kl, up_types_json, "up_block_types", JSON),
	FIELD_AS(struct autoencoder_kl, mean_json, "latents_mean", JSON),
	FIELD_AS(struct autoencoder_kl, std_json, "latents_std", JSON),
	{ 0 }
};

static int read_channels(struct autoencoder_kl *m, struct err *err)
{
	unsigned i;

	if (json_array_size(m->channels_json) != N_BLOCKS)
		return err_set(err, -EINVAL, "block_out_channels must be a list of %d numbers",
			       N_BLOCKS);
	for (i = 0; i < N_BLOCKS; i++) {
		json_int_t v = json_integer_value(json_array_get(m->channels_json, i));

		if (v < 1 || v > 1 << 14)
			return err_set(err, -EINVAL, "block_out_channels[%u] is out of range", i);
		if (v % m->groups)
			return err_set(err, -EINVAL,
				       "block_out_channels[%u] = %lld cannot be divided into "
				       "norm_num_groups %u", i, (long long)v, m->groups);
		m->channels[i] = (uint32_t)v;
	}
	return 0;
}

static int check_block_types(const json_t *types, struct err *err)
{
	size_t i;

	for (i = 0; i < json_array_size(types); i++) {
		const char *type = json_string_value(json_array_get(types, i));

		if (!type || strcmp(type, "UpDecoderBlock2D"))
			return err_set(err, -EINVAL, "up_block_types: '%.64s' is not supported",
				       type ? type : "");
	}
	return 0;
}

static int check(const struct autoencoder_kl *m, struct err *err)
{
	if (m->out_channels != RGB)
		return err_set(err, -EINVAL, "out_channels must be %d", RGB);
	if (m->use_quant_conv || m->use_post_quant_conv)
		return err_set(err, -EINVAL, "%s is not supported",
			       m->use_quant_conv ? "use_quant_conv" : "use_post_quant_conv");
	if (m->act_fn && strcmp(m->act_fn, "silu"))
		return err_set(err, -EINVAL, "act_fn '%s' is not supported (only silu)", m->act_fn);
	if (json_is_array(m->mean_json) || json_is_array(m->std_json))
		return err_set(err, -EINVAL, "latents_mean and latents_std are not supported");
	if (m->mid_attention && m->channels[N_BLOCKS - 1] % 4)
		return err_set(err, -EINVAL, "block_out_channels[%d] must be a multiple of 4",
			       N_BLOCKS - 1);
	return check_block_types(m->up_types_json, err);
}

static void autoencoder_kl_free(void *self)
{
	if (self)
		fields_clear(config_fields, self);
	free(self);
}

static int autoencoder_kl_create(const json_t *config, void **ret, struct err *err)
{
	struct autoencoder_kl *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->out_channels = RGB;
	m->groups = 32;
	m->mid_attention = true;
	/* Without these keys the reference's class has them true. */
	m->use_quant_conv = m->use_post_quant_conv = true;
	r = fields_read(config_fields, config, 0, m, NULL, err);
	if (r == 0)
		r = read_channels(m, err);
	if (r == 0)
		r = check(m, err);
	if (r < 0) {
		autoencoder_kl_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* ---- weights ---- */

static void bind_norm(struct weights *w, struct norm *n, uint32_t channels, const char *name)
{
	weights_vector(w, &n->weight, channels, "%s.weight", name);
	weights_vector(w, &n->bias, channels, "%s.bias", name);
}

static void bind_conv(struct weights *w, struct linear *l, uint32_t out, uint32_t in,
		      const char *name)
{
	weights_conv3x3(w, &l->weight, out, in, "%s.weight", name);
	weights_vector(w, &l->bias, out, "%s.bias", name);
}

static void bind_linear(struct weights *w, struct linear *l, uint32_t out, uint32_t in,
			const char *name)
{
	weights_matrix(w, &l->weight, out, in, "%s.weight", name);
	weights_vector(w, &l->bias, out, "%s.bias", name);
}

/* "block.part" in a buffer of the caller's. */
static const char *part_of(const char *block, const char *part, char ret[128])
{
	snprintf(ret, 128, "%s.%s", block, part);
	return ret;
}

static void bind_resnet(struct weights *w, struct resnet *r, uint32_t in, uint32_t out,
			const char *block)
{
	char name[128];

	bind_norm(w, &r->norm1, in, part_of(block, "norm1", name));
	bind_conv(w, &r->conv1, out, in, part_of(block, "conv1", name));
	bind_norm(w, &r->norm2, out, part_of(block, "norm2", name));
	bind_conv(w, &r->conv2, out, out, part_of(block, "conv2", name));
	if (in == out)
		return;
	weights_conv1x1(w, &r->shortcut.weight, out, in, "%s.conv_shortcut.weight", block);
	weights_vector(w, &r->shortcut.bias, out, "%s.conv_shortcut.bias", block);
}

static void bind_mid_block(struct weights *w, struct mid_block *b, uint32_t c, bool attention)
{
	bind_resnet(w, &b->resnets[0], c, c, "decoder.mid_block.resnets.0");
	bind_resnet(w, &b->resnets[1], c, c, "decoder.mid_block.resnets.1");
	if (!attention)
		return;
	bind_norm(w, &b->norm, c, "decoder.mid_block.attentions.0.group_norm");
	bind_linear(w, &b->q, c, c, "decoder.mid_block.attentions.0.to_q");
	bind_linear(w, &b->k, c, c, "decoder.mid_block.attentions.0.to_k");
	bind_linear(w, &b->v, c, c, "decoder.mid_block.attentions.0.to_v");
	bind_linear(w, &b->out, c, c, "decoder.mid_block.attentions.0.to_out.0");
}

static void bind_up_block(const struct autoencoder_kl *m, struct weights *w, struct up_block *b,
			  uint32_t in, uint32_t out, unsigned i)
{
	char name[128];
	uint32_t j;

	b->channels = out;
	for (j = 0; j <= m->layers_per_block; j++) {
		snprintf(name, sizeof name, "decoder.up_blocks.%u.resnets.%u", i, j);
		bind_resnet(w, &b->resnets[j], j ? out : in, out, name);
	}
	if (i == N_BLOCKS - 1)
		return;
	snprintf(name, sizeof name, "decoder.up_blocks.%u.upsamplers.0.conv", i);
	bind_conv(w, &b->upsampler, out, out, name);
}

static void autoencoder_kl_bind(void *self, struct weights *w)
{
	struct autoencoder_kl *m = self;
	uint32_t i, channels = m->channels[N_BLOCKS - 1];

	weights_component(w, "vae", NULL);
	bind_conv(w, &m->conv_in, channels, m->latent_channels, "decoder.conv_in");
	bind_mid_block(w, &m->mid, channels, m->mid_attention);
	for (i = 0; i < N_BLOCKS; i++) {
		uint32_t out = m->channels[N_BLOCKS - 1 - i];

		bind_up_block(m, w, &m->up[i], channels, out, i);
		channels = out;
	}
	bind_norm(w, &m->norm_out, channels, "decoder.conv_norm_out");
	bind_conv(w, &m->conv_out, RGB, channels, "decoder.conv_out");
	weights_ignore(w, "encoder.");
}

static uint32_t autoencoder_kl_latent_channels(const void *self)
{
	return ((const struct autoencoder_kl *)self)->latent_channels;
}

/* ---- the network; pictures are [h * w, channels] ---- */

struct size {
	uint32_t h, w;
};

static T group_norm(struct graph *g, const struct autoencoder_kl *m, const struct norm *n, T x,
		    bool silu)
{
	return op_group_norm(g, x, m->groups, &n->weight, &n->bias, norm_eps, silu);
}

static T conv(struct graph *g, const struct linear *l, T x, struct size s)
{
	return op_conv3x3(g, x, s.h, s.w, false, &l->weight, &l->bias);
}

/* x + conv(silu(norm(conv(silu(norm(x)))))), the x through a 1x1 when channels change */
static T resnet_forward(struct graph *g, const struct autoencoder_kl *m, const struct resnet *r,
			T x, struct size s)
{
	T h = conv(g, &r->conv1, group_norm(g, m, &r->norm1, x, true), s);

	h = conv(g, &r->conv2, group_norm(g, m, &r->norm2, h, true), s);
	if (r->shortcut.weight.rank)
		x = nn_linear(g, &r->shortcut, x);
	return op_add(g, x, h);
}

/* One head as wide as the picture has channels. */
static T mid_attention(struct graph *g, const struct autoencoder_kl *m, T x)
{
	const struct mid_block *b = &m->mid;
	T h = group_norm(g, m, &b->norm, x, false);

	h = op_attention(g, nn_linear(g, &b->q, h), nn_linear(g, &b->k, h), nn_linear(g, &b->v, h),
			 1, 1, false);
	return op_add(g, x, nn_linear(g, &b->out, h));
}

static T up_block_forward(struct graph *g, const struct autoencoder_kl *m, const struct up_block *b,
			  T x, struct size *s)
{
	uint32_t j;

	for (j = 0; j <= m->layers_per_block; j++)
		x = resnet_forward(g, m, &b->resnets[j], x, *s);
	if (b->upsampler.weight.rank) {
		x = op_conv3x3(g, x, s->h, s->w, true, &b->upsampler.weight, &b->upsampler.bias);
		*s = (struct size){ 2 * s->h, 2 * s->w };
	}
	return x;
}

static T autoencoder_kl_build_decode(const void *self, struct graph *g, uint32_t h, uint32_t w,
				     T *ret_latent)
{
	const struct autoencoder_kl *m = self;
	struct size s = { h, w };
	unsigned i;
	T x;

	*ret_latent = graph_input(g, h * w, m->latent_channels);
	x = graph_tap(g, conv(g, &m->conv_in, *ret_latent, s), "decoder.conv_in");
	x = resnet_forward(g, m, &m->mid.resnets[0], x, s);
	if (m->mid_attention)
		x = mid_attention(g, m, x);
	x = graph_tap(g, resnet_forward(g, m, &m->mid.resnets[1], x, s), "decoder.mid_block");
	for (i = 0; i < N_BLOCKS; i++)
		x = graph_tap(g, up_block_forward(g, m, &m->up[i], x, &s), "decoder.up_blocks.%u",
			      i);
	return conv(g, &m->conv_out, group_norm(g, m, &m->norm_out, x, true), s);
}

/* [channels, h, w] as the sampler left it -> [h * w, channels] as the decoder was trained on. */
static int autoencoder_kl_feed_decode(const void *self, struct graph *g, T input,
				      const float *latent, uint32_t h, uint32_t w)
{
	const struct autoencoder_kl *m = self;
	float scaling = (float)m->scaling_factor, shift = (float)m->shift_factor;
	size_t i, n = (size_t)h * w;
	float *x = calloc(n, m->latent_channels * sizeof *x);
	uint32_t c;

	if (!x)
		return -ENOMEM;
	for (c = 0; c < m->latent_channels; c++)
		for (i = 0; i < n; i++)
			x[i * m->latent_channels + c] = latent[c * n + i] / scaling + shift;
	graph_write(g, input, x);
	free(x);
	return 0;
}

static bool autoencoder_kl_can_encode(const void *self)
{
	(void)self;
	return false;
}

const struct vae_class autoencoder_kl = {
	.scale = VAE_EIGHTH, .samples = true,
	.create = autoencoder_kl_create,
	.free = autoencoder_kl_free,
	.bind = autoencoder_kl_bind,
	.latent_channels = autoencoder_kl_latent_channels,
	.build_decode = autoencoder_kl_build_decode,
	.feed_decode = autoencoder_kl_feed_decode,
	.can_encode = autoencoder_kl_can_encode,
};
