/*
 * What a picture is like before it is finished: by the model's linear guess, or, where it
 * brings none, by the VAE from a latent made so small that it takes next to no time. GPU
 * thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/limits.h"
#include "runner/pipeline_private.h"

#define SMALL 32u                       /* the VAE's own positions a side of the small latent */

bool preview_is_due(uint32_t done, uint32_t n_steps, unsigned wanted)
{
	for (unsigned k = 1; k <= wanted; k++)
		if (done && done < n_steps && done == k * n_steps / (wanted + 1))
			return true;
	return false;
}

/* Means of factor x factor positions, less at the edges: [channels, ret_h, ret_w]. */
static float *shrink(const float *x, uint32_t channels, uint32_t h, uint32_t w, uint32_t factor,
		     uint32_t *ret_h, uint32_t *ret_w)
{
	const uint32_t small_h = (h + factor - 1) / factor, small_w = (w + factor - 1) / factor;
	float *sum = calloc((size_t)channels * small_h, small_w * sizeof *sum);
	float *to = sum;

	for (uint32_t c = 0; sum && c < channels; c++, x += (size_t)h * w)
		for (uint32_t i = 0; i < small_h * small_w; i++, to++) {
			const uint32_t top = i / small_w * factor, left = i % small_w * factor;
			uint32_t n = 0;

			for (uint32_t y = top; y < top + factor && y < h; y++)
				for (uint32_t k = left; k < left + factor && k < w; k++, n++)
					*to += x[(size_t)y * w + k];
			*to /= (float)n;
		}
	*ret_h = small_h;
	*ret_w = small_w;
	return sum;
}

static int decode_small(struct pipeline *p, const float *x0, uint32_t h, uint32_t w,
			float *pixels, uint32_t factor, struct err *err)
{
	const struct family_parts *parts = &p->parts;
	uint32_t small_h, small_w;
	float *small = shrink(x0, parts->family->vae->latent_channels(parts->vae), h, w, factor,
			      &small_h, &small_w);
	int r;

	if (!small)
		return err_set(err, -ENOMEM, "a partial picture: out of memory");
	r = decode_latent(p, small, small_h, small_w, pixels, err);
	free(small);
	return r;
}

int preview_latent(struct pipeline *p, const float *x0, uint32_t h, uint32_t w, struct image *ret,
		   struct err *err)
{
	const struct vae_class *vae = p->parts.family->vae;
	const struct latent_rgb *linear = p->parts.latent_rgb;
	const uint32_t side = h > w ? h : w, small = SMALL / vae_pack(vae);
	const uint32_t factor = linear || side <= small ? 1 : (side + small - 1) / small;
	const uint32_t scale = linear ? vae_pack(vae) : vae->scale;
	struct image im = {
		.width = (w + factor - 1) / factor * scale,
		.height = (h + factor - 1) / factor * scale, .channels = 3,
	};
	const size_t n = (size_t)im.width * im.height * 3;
	float *pixels = calloc(n, sizeof *pixels);
	int r = 0;

	im.pixels = malloc(n);
	if (!pixels || !im.pixels)
		r = err_set(err, -ENOMEM, "a partial picture: out of memory");
	else if (linear)
		latent_rgb_project(linear, x0, h, w, pixels);
	else
		r = decode_small(p, x0, h, w, pixels, factor, err);
	if (r == 0)
		image_from_float(pixels, im.width, im.height, im.pixels);
	else
		image_finish(&im);
	free(pixels);
	*ret = im;
	return r;
}
