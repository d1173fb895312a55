/*
 * The pictures of one request, from files to pixels. Owned by the loop's thread while the
 * files come in, by the GPU thread from then on.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/inputs.h"

unsigned inputs_announced(const struct msg_generate *g)
{
	return g->images + (g->mask ? 1 : 0);
}

int inputs_add(struct inputs *in, const void *data, size_t len, struct err *err)
{
	struct input_file *file = &in->files[in->n_files];
	size_t total = len;

	for (unsigned i = 0; i < in->n_files; i++)
		total += in->files[i].len;
	if (total > LIMIT_INPUT_BYTES)
		return err_set(err, -EMSGSIZE, "picture files of more than %u bytes in all",
			       LIMIT_INPUT_BYTES);
	file->data = malloc(len ? len : 1);
	if (!file->data)
		return err_set(err, -ENOMEM, "out of memory for a picture file of %zu bytes", len);
	if (len)
		memcpy(file->data, data, len);
	file->len = len;
	in->n_files++;
	return 0;
}

static void file_clear(struct input_file *file)
{
	free(file->data);
	*file = (struct input_file){ 0 };
}

/* File i, which is freed, to pixels: no more than its own limit and all files' allow. */
static int read_file(struct inputs *in, unsigned i, const struct image_watch *watch,
		     struct image *ret, struct err *err)
{
	const uint32_t left = LIMIT_INPUT_PIXELS_ALL - in->pixels;
	int r = image_read(in->files[i].data, in->files[i].len,
			   left < LIMIT_INPUT_PIXELS ? left : LIMIT_INPUT_PIXELS, watch, ret, err);

	file_clear(&in->files[i]);
	if (r == 0)
		in->pixels += ret->width * ret->height;
	return r;
}

static int read_image(struct inputs *in, unsigned i, const struct image_watch *watch,
		      struct err *err)
{
	struct image *im = &in->images[i];
	int r = read_file(in, i, watch, im, err);

	if (r < 0)
		return r;
	in->n_images++;
	image_flatten(im);
	return 0;
}

/* The mask as the file has it -> marks, as large as the first picture. */
static int fit_mask(struct inputs *in, const struct image *read, bool by_alpha,
		    const struct image_watch *watch, struct err *err)
{
	const struct image *first = &in->images[0];
	struct image marks;
	int r = image_to_mask(read, by_alpha, &marks, err);

	if (r < 0)
		return r;
	if (marks.width == first->width && marks.height == first->height) {
		in->mask = marks;
		return 0;
	}
	r = image_resize(&marks, first->width, first->height, IMAGE_NEAREST, watch, &in->mask, err);
	image_finish(&marks);
	return r;
}

static int read_mask(struct inputs *in, unsigned i, bool by_alpha,
		     const struct image_watch *watch, struct err *err)
{
	struct image read;
	int r = read_file(in, i, watch, &read, err);

	if (r < 0)
		return r;
	r = fit_mask(in, &read, by_alpha, watch, err);
	image_finish(&read);
	return r;
}

/* Only what is wrong with a file is the file's fault. */
static int blame(int r, struct err *err, const char *what)
{
	if (r == -EINVAL)
		err_prefix(err, "invalid %s", what);
	return r;
}

int inputs_read(struct inputs *in, struct msg_generate *g, const struct image_watch *watch,
		struct err *err)
{
	char what[32];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < in->n_files; i++) {
		r = image_ask(watch, err);
		if (r < 0)
			return r;
		if (i < g->images) {
			snprintf(what, sizeof what, "image %u", i);
			r = blame(read_image(in, i, watch, err), err, what);
		} else {
			r = blame(read_mask(in, i, strcmp(g->mask, "alpha") == 0, watch, err), err,
				  "mask");
		}
	}
	if (r == 0 && in->n_images)
		image_output_size(&in->images[0], &g->width, &g->height);
	return r;
}

void inputs_finish(struct inputs *in)
{
	for (unsigned i = 0; i < in->n_files; i++)
		file_clear(&in->files[i]);
	for (unsigned i = 0; i < in->n_images; i++)
		image_finish(&in->images[i]);
	image_finish(&in->mask);
	*in = (struct inputs){ 0 };
}
