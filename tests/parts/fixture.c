/*
 * Models under test: imported by the importer into a temporary store, opened, closed;
 * and what their runs leave behind.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <png.h>

#include "runner/import/import.h"
#include "tests/golden.h"
#include "tests/parts/fixture.h"
#include "tests/temp.h"

static bool never(void *context)
{
	(void)context;
	return false;
}

static void ignore_status(void *context, const struct msg_status *status)
{
	(void)context;
	(void)status;
}

static void import(struct fixture *f, const char *model_folder, const char *quantize)
{
	const struct import_hooks hooks = { .cancelled = never, .status = ignore_status };
	struct import_result result;
	struct model_name name;
	struct err err = { 0 };
	struct msg_import request = { .model = (char *)"test", .directory = (char *)model_folder,
		.quantize = (char *)quantize };

	*f = (struct fixture){ .folder = temp_create() };
	request.root = f->folder;
	if (import_run(&request, &hooks, &result, &err) < 0 ||
	    name_parse("test", &name, &err) < 0 || store_open(f->folder, &f->store, &err) < 0 ||
	    store_read(f->store, &name, &f->manifest, &err) < 0)
		fail_msg("%s: %s", model_folder, err.text);
}

void fixture_import(struct fixture *f, const char *model_folder)
{
	import(f, model_folder, NULL);
}

void fixture_open(struct fixture *f, struct vk *vk, const char *model_folder)
{
	fixture_open_quantised(f, vk, model_folder, NULL);
}

void fixture_open_quantised(struct fixture *f, struct vk *vk, const char *model_folder, const char *quantize)
{
	struct err err = { 0 };

	import(f, model_folder, quantize);
	if (pipeline_open(vk, f->store, f->manifest, &(struct pipeline_loading){ 0 }, &f->pipeline, &err) < 0)
		fail_msg("%s: %s", model_folder, err.text);
}

void fixture_close(struct fixture *f)
{
	pipeline_close(&f->pipeline);
	manifest_free(f->manifest);
	store_close(f->store);
	temp_remove(f->folder);
}

int fixture_png(struct pipeline *p, const struct pipeline_request *r,
		const struct pipeline_hooks *hooks, struct buf *png, struct err *err)
{
	struct image rgb;
	int code = pipeline_generate(p, r, hooks, &rgb, err);

	if (code < 0)
		return code;
	code = image_write(&rgb, &(struct image_output){ 0 }, NULL, png, err);
	image_finish(&rgb);
	return code;
}

void taps_add(struct taps *t, const char *name, const float *data, size_t n)
{
	struct tap *tap;

	if (t->n == t->size) {
		t->size = t->size ? 2 * t->size : 64;
		t->list = reallocarray(t->list, t->size, sizeof *t->list);
		assert_non_null(t->list);
	}
	tap = &t->list[t->n++];
	tap->name = strdup(name);
	tap->data = malloc(n * sizeof *data);
	tap->n = n;
	assert_non_null(tap->name);
	assert_non_null(tap->data);
	memcpy(tap->data, data, n * sizeof *data);
}

const struct tap *taps_find(const struct taps *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->list[i].name, name))
			return &t->list[i];
	return NULL;
}

void taps_free(struct taps *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->list[i].name);
		free(t->list[i].data);
	}
	free(t->list);
	*t = (struct taps){ 0 };
}

unsigned char *png_decode(const void *png, size_t len, uint32_t *width, uint32_t *height)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	unsigned char *rgb;

	assert_true(png_image_begin_read_from_memory(&image, png, len));
	image.format = PNG_FORMAT_RGB;
	rgb = malloc(PNG_IMAGE_SIZE(image));
	assert_non_null(rgb);
	assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
	*width = image.width;
	*height = image.height;
	return rgb;
}

struct png_difference png_compare(const void *png, size_t len, const char *golden_file)
{
	struct png_difference d = { 0 };
	uint32_t w, h, want_w, want_h;
	size_t golden_len, i, n;
	char *golden = golden_text(golden_file, &golden_len);
	unsigned char *got = png_decode(png, len, &w, &h);
	unsigned char *want = png_decode(golden, golden_len, &want_w, &want_h);
	double sum = 0;

	assert_int_equal(w, want_w);
	assert_int_equal(h, want_h);
	n = (size_t)w * h * 3;
	for (i = 0; i < n; i++) {
		int difference = abs(got[i] - want[i]);

		sum += (double)difference * difference;
		if (difference > d.max)
			d.max = difference;
	}
	d.psnr = sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : INFINITY;
	free(golden);
	free(got);
	free(want);
	return d;
}

double fixture_squares(const struct buf *a, const struct buf *b)
{
	uint32_t w, h, w2, h2;
	unsigned char *x = png_decode(a->data, a->len, &w, &h), *y = png_decode(b->data, b->len, &w2, &h2);
	double sum = 0;

	assert_true(w == w2 && h == h2);
	for (size_t i = 0; i < (size_t)3 * w * h; i++)
		sum += (x[i] - y[i]) * (double)(x[i] - y[i]);
	free(x);
	free(y);
	return sum / (3.0 * w * h);
}
