/*
 * The network of AutoencoderKL and AutoencoderKLFlux2: encoder and decoder as nodes of a
 * graph. Owns nothing. GPU thread; pictures are [h * w, channels].
 */
#include "runner/vae/autoencoder_kl.h"

static const float norm_eps = 1e-6f;            /* not in the config; the reference's constant */

struct size {
	uint32_t h, w;
};

static T group_norm(struct graph *g, const struct autoencoder_kl *m, const struct akl_norm *n, T x,
		    bool silu)
{
	return op_group_norm(g, x, m->groups, &n->weight, &n->bias, norm_eps, silu);
}

static T conv(struct graph *g, const struct linear *l, T x, struct size s)
{
	return op_conv3x3(g, x, s.h, s.w, CONV_SAME, &l->weight, &l->bias);
}

/*
 * x + conv(silu(norm(conv(silu(norm(x)))))), the x through a 1x1 when channels change;
 * that comes first, so that the norm, being the last to need x, takes its place.
 */
static T resnet_forward(struct graph *g, const struct autoencoder_kl *m, const struct akl_resnet *r,
			T x, struct size s)
{
	const T kept = r->shortcut.weight.rank ? nn_linear(g, &r->shortcut, x) : x;
	T h = conv(g, &r->conv1, group_norm(g, m, &r->norm1, x, true), s);

	h = conv(g, &r->conv2, group_norm(g, m, &r->norm2, h, true), s);
	return op_add(g, kept, h);
}

/* One head as wide as the picture has channels. */
static T mid_attention(struct graph *g, const struct autoencoder_kl *m,
		       const struct akl_mid_block *b, T x)
{
	T h = group_norm(g, m, &b->norm, x, false);

	h = op_attention(g, nn_linear(g, &b->q, h), nn_linear(g, &b->k, h), nn_linear(g, &b->v, h),
			 1, 1, 1, false);
	return op_add(g, x, nn_linear(g, &b->out, h));
}

static T mid_forward(struct graph *g, const struct autoencoder_kl *m, const struct akl_coder *c,
		     T x, struct size s)
{
	x = resnet_forward(g, m, &c->mid.resnets[0], x, s);
	if (m->mid_attention)
		x = mid_attention(g, m, &c->mid, x);
	x = resnet_forward(g, m, &c->mid.resnets[1], x, s);
	return graph_tap(g, x, "%s.mid_block", c->name);
}

static T block_forward(struct graph *g, const struct autoencoder_kl *m, const struct akl_coder *c,
		       const struct akl_block *b, T x, struct size *s)
{
	uint32_t j;

	for (j = 0; j < b->n_resnets; j++)
		x = resnet_forward(g, m, &b->resnets[j], x, *s);
	if (!b->sampler.weight.rank)
		return x;
	x = op_conv3x3(g, x, s->h, s->w, c->sampler_size, &b->sampler.weight, &b->sampler.bias);
	if (c->sampler_size == CONV_DOUBLE)
		*s = (struct size){ 2 * s->h, 2 * s->w };
	else
		*s = (struct size){ s->h / 2, s->w / 2 };
	return x;
}

static T blocks_forward(struct graph *g, const struct autoencoder_kl *m, const struct akl_coder *c,
			T x, struct size *s)
{
	unsigned i;

	for (i = 0; i < AKL_BLOCKS; i++)
		x = graph_tap(g, block_forward(g, m, c, &c->blocks[i], x, s), "%s.%s.%u", c->name,
			      c->blocks_name, i);
	return x;
}

static T coder_begin(struct graph *g, const struct akl_coder *c, T x, struct size s)
{
	return graph_tap(g, conv(g, &c->conv_in, x, s), "%s.conv_in", c->name);
}

static T coder_end(struct graph *g, const struct autoencoder_kl *m, const struct akl_coder *c, T x,
		   struct size s)
{
	return conv(g, &c->conv_out, group_norm(g, m, &c->norm_out, x, true), s);
}

T akl_build_decode(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_latent)
{
	const struct autoencoder_kl *m = self;
	struct size s = { h * m->pack, w * m->pack };
	T x;

	x = *ret_latent = graph_input(g, s.h * s.w, m->latent_channels);
	if (m->use_post_quant_conv)
		x = nn_linear(g, &m->post_quant_conv, x);
	x = coder_begin(g, &m->decoder, x, s);
	x = mid_forward(g, m, &m->decoder, x, s);
	x = blocks_forward(g, m, &m->decoder, x, &s);
	return coder_end(g, m, &m->decoder, x, s);
}

T akl_build_encode(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_pixels)
{
	const struct autoencoder_kl *m = self;
	struct size s = { h * m->pack * VAE_EIGHTH, w * m->pack * VAE_EIGHTH };
	T x;

	x = *ret_pixels = graph_input(g, s.h * s.w, AKL_RGB);
	x = coder_begin(g, &m->encoder, x, s);
	x = blocks_forward(g, m, &m->encoder, x, &s);
	x = mid_forward(g, m, &m->encoder, x, s);
	x = graph_tap(g, coder_end(g, m, &m->encoder, x, s), "%s.conv_out", m->encoder.name);
	return m->use_quant_conv ? nn_linear(g, &m->quant_conv, x) : x;
}
