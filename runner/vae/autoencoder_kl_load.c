/*
 * Configs and weights of AutoencoderKL and AutoencoderKLFlux2. Owns the struct that holds
 * them. GPU thread; create and bind also in the importer.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/vae/autoencoder_kl.h"

/* ---- config ---- */

static const struct field common_fields[] = {
	FIELD(struct autoencoder_kl, latent_channels, U32, .required = true, .min = 1, .max = 1024),
	FIELD(struct autoencoder_kl, in_channels, U32, .min = 1, .max = 1024),
	FIELD(struct autoencoder_kl, out_channels, U32, .min = 1, .max = 1024),
	FIELD(struct autoencoder_kl, layers_per_block, U32, .required = true, .min = 1,
	      .max = AKL_RESNETS - 1),
	FIELD_AS(struct autoencoder_kl, groups, "norm_num_groups", U32, .min = 1, .max = 4096),
	FIELD(struct autoencoder_kl, use_quant_conv, BOOL),
	FIELD(struct autoencoder_kl, use_post_quant_conv, BOOL),
	FIELD_AS(struct autoencoder_kl, mid_attention, "mid_block_add_attention", BOOL),
	FIELD(struct autoencoder_kl, act_fn, STR, .max = 64),
	FIELD_AS(struct autoencoder_kl, channels_json, "block_out_channels", JSON,
		 .required = true),
	FIELD_AS(struct autoencoder_kl, down_types_json, "down_block_types", JSON),
	FIELD_AS(struct autoencoder_kl, up_types_json, "up_block_types", JSON),
	{ 0 }
};

static const struct field kl_fields[] = {
	FIELD(struct autoencoder_kl, scaling_factor, F64, .required = true, .min = 1e-6,
	      .max = 1e6),
	FIELD(struct autoencoder_kl, shift_factor, F64, .min = -1e6, .max = 1e6),
	FIELD_AS(struct autoencoder_kl, mean_json, "latents_mean", JSON),
	FIELD_AS(struct autoencoder_kl, std_json, "latents_std", JSON),
	{ 0 }
};

static const struct field flux2_fields[] = {
	FIELD(struct autoencoder_kl, batch_norm_eps, F64, .min = 1e-12, .max = 1),
	FIELD_AS(struct autoencoder_kl, decoder_channels_json, "decoder_block_out_channels", JSON),
	FIELD_AS(struct autoencoder_kl, patch_json, "patch_size", JSON),
	{ 0 }
};

static int read_channels(const struct autoencoder_kl *m, const json_t *json, const char *key,
			 uint32_t ret[AKL_BLOCKS], struct err *err)
{
	unsigned i;

	if (json_array_size(json) != AKL_BLOCKS)
		return err_set(err, -EINVAL, "%s must be a list of %d numbers", key, AKL_BLOCKS);
	for (i = 0; i < AKL_BLOCKS; i++) {
		json_int_t v = json_integer_value(json_array_get(json, i));

		if (v < 1 || v > 1 << 14)
			return err_set(err, -EINVAL, "%s[%u] is out of range", key, i);
		if (v % m->groups)
			return err_set(err, -EINVAL, "%s[%u] = %lld cannot be divided into "
				       "norm_num_groups %u", key, i, (long long)v, m->groups);
		ret[i] = (uint32_t)v;
	}
	if (m->mid_attention && ret[AKL_BLOCKS - 1] % 4)
		return err_set(err, -EINVAL, "%s[%d] must be a multiple of 4", key, AKL_BLOCKS - 1);
	return 0;
}

static int read_widths(struct autoencoder_kl *m, struct err *err)
{
	int r = read_channels(m, m->channels_json, "block_out_channels", m->channels, err);

	if (r < 0)
		return r;
	if (m->decoder_channels_json)
		return read_channels(m, m->decoder_channels_json, "decoder_block_out_channels",
				     m->decoder_channels, err);
	memcpy(m->decoder_channels, m->channels, sizeof m->channels);
	return 0;
}

static int check_block_types(const json_t *types, const char *key, const char *known,
			     struct err *err)
{
	size_t i;

