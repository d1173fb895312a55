/*
 * Resizing as Pillow does it, to the same bytes: columns first, then rows, both rounded to
 * 8 bits; weights in double, normalised, then rounded to 22 bits behind the point. Owns
 * nothing; any thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner/image/image_private.h"

enum { POINT = 22 };                    /* bits of a weight behind the point */

/* ---- filters ---- */

/* Cubic convolution (Keys 1981) with a = -1/2. */
static double bicubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static double sinc(double x)
{
	x *= M_PI;
	return x == 0 ? 1 : sin(x) / x;
}

static double lanczos(double x)
{
	return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel {
	double (*weight)(double x);
	double support;
} kernels[] = {
	[IMAGE_BICUBIC] = { bicubic, 2 },
	[IMAGE_LANCZOS] = { lanczos, 3 },
};

/* ---- weights of one direction ---- */

struct window {
	uint32_t first, n;              /* source positions */
	const int32_t *weights;
};
struct axis {
	uint32_t longest;               /* of the windows */
	struct window *windows;         /* one a target position */
	int32_t *weights;
};

static void axis_finish(struct axis *a)
{
	free(a->windows);
	free(a->weights);
}

static void fill_window(struct window *w, int32_t *weights, double *exact, double center,
			double scale, const struct kernel *kernel)
{
	double sum = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		exact[i] = kernel->weight((i + w->first - center + 0.5) * (1.0 / scale));
		sum += exact[i];
	}
	for (uint32_t i = 0; i < w->n; i++) {
		double v = sum != 0 ? exact[i] / sum : exact[i];

		weights[i] = (int32_t)(v * (1 << POINT) + (v < 0 ? -0.5 : 0.5));
	}
	w->weights = weights;
}

static void fill_axis(struct axis *a, uint32_t from, uint32_t to, const struct kernel *kernel,
		      double *exact)
{
	double scale = (double)from / to, wide = scale < 1 ? 1 : scale;
	double support = kernel->support * wide;

	for (uint32_t i = 0; i < to; i++) {
		struct window *w = &a->windows[i];
		double center = (i + 0.5) * scale;
		double first = center - support + 0.5, end = center + support + 0.5;

		w->first = first < 0 ? 0 : (uint32_t)first;
		w->n = (end > from ? from : (uint32_t)end) - w->first;
		fill_window(w, a->weights + (size_t)i * a->longest, exact, center, wide, kernel);
	}
}

static int axis_init(struct axis *a, uint32_t from, uint32_t to, enum image_filter filter,
		     struct err *err)
{
	const struct kernel *kernel = &kernels[filter];
	double scale = (double)from / to;
	double *exact;

	a->longest = 2 * (uint32_t)ceil(kernel->support * (scale < 1 ? 1 : scale)) + 1;
	a->windows = calloc(to, sizeof *a->windows);
	a->weights = calloc((size_t)to * a->longest, sizeof *a->weights);
	exact = calloc(a->longest, sizeof *exact);
	if (a->windows && a->weights && exact) {
		fill_axis(a, from, to, kernel, exact);
		free(exact);
		return 0;
	}
	free(exact);
	axis_finish(a);
	*a = (struct axis){ 0 };
	return err_set(err, -ENOMEM, "out of memory for resizing %u pixels to %u", from, to);
}

/* ---- passes ---- */

