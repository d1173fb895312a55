/*
 * Pictures in memory: making and freeing them, alpha on white, floats for the models.
 * Owns nothing; any thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "runner/image/image_private.h"

int image_new(uint32_t width, uint32_t height, uint32_t channels, struct image *ret,
	      struct err *err)
{
	*ret = (struct image){ .width = width, .height = height, .channels = channels };
	/* Two sides of 32 bits fit a size_t, a pixel's bytes on top may not: calloc looks. */
	ret->pixels = calloc((size_t)width * height, channels);
	if (ret->pixels)
		return 0;
	*ret = (struct image){ 0 };
	return err_set(err, -ENOMEM, "out of memory for a picture of %ux%u pixels", width, height);
}

void image_finish(struct image *im)
{
	free(im->pixels);
	*im = (struct image){ 0 };
}

int image_ask(const struct image_watch *watch, struct err *err)
{
	if (watch && watch->cancelled && watch->cancelled(watch->context))
		return err_set(err, -ECANCELED, "cancelled");
	return 0;
}

void image_flatten(struct image *im)
{
	size_t i, n = (size_t)im->width * im->height;
	const uint8_t *from = im->pixels;
	uint8_t *to = im->pixels, *smaller;

	if (im->channels != 4)
		return;
	for (i = 0; i < n; i++, from += 4, to += 3) {
		uint32_t alpha = from[3], white = 255 * (255 - alpha);

		to[0] = image_div255(from[0] * alpha + white);
		to[1] = image_div255(from[1] * alpha + white);
		to[2] = image_div255(from[2] * alpha + white);
	}
	im->channels = 3;
	smaller = realloc(im->pixels, 3 * n);
	if (smaller)
		im->pixels = smaller;
}

void image_to_float(const struct image *im, float *x)
{
	size_t i, n = (size_t)im->width * im->height * 3;

	for (i = 0; i < n; i++)
		x[i] = (float)im->pixels[i] / 255.0f * 2.0f - 1.0f;
}

void image_from_float(const float *x, uint32_t width, uint32_t height, uint8_t *rgb)
{
	size_t i, n = (size_t)width * height * 3;

	for (i = 0; i < n; i++) {
		float v = x[i] * 0.5f + 0.5f;

		/* NaN compares false twice and would be undefined as an integer. */
		if (!(v > 0.0f))
			v = 0.0f;
		else if (v > 1.0f)
			v = 1.0f;
		rgb[i] = (uint8_t)rintf(v * 255.0f);    /* rounds half to even */
	}
}
