/*
 * Latent to colours by a matrix: a picture's preview for next to nothing. Any thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "runner/vae/latent_rgb.h"

enum { RGB = 3 };

struct latent_rgb {
	uint32_t channels, pack;
	float *offset;                          /* [rows]; rows = RGB * pack * pack */
	float matrix[];                         /* [rows, channels] */
};

static int read_numbers(const json_t *array, uint32_t n, float *ret)
{
	if (!json_is_array(array) || json_array_size(array) != n)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(array, i);

		ret[i] = (float)json_number_value(value);
		if (!json_is_number(value) || !isfinite(ret[i]))
			return -EINVAL;
	}
	return 0;
}

static int read_file(const json_t *file, uint32_t rows, struct latent_rgb *m)
{
	const json_t *matrix = json_object_get(file, "matrix");
	int r = json_array_size(matrix) == rows ? 0 : -EINVAL;

	for (uint32_t i = 0; i < rows && r == 0; i++)
		r = read_numbers(json_array_get(matrix, i), m->channels, m->matrix + i * m->channels);
	return r < 0 ? r : read_numbers(json_object_get(file, "offset"), rows, m->offset);
}

int latent_rgb_create(const json_t *file, uint32_t channels, uint32_t pack,
		      struct latent_rgb **ret, struct err *err)
{
	const uint32_t rows = RGB * pack * pack;
	struct latent_rgb *m;

	*ret = NULL;
	if (!file)
		return 0;
	m = calloc(1, sizeof *m + (size_t)rows * (channels + 1) * sizeof(float));
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->channels = channels;
	m->pack = pack;
	m->offset = m->matrix + rows * channels;
	if (read_file(file, rows, m) < 0) {
		latent_rgb_free(m);
		return err_set(err, -EINVAL, "vae/latent_rgb.json: \"matrix\" must be %u rows of %u "
			       "numbers, \"offset\" %u numbers; make it again by "
			       "scripts/fit_latent_rgb.py, or remove it", rows, channels, rows);
	}
	*ret = m;
	return 0;
}

void latent_rgb_free(struct latent_rgb *m)
{
	free(m);
}

/* All pixels below one of the sampler's positions. */
static void project_one(const struct latent_rgb *m, const float *at, size_t plane, float *ret,
			size_t stride)
{
	const float *row = m->matrix;

	for (uint32_t y = 0, i = 0; y < m->pack; y++)
		for (uint32_t x = 0; x < m->pack * RGB; x++, i++, row += m->channels) {
			float sum = m->offset[i];

			for (uint32_t c = 0; c < m->channels; c++)
				sum += row[c] * at[c * plane];
			ret[y * stride + x] = sum;
		}
}

void latent_rgb_project(const struct latent_rgb *m, const float *latent, uint32_t h, uint32_t w,
			float *ret)
{
	const size_t plane = (size_t)h * w, stride = (size_t)w * m->pack * RGB;

	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			project_one(m, latent + (size_t)y * w + x, plane,
				    ret + y * m->pack * stride + (size_t)x * m->pack * RGB, stride);
}