	for (i = 0; i < json_array_size(types); i++) {
		const char *type = json_string_value(json_array_get(types, i));

		if (!type || strcmp(type, known))
			return err_set(err, -EINVAL, "%s: '%.64s' is not supported", key,
				       type ? type : "");
	}
	return 0;
}

static bool is_pack(const struct autoencoder_kl *m, const json_t *patch)
{
	return json_array_size(patch) == 2 &&
		json_integer_value(json_array_get(patch, 0)) == m->pack &&
		json_integer_value(json_array_get(patch, 1)) == m->pack;
}

static int check(const struct autoencoder_kl *m, struct err *err)
{
	int r;

	if (m->in_channels != AKL_RGB || m->out_channels != AKL_RGB)
		return err_set(err, -EINVAL, "%s must be %d",
			       m->in_channels != AKL_RGB ? "in_channels" : "out_channels", AKL_RGB);
	if (m->act_fn && strcmp(m->act_fn, "silu"))
		return err_set(err, -EINVAL, "act_fn '%s' is not supported (only silu)", m->act_fn);
	if (json_is_array(m->mean_json) || json_is_array(m->std_json))
		return err_set(err, -EINVAL, "latents_mean and latents_std are not supported");
	if (m->patch_json && !is_pack(m, m->patch_json))
		return err_set(err, -EINVAL, "patch_size must be [%u, %u]", m->pack, m->pack);
	r = check_block_types(m->down_types_json, "down_block_types", "DownEncoderBlock2D", err);
	if (r == 0)
		r = check_block_types(m->up_types_json, "up_block_types", "UpDecoderBlock2D", err);
	return r;
}

static void akl_free(void *self)
{
	struct autoencoder_kl *m = self;

	if (!m)
		return;
	fields_clear(common_fields, m);
	fields_clear(kl_fields, m);
	fields_clear(flux2_fields, m);
	free(m->mean);
	free(m->deviation);
	free(m);
}

/* fields: those that the class has beside the common ones. */
static int fill(struct autoencoder_kl *m, const json_t *config, const struct field *fields,
		struct err *err)
{
	int r;

	m->in_channels = m->out_channels = AKL_RGB;
	m->groups = 32;
	m->batch_norm_eps = 1e-4;
	m->mid_attention = true;
	/* Without these keys the reference's classes have them true. */
	m->use_quant_conv = m->use_post_quant_conv = true;
	r = fields_read(common_fields, config, 0, m, NULL, err);
	if (r == 0)
		r = fields_read(fields, config, 0, m, NULL, err);
	if (r == 0)
		r = read_widths(m, err);
	return r < 0 ? r : check(m, err);
}

