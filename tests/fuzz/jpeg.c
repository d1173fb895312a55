/*
 * Fuzz: a JPEG file, read, turned, flattened, taken as a mask and resized.
 */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_picture(image_read_jpeg, data, len);
	return 0;
}
