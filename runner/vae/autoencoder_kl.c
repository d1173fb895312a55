/*
 * The network of AutoencoderKL and AutoencoderKLFlux2: encoder and decoder as nodes of a
 * graph. Owns nothing. GPU thread; pictures are [h * w, channels].
 */
#include "runner/vae/autoencoder_kl.h"

static const float norm_eps = 1e-6f;            /* not in the config; the reference's constant */

struct size {
	uint32_t h, w;
};

/* What all of a coder's parts are built with. */
struct building {
	struct graph *g;
	const struct autoencoder_kl *m;
	struct vae_norms *norms;                /* NULL: all use their own statistics */
};

static T group_stats(const struct building *k, T x)
{
	struct vae_norms *norms = k->norms;
	T stats;

	if (norms && norms->mode == VAE_NORMS_GIVEN)
		stats = graph_input(k->g, 2, x.cols);
	else
		stats = op_group_stats(k->g, x, k->m->groups, norm_eps);
	if (!norms || norms->mode == VAE_NORMS_OWN)
		return stats;
	if (norms->mode == VAE_NORMS_TOLD)
		graph_output(k->g, stats);
	if (graph_require(k->g, norms->n < VAE_MAX_NORMS, "the decoder has more than %d norms",
			  VAE_MAX_NORMS))
		norms->stats[norms->n++] = stats;
	return stats;
}

static T group_norm(const struct building *k, const struct akl_norm *n, T x, bool silu)
{
	return op_group_apply(k->g, x, group_stats(k, x), &n->weight, &n->bias, silu);
}

static T conv(const struct building *k, const struct linear *l, T x, struct size s)
{
	return op_conv3x3(k->g, x, s.h, s.w, CONV_SAME, &l->weight, &l->bias);
}

/*
 * x + conv(silu(norm(conv(silu(norm(x)))))), the x through a 1x1 when channels change;
 * that comes first, so that the norm, being the last to need x, takes its place.
 */
static T resnet_forward(const struct building *k, const struct akl_resnet *r, T x, struct size s)
{
	const T kept = r->shortcut.weight.rank ? nn_linear(k->g, &r->shortcut, x) : x;
	T h = conv(k, &r->conv1, group_norm(k, &r->norm1, x, true), s);

	h = conv(k, &r->conv2, group_norm(k, &r->norm2, h, true), s);
	return op_add(k->g, kept, h);
}

/* One head as wide as the picture has channels. */
static T mid_attention(const struct building *k, const struct akl_mid_block *b, T x)
{
	T h = group_norm(k, &b->norm, x, false);

	h = op_attention(k->g, nn_linear(k->g, &b->q, h), nn_linear(k->g, &b->k, h),
			 nn_linear(k->g, &b->v, h), 1, 1, 1, false);
	return op_add(k->g, x, nn_linear(k->g, &b->out, h));
}

static T mid_forward(const struct building *k, const struct akl_coder *c, T x, struct size s)
{
	x = resnet_forward(k, &c->mid.resnets[0], x, s);
	if (k->m->mid_attention)
		x = mid_attention(k, &c->mid, x);
	x = resnet_forward(k, &c->mid.resnets[1], x, s);
	return graph_tap(k->g, x, "%s.mid_block", c->name);
}

static T block_forward(const struct building *k, const struct akl_coder *c,
		       const struct akl_block *b, T x, struct size *s)
{
	uint32_t j;

	for (j = 0; j < b->n_resnets; j++)
		x = resnet_forward(k, &b->resnets[j], x, *s);
	if (!b->sampler.weight.rank)
		return x;
	x = op_conv3x3(k->g, x, s->h, s->w, c->sampler_size, &b->sampler.weight, &b->sampler.bias);
	if (c->sampler_size == CONV_DOUBLE)
		*s = (struct size){ 2 * s->h, 2 * s->w };
	else
		*s = (struct size){ s->h / 2, s->w / 2 };
	return x;
}

static T blocks_forward(const struct building *k, const struct akl_coder *c, T x, struct size *s)
{
	unsigned i;

	for (i = 0; i < AKL_BLOCKS; i++)
		x = graph_tap(k->g, block_forward(k, c, &c->blocks[i], x, s), "%s.%s.%u", c->name,
			      c->blocks_name, i);
	return x;
}

static T coder_begin(const struct building *k, const struct akl_coder *c, T x, struct size s)
{
	return graph_tap(k->g, conv(k, &c->conv_in, x, s), "%s.conv_in", c->name);
}

static T coder_end(const struct building *k, const struct akl_coder *c, T x, struct size s)
{
	return conv(k, &c->conv_out, group_norm(k, &c->norm_out, x, true), s);
}

T akl_build_decode(const void *self, struct graph *g, uint32_t h, uint32_t w,
		   struct vae_norms *norms, T *ret_latent)
{
	const struct autoencoder_kl *m = self;
	const struct building building = { g, m, norms }, *k = &building;
	struct size s = { h * m->pack, w * m->pack };
	T x;

	x = *ret_latent = graph_input(g, s.h * s.w, m->latent_channels);
	if (m->use_post_quant_conv)
		x = nn_linear(g, &m->post_quant_conv, x);
	x = coder_begin(k, &m->decoder, x, s);
	x = mid_forward(k, &m->decoder, x, s);
	x = blocks_forward(k, &m->decoder, x, &s);
	return coder_end(k, &m->decoder, x, s);
}

T akl_build_encode(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_pixels)
{
	const struct autoencoder_kl *m = self;
	const struct building building = { g, m, NULL }, *k = &building;
	struct size s = { h * m->pack * VAE_EIGHTH, w * m->pack * VAE_EIGHTH };
	T x;

	x = *ret_pixels = graph_input(g, s.h * s.w, AKL_RGB);
	x = coder_begin(k, &m->encoder, x, s);
	x = blocks_forward(k, &m->encoder, x, &s);
	x = mid_forward(k, &m->encoder, x, s);
	x = graph_tap(g, coder_end(k, &m->encoder, x, s), "%s.conv_out", m->encoder.name);
	return m->use_quant_conv ? nn_linear(g, &m->quant_conv, x) : x;
}
