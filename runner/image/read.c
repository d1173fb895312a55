/*
 * A picture file in memory to upright pixels: which format it is, what is refused by its
 * size, and the decoder's name in front of an error. Owns nothing; any thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/limits.h"
#include "runner/image/image_private.h"

static bool is_png(const uint8_t *data, size_t len)
{
	return len >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_jpeg(const uint8_t *data, size_t len)
{
	return len >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
}

static bool is_webp(const uint8_t *data, size_t len)
{
	return len >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

static const struct format {
	const char *name;
	bool (*is)(const uint8_t *data, size_t len);
	image_decoder *decode;
} formats[] = {
	{ "PNG", is_png, image_read_png },
	{ "JPEG", is_jpeg, image_read_jpeg },
	{ "WebP", is_webp, image_read_webp },
};

int image_check_size(const struct image_file *file, uint32_t width, uint32_t height,
		     struct err *err)
{
	if (!width || !height)
		return err_set(err, -EINVAL, "%ux%u: it has no pixels", width, height);
	if (width > LIMIT_INPUT_SIDE || height > LIMIT_INPUT_SIDE)
		return err_set(err, -EINVAL, "%ux%u: a side is above the limit of %u pixels; "
			       "make the picture smaller", width, height, LIMIT_INPUT_SIDE);
	if ((uint64_t)width * height > LIMIT_INPUT_PIXELS)
		return err_set(err, -EINVAL, "%ux%u: above the limit of %u pixels in all; "
			       "make the picture smaller", width, height, LIMIT_INPUT_PIXELS);
	if ((uint64_t)width * height > file->max_pixels)
		return err_set(err, -EINVAL, "%ux%u: above the %u pixels that the other pictures "
			       "leave; make them smaller", width, height, file->max_pixels);
	return 0;
}

int image_decode(image_decoder *decode, struct image_file *file, struct image *ret,
		 struct err *err)
{
	int r;

	file->orientation = 1;
	r = decode(file, ret, err);
	if (r == 0)
		r = image_turn(ret, file->orientation, file->watch, err);
	if (r < 0)
		image_finish(ret);
	return r;
}

int image_read(const void *data, size_t len, uint32_t max_pixels, const struct image_watch *watch,
	       struct image *ret, struct err *err)
{
	struct image_file file = {
		.data = data, .len = len, .max_pixels = max_pixels, .watch = watch,
	};

	*ret = (struct image){ 0 };
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
		int r;

		if (!formats[i].is(data, len))
			continue;
		r = image_decode(formats[i].decode, &file, ret, err);
		if (r < 0 && r != -ECANCELED)
			err_prefix(err, "%s", formats[i].name);
		return r;
	}
	return err_set(err, -EINVAL, "not a PNG, JPEG or WebP file");
}
