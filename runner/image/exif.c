/*
 * EXIF: the one tag that matters. Offsets in the block are the sender's and go anywhere.
 * Owns nothing; any thread.
 */
#include <stdbool.h>
#include <string.h>

#include "runner/image/image_private.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

struct tiff {
	const uint8_t *data;
	size_t len;
	bool big;                       /* endian */
};

static uint32_t read16(const struct tiff *t, size_t at)
{
	const uint8_t *p = t->data + at;

	return t->big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read32(const struct tiff *t, size_t at)
{
	uint32_t first = read16(t, at), second = read16(t, at + 2);

	return t->big ? first << 16 | second : second << 16 | first;
}

static unsigned entry_orientation(const struct tiff *t, size_t at)
{
	uint32_t type = read16(t, at + 2), value;

	if (read32(t, at + 4) != 1 || (type != TYPE_SHORT && type != TYPE_LONG))
		return 1;
	value = type == TYPE_SHORT ? read16(t, at + 8) : read32(t, at + 8);
	return value >= 1 && value <= 8 ? value : 1;
}

unsigned exif_orientation(const uint8_t *data, size_t len)
{
	struct tiff t = { .data = data, .len = len };
	size_t at;
	uint32_t n;

	if (t.len >= 6 && memcmp(t.data, "Exif\0\0", 6) == 0) {
		t.data += 6;
		t.len -= 6;
	}
	if (t.len < 8 || (memcmp(t.data, "II", 2) && memcmp(t.data, "MM", 2)))
		return 1;
	t.big = t.data[0] == 'M';
	at = read32(&t, 4);
	if (read16(&t, 2) != 42 || at > t.len - 2)
		return 1;
	n = read16(&t, at);
	for (at += 2; n && t.len - at >= ENTRY_BYTES; n--, at += ENTRY_BYTES)
		if (read16(&t, at) == TAG_ORIENTATION)
			return entry_orientation(&t, at);
	return 1;
}