/* Statistics of the packed channels, which bind() reads. */
static int make_statistics(struct autoencoder_kl *m, struct err *err)
{
	const uint32_t n = m->latent_channels * m->pack * m->pack;

	m->mean = calloc(n, sizeof *m->mean);
	m->deviation = calloc(n, sizeof *m->deviation);
	return m->mean && m->deviation ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int create(const json_t *config, const struct field *fields, const struct vae_class *class,
		  void **ret, struct err *err)
{
	struct autoencoder_kl *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->pack = vae_pack(class);
	r = fill(m, config, fields, err);
	if (r == 0 && m->pack > 1)
		r = make_statistics(m, err);
	if (r < 0) {
		akl_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static int kl_create(const json_t *config, void **ret, struct err *err)
{
	return create(config, kl_fields, &autoencoder_kl, ret, err);
}

static int flux2_create(const json_t *config, void **ret, struct err *err)
{
	return create(config, flux2_fields, &autoencoder_kl_flux2, ret, err);
}

/* ---- weights ---- */

static void bind_norm(struct weights *w, struct akl_norm *n, uint32_t channels, const char *name)
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

static void bind_conv1x1(struct weights *w, struct linear *l, uint32_t out, uint32_t in,
			 const char *name)
{
	weights_conv1x1(w, &l->weight, out, in, "%s.weight", name);
	weights_vector(w, &l->bias, out, "%s.bias", name);
}

static void bind_linear(struct weights *w, struct linear *l, uint32_t out, uint32_t in,
			const char *name)
{
	weights_matrix(w, &l->weight, out, in, "%s.weight", name);
	weights_vector(w, &l->bias, out, "%s.bias", name);
}

enum { NAME_SIZE = 128 };

/* "block.part" in a buffer of the caller's. */
static const char *part_of(const char *block, const char *part, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, "%s.%s", block, part);
	return ret;
}

static void bind_resnet(struct weights *w, struct akl_resnet *r, uint32_t in, uint32_t out,
			const char *block)
{
	char name[NAME_SIZE];

	bind_norm(w, &r->norm1, in, part_of(block, "norm1", name));
	bind_conv(w, &r->conv1, out, in, part_of(block, "conv1", name));
	bind_norm(w, &r->norm2, out, part_of(block, "norm2", name));
	bind_conv(w, &r->conv2, out, out, part_of(block, "conv2", name));
	if (in != out)
		bind_conv1x1(w, &r->shortcut, out, in, part_of(block, "conv_shortcut", name));
}

static void bind_mid_block(const struct autoencoder_kl *m, struct weights *w, struct akl_coder *c,
			   uint32_t n)
{
	struct akl_mid_block *b = &c->mid;
	char name[NAME_SIZE];

	bind_resnet(w, &b->resnets[0], n, n, part_of(c->name, "mid_block.resnets.0", name));
	bind_resnet(w, &b->resnets[1], n, n, part_of(c->name, "mid_block.resnets.1", name));
	if (!m->mid_attention)
		return;
	bind_norm(w, &b->norm, n, part_of(c->name, "mid_block.attentions.0.group_norm", name));
	bind_linear(w, &b->q, n, n, part_of(c->name, "mid_block.attentions.0.to_q", name));
	bind_linear(w, &b->k, n, n, part_of(c->name, "mid_block.attentions.0.to_k", name));
	bind_linear(w, &b->v, n, n, part_of(c->name, "mid_block.attentions.0.to_v", name));
	bind_linear(w, &b->out, n, n, part_of(c->name, "mid_block.attentions.0.to_out.0", name));
}

static void bind_block(struct weights *w, struct akl_coder *c, unsigned i, uint32_t in,
		       uint32_t out, const char *sampler)
{
	struct akl_block *b = &c->blocks[i];
	char name[NAME_SIZE];
	uint32_t j;

	for (j = 0; j < b->n_resnets; j++) {
		snprintf(name, sizeof name, "%s.%s.%u.resnets.%u", c->name, c->blocks_name, i, j);
		bind_resnet(w, &b->resnets[j], j ? out : in, out, name);
	}
	if (i == AKL_BLOCKS - 1)
		return;
	snprintf(name, sizeof name, "%s.%s.%u.%s.0.conv", c->name, c->blocks_name, i, sampler);
	bind_conv(w, &b->sampler, out, out, name);
}

/* What the encoder and the decoder differ in. */
struct coder_form {
	const char *name, *blocks_name, *sampler;
	enum conv_size sampler_size;
	uint32_t in, out;
	uint32_t widths[AKL_BLOCKS];            /* in the order of the data */
	uint32_t middle;                        /* width of the mid block */
	uint32_t n_resnets;
};

static void bind_coder(const struct autoencoder_kl *m, struct weights *w, struct akl_coder *c,
		       const struct coder_form *f)
{
	uint32_t width = f->widths[0];
	char name[NAME_SIZE];
	unsigned i;

	c->name = f->name;
	c->blocks_name = f->blocks_name;
	c->sampler_size = f->sampler_size;
	bind_conv(w, &c->conv_in, width, f->in, part_of(f->name, "conv_in", name));
	for (i = 0; i < AKL_BLOCKS; i++) {
		c->blocks[i].n_resnets = f->n_resnets;
		bind_block(w, c, i, width, f->widths[i], f->sampler);
		width = f->widths[i];
	}
	bind_mid_block(m, w, c, f->middle);
	bind_norm(w, &c->norm_out, width, part_of(f->name, "conv_norm_out", name));
	bind_conv(w, &c->conv_out, f->out, width, part_of(f->name, "conv_out", name));
}

static void bind_decoder(struct autoencoder_kl *m, struct weights *w)
{
	const uint32_t n = m->latent_channels;
	struct coder_form form = {
		.name = "decoder", .blocks_name = "up_blocks", .sampler = "upsamplers",
		.sampler_size = CONV_DOUBLE, .in = n, .out = AKL_RGB,
		.middle = m->decoder_channels[AKL_BLOCKS - 1], .n_resnets = m->layers_per_block + 1,
	};
	unsigned i;

	for (i = 0; i < AKL_BLOCKS; i++)
		form.widths[i] = m->decoder_channels[AKL_BLOCKS - 1 - i];
	bind_coder(m, w, &m->decoder, &form);
	if (m->use_post_quant_conv)
		bind_conv1x1(w, &m->post_quant_conv, n, n, "post_quant_conv");
}

static void bind_encoder(struct autoencoder_kl *m, struct weights *w)
{
	const uint32_t n = 2 * m->latent_channels;
	struct coder_form form = {
		.name = "encoder", .blocks_name = "down_blocks", .sampler = "downsamplers",
		.sampler_size = CONV_HALF, .in = AKL_RGB, .out = n,
		.middle = m->channels[AKL_BLOCKS - 1], .n_resnets = m->layers_per_block,
	};

	memcpy(form.widths, m->channels, sizeof form.widths);
	bind_coder(m, w, &m->encoder, &form);
	if (m->use_quant_conv)
		bind_conv1x1(w, &m->quant_conv, n, n, "quant_conv");
}

/* The statistics are used on the host, in float32. */
static void bind_statistics(struct autoencoder_kl *m, struct weights *w)
{
	const uint32_t n = m->latent_channels * m->pack * m->pack;
	const struct weights_source *mean = weights_host(w, 1, &n, "bn.running_mean");
	const struct weights_source *variance = weights_host(w, 1, &n, "bn.running_var");
	uint32_t i;

	weights_ignore(w, "bn.num_batches_tracked");
	if (!mean || !mean->array.data || !variance || !variance->array.data)
		return;
	weights_decode(mean, 0, m->mean);
	weights_decode(variance, 0, m->deviation);
	for (i = 0; i < n; i++)
		m->deviation[i] = sqrtf(m->deviation[i] + (float)m->batch_norm_eps);
}

static void akl_bind(void *self, struct weights *w)
{
	struct autoencoder_kl *m = self;

	weights_component(w, "vae", NULL);
	weights_part(w, WEIGHTS_PICTURE);
	bind_decoder(m, w);
	/* All of the encoder or nothing of it: pictures are drawn without. */
	m->has_encoder = weights_any(w, "encoder.") ||
		(m->use_quant_conv && weights_any(w, "quant_conv."));
	weights_part(w, WEIGHTS_ENCODER);
	if (m->has_encoder)
		bind_encoder(m, w);
	if (m->mean)
		bind_statistics(m, w);
}

/* ---- the classes ---- */

static uint32_t akl_latent_channels(const void *self)
{
	const struct autoencoder_kl *m = self;

	return m->latent_channels * m->pack * m->pack;
}

static bool akl_can_encode(const void *self)
{
	return ((const struct autoencoder_kl *)self)->has_encoder;
}

#define AKL_METHODS \
	.free = akl_free, .bind = akl_bind, .latent_channels = akl_latent_channels, \
	.build_decode = akl_build_decode, .feed_decode = akl_feed_decode, \
	.can_encode = akl_can_encode, .build_encode = akl_build_encode, .latent_of = akl_latent_of

const struct vae_class autoencoder_kl = {
	.scale = VAE_EIGHTH, .samples = true, .create = kl_create, AKL_METHODS
};

const struct vae_class autoencoder_kl_flux2 = {
	.scale = 2 * VAE_EIGHTH, .samples = false, .create = flux2_create, AKL_METHODS
};
