/*
 * Pictures as sixels (DEC STD 070, chapter 9): six rows at a time, one pass for each colour
 * in them. Owns nothing but its scratch pixels.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "cli/sixel.h"
#include "common/limits.h"

/* Levels of red, green and blue; the eye sees green best. */
#define REDS 6u
#define GREENS 7u
#define BLUES 6u
#define COLOURS (REDS * GREENS * BLUES)
#define BAND 6u
#define MATRIX 8u

/* ---- colours ---- */

/* Bayer's matrix: thresholds 0 to 63, spread evenly at every scale. */
static unsigned threshold(unsigned x, unsigned y)
{
	unsigned n = 0;

	for (unsigned bit = 0; bit < 3; bit++) {
		unsigned a = x >> bit & 1, b = y >> bit & 1;

		n = n << 2 | (a ^ b) << 1 | b;
	}
	return n;
}

/* A level of so many, the remainder decided by where the pixel stands. */
static unsigned level(unsigned value, unsigned levels, unsigned at)
{
	unsigned scaled = value * (levels - 1) * MATRIX * MATRIX + at * 255 + 127;

	return scaled / (255 * MATRIX * MATRIX);
}

static unsigned colour_of(const uint8_t *p, unsigned at)
{
	return (level(p[0], REDS, at) * GREENS + level(p[1], GREENS, at)) * BLUES +
	       level(p[2], BLUES, at);
}

static void put_palette(struct buf *out)
{
	for (unsigned i = 0; i < COLOURS; i++)
		buf_printf(out, "#%u;2;%u;%u;%u", i, i / (GREENS * BLUES) * 100 / (REDS - 1),
			   i / BLUES % GREENS * 100 / (GREENS - 1), i % BLUES * 100 / (BLUES - 1));
}

/* ---- bands ---- */

static void put_run(struct buf *out, char sixel, unsigned n)
{
	if (n > 3)
		buf_printf(out, "!%u%c", n, sixel);
	for (; n <= 3 && n > 0; n--)
		buf_append(out, &sixel, 1);
}

/* Colours of the columns, BAND a column; COLOURS stands below the picture. */
static void put_pass(const uint8_t *band, unsigned width, unsigned colour, struct buf *out)
{
	char last = 0;
	unsigned n = 0;

	buf_printf(out, "#%u", colour);
	for (unsigned x = 0; x < width; x++) {
		char sixel = '?';

		for (unsigned i = 0; i < BAND; i++)
			sixel = (char)(sixel + ((band[x * BAND + i] == colour) << i));
		if (sixel != last) {
			put_run(out, last, n);
			last = sixel;
			n = 0;
		}
		n++;
	}
	/* What is left of the row is empty. */
	if (last != '?')
		put_run(out, last, n);
	buf_puts(out, "$");
}

static void put_band(const uint8_t *rgb, unsigned width, unsigned top, unsigned rows, uint8_t *band,
		     struct buf *out)
{
	bool used[COLOURS + 1] = { false };

	memset(band, COLOURS, (size_t)width * BAND);
	for (unsigned i = 0; i < rows; i++) {
		for (unsigned x = 0; x < width; x++) {
			const uint8_t *p = rgb + ((size_t)(top + i) * width + x) * 3;

			band[x * BAND + i] = (uint8_t)colour_of(p, threshold(x, top + i));
		}
	}
	for (size_t i = 0; i < (size_t)width * BAND; i++)
		used[band[i]] = true;
	for (unsigned colour = 0; colour < COLOURS; colour++)
		if (used[colour])
			put_pass(band, width, colour, out);
	buf_puts(out, "-");
}

void sixel_put(const uint8_t *rgb, unsigned width, unsigned height, struct buf *out)
{
	uint8_t *band = malloc((size_t)width * BAND);

	if (!band) {
		out->failed = true;
		return;
	}
	buf_printf(out, "\033P0;1;0q\"1;1;%u;%u", width, height);
	put_palette(out);
	for (unsigned top = 0; top < height; top += BAND)
		put_band(rgb, width, top, height - top < BAND ? height - top : BAND, band, out);
	buf_puts(out, "\033\\");
	free(band);
}

/* ---- PNG ---- */

/* The mean of the pixels that one pixel of the smaller picture covers. */
static void put_mean(const uint8_t *rgb, unsigned stride, const unsigned x[2], const unsigned y[2],
		     uint8_t ret[3])
{
	const unsigned n = (x[1] - x[0]) * (y[1] - y[0]);
	uint64_t sum[3] = { 0 };

	for (unsigned i = y[0]; i < y[1]; i++)
		for (unsigned k = x[0]; k < x[1]; k++)
			for (unsigned c = 0; c < 3; c++)
				sum[c] += rgb[((size_t)i * stride + k) * 3 + c];
	for (unsigned c = 0; c < 3; c++)
		ret[c] = (uint8_t)((sum[c] + n / 2) / n);
}

/* In place: to is never ahead of what is still to be read. */
static void shrink(uint8_t *rgb, unsigned width, unsigned height, unsigned to_width,
		   unsigned to_height)
{
	uint8_t *to = rgb;

	for (unsigned i = 0; i < to_height; i++) {
		const unsigned y[2] = { i * height / to_height, (i + 1) * height / to_height };

		for (unsigned k = 0; k < to_width; k++, to += 3) {
			const unsigned x[2] = { k * width / to_width, (k + 1) * width / to_width };
			uint8_t mean[3];

			put_mean(rgb, width, x, y, mean);
			memcpy(to, mean, 3);
		}
	}
}

/* Both sides by the same factor, neither above its maximum, none empty. */
static void fit(unsigned *width, unsigned *height, unsigned max_width, unsigned max_height)
{
	const unsigned w = *width, h = *height;

	if (*width > max_width) {
		*width = max_width;
		*height = (unsigned)((uint64_t)h * max_width / w);
	}
	if (*height > max_height) {
		*height = max_height;
		*width = (unsigned)((uint64_t)w * max_height / h);
	}
	*width = *width ? *width : 1;
	*height = *height ? *height : 1;
}

static int put_image(png_image *image, unsigned max_width, unsigned max_height, struct buf *out)
{
	unsigned width = image->width, height = image->height;
	uint8_t *rgb;

	if (width > LIMIT_SIDE || height > LIMIT_SIDE)
		return -EINVAL;
	image->format = PNG_FORMAT_RGB;
	rgb = malloc(PNG_IMAGE_SIZE(*image));
	if (!rgb)
		return -ENOMEM;
	if (!png_image_finish_read(image, NULL, rgb, 0, NULL)) {
		free(rgb);
		return -EINVAL;
	}
	fit(&width, &height, max_width, max_height);
	shrink(rgb, image->width, image->height, width, height);
	sixel_put(rgb, width, height, out);
	free(rgb);
	return buf_failed(out) ? -ENOMEM : 0;
}

int sixel_put_png(const void *png, size_t len, unsigned max_width, unsigned max_height,
		  struct buf *out)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	int r;

	if (!png_image_begin_read_from_memory(&image, png, len))
		return -EINVAL;
	r = put_image(&image, max_width, max_height, out);
	png_image_free(&image);
	return r;
}
