#ifndef EASEL_TESTS_FUZZ_PICTURE_H
#define EASEL_TESTS_FUZZ_PICTURE_H

#include <errno.h>

#include "runner/image/image_private.h"
#include "tests/fuzz/fuzz.h"

/* So that an input costs little time and memory; the limit itself has unit tests. */
#define FUZZ_PIXELS (1u << 16)

/* One decoder over one file, and what happens to every picture afterwards. */
static inline void fuzz_picture(image_decoder *decode, const uint8_t *data, size_t len)
{
	struct image_file file = { .data = data, .len = len, .max_pixels = FUZZ_PIXELS };
	struct image im = { 0 }, small, mask;
	struct err err = { 0 };
	int r = image_decode(decode, &file, &im, &err);

	if (r < 0) {
		fuzz_require(r == -EINVAL && err.text[0] && !im.pixels);
		return;
	}
	fuzz_require(im.width && im.height && (uint64_t)im.width * im.height <= FUZZ_PIXELS);
	fuzz_require(im.channels == 3 || im.channels == 4);
	fuzz_require(image_to_mask(&im, true, &mask, &err) == 0);
	image_finish(&mask);
	image_flatten(&im);
	fuzz_require(im.channels == 3);
	fuzz_require(image_resize(&im, 24, 9, IMAGE_LANCZOS, NULL, &small, &err) == 0);
	image_finish(&small);
	image_finish(&im);
}

#endif