static uint8_t round_sum(int32_t sum)
{
	sum >>= POINT;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row, as wide as the source, to as many pixels as the axis has windows. */
static void resize_row(const struct axis *a, const uint8_t *from, uint8_t *to, uint32_t width,
		       uint32_t channels)
{
	for (uint32_t x = 0; x < width; x++) {
		const struct window *w = &a->windows[x];
		const uint8_t *p = from + (size_t)w->first * channels;

		for (uint32_t c = 0; c < channels; c++) {
			int32_t sum = 1 << (POINT - 1);

			for (uint32_t i = 0; i < w->n; i++)
				sum += p[i * channels + c] * w->weights[i];
			to[x * channels + c] = round_sum(sum);
		}
	}
}

/*
 * Rows of the target's width and the source's height, made when they are asked for. Windows
 * only move on, so of a tall picture as many are kept as the longest window needs.
 */
struct rows {
	const struct image *source;
	const struct image_watch *watch;
	const struct axis *columns;     /* NULL: the source's rows as they are */
	uint32_t width, kept, made;
	uint8_t *pixels;                /* [kept, width, channels] */
};

static uint8_t *kept_row(const struct rows *rows, uint32_t y)
{
	return rows->pixels + (size_t)(y % rows->kept) * rows->width * rows->source->channels;
}

static const uint8_t *get_row(struct rows *rows, uint32_t y)
{
	if (!rows->columns)
		return image_row(rows->source, y);
	for (; rows->made <= y; rows->made++)
		resize_row(rows->columns, image_row(rows->source, rows->made),
			   kept_row(rows, rows->made), rows->width, rows->source->channels);
	return kept_row(rows, y);
}

/* One target row of the second pass; sums [row bytes] is scratch. */
static int resize_column_row(struct rows *rows, const struct window *w, int32_t *sums, uint8_t *to,
			     size_t row_bytes, struct err *err)
{
	for (size_t i = 0; i < row_bytes; i++)
		sums[i] = 1 << (POINT - 1);
	for (uint32_t y = 0; y < w->n; y++) {
		int r = image_ask(rows->watch, err);
		const uint8_t *from;
		int32_t weight = w->weights[y];

		if (r < 0)
			return r;
		from = get_row(rows, w->first + y);

		for (size_t i = 0; i < row_bytes; i++)
			sums[i] += from[i] * weight;
	}
	for (size_t i = 0; i < row_bytes; i++)
		to[i] = round_sum(sums[i]);
	return 0;
}

static int resize_rows(struct rows *rows, const struct axis *vertical, struct image *ret,
		       struct err *err)
{
	size_t row_bytes = image_row_bytes(ret);
	int32_t *sums;
	int r = 0;

	if (!vertical) {
		for (uint32_t y = 0; r == 0 && y < ret->height; y++) {
			memcpy(image_row(ret, y), get_row(rows, y), row_bytes);
			r = image_ask(rows->watch, err);
		}
		return r;
	}
	sums = calloc(row_bytes, sizeof *sums);
	if (!sums)
		return err_set(err, -ENOMEM, "out of memory for resizing");
	for (uint32_t y = 0; r == 0 && y < ret->height; y++)
		r = resize_column_row(rows, &vertical->windows[y], sums, image_row(ret, y),
				      row_bytes, err);
	free(sums);
	return r;
}

static int resize_passes(const struct image *im, const struct axis *columns,
			 const struct axis *vertical, const struct image_watch *watch,
			 struct image *ret, struct err *err)
{
	struct rows rows = {
		.source = im, .watch = watch, .columns = columns, .width = ret->width,
	};
	int r;

	rows.kept = vertical && vertical->longest < im->height ? vertical->longest : im->height;
	if (columns && !vertical)
		rows.kept = 1;
	if (columns) {
		rows.pixels = calloc(rows.kept, image_row_bytes(ret));
		if (!rows.pixels)
			return err_set(err, -ENOMEM, "out of memory for resizing");
	}
	r = resize_rows(&rows, vertical, ret, err);
	free(rows.pixels);
	return r;
}

/* A pass over a side that stays is left out, not a pass with a weight of one. */
static int resize_smooth(const struct image *im, enum image_filter filter,
			 const struct image_watch *watch, struct image *ret, struct err *err)
{
	bool wider = im->width != ret->width, taller = im->height != ret->height;
	struct axis columns = { 0 }, vertical = { 0 };
	int r = 0;

	if (wider)
		r = axis_init(&columns, im->width, ret->width, filter, err);
	if (r == 0 && taller)
		r = axis_init(&vertical, im->height, ret->height, filter, err);
	if (r == 0)
		r = resize_passes(im, wider ? &columns : NULL, taller ? &vertical : NULL, watch, ret,
				  err);
	axis_finish(&columns);
	axis_finish(&vertical);
	return r;
}

/* ---- nearest ---- */

/* Source positions of all target ones. Summed up, not multiplied: so Pillow does. */
static uint32_t *nearest_positions(uint32_t from, uint32_t to)
{
	uint32_t *positions = calloc(to, sizeof *positions);
	double step = (double)from / to, at = step * 0.5;

	for (uint32_t i = 0; positions && i < to; i++, at += step)
		positions[i] = at < from ? (uint32_t)at : from - 1;
	return positions;
}

static int resize_nearest(const struct image *im, const struct image_watch *watch,
			  struct image *ret, struct err *err)
{
	uint32_t *xs = nearest_positions(im->width, ret->width);
	uint32_t *ys = nearest_positions(im->height, ret->height);
	int r = xs && ys ? 0 : err_set(err, -ENOMEM, "out of memory for resizing");

	for (uint32_t y = 0; r == 0 && y < ret->height; y++) {
		const uint8_t *from = image_row(im, ys[y]);
		uint8_t *to = image_row(ret, y);

		for (uint32_t x = 0; x < ret->width; x++)
			memcpy(to + x * im->channels, from + xs[x] * im->channels, im->channels);
		r = image_ask(watch, err);
	}
	free(xs);
	free(ys);
	return r;
}

int image_resize(const struct image *im, uint32_t width, uint32_t height, enum image_filter filter,
		 const struct image_watch *watch, struct image *ret, struct err *err)
{
	int r = image_new(width, height, im->channels, ret, err);

	if (r < 0)
		return r;
	if (filter == IMAGE_NEAREST)
		r = resize_nearest(im, watch, ret, err);
	else
		r = resize_smooth(im, filter, watch, ret, err);
	if (r < 0)
		image_finish(ret);
	return r;
}
