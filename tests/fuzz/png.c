/*
 * Fuzz: a PNG file, read, turned, flattened, taken as a mask and resized. As it is, and
 * with its checksums made right, or hardly any change would get behind them.
 */
#include <string.h>

#include "tests/fuzz/picture.h"

enum { SIGNATURE_BYTES = 8, CHUNK_BYTES = 12 };         /* length, name, checksum */

static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
	}
	return ~crc;
}

static uint32_t read32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void make_checksums_right(uint8_t *data, size_t len)
{
	size_t at = SIGNATURE_BYTES;

	while (len >= at + CHUNK_BYTES && read32(data + at) <= len - at - CHUNK_BYTES) {
		uint32_t n = read32(data + at), crc = crc32_of(data + at + 4, n + 4);

		for (int i = 0; i < 4; i++)
			data[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
		at += CHUNK_BYTES + n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	fuzz_picture(image_read_png, data, len);
	if (!copy)
		return 0;
	if (len)
		memcpy(copy, data, len);
	make_checksums_right(copy, len);
	fuzz_picture(image_read_png, copy, len);
	free(copy);
	return 0;
}
