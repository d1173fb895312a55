/*
 * Fuzz: the stream between gateway and runner. The first byte says where the stream is
 * cut; frames must come out the same however it is.
 */
#include <stdint.h>
#include <string.h>

#include "common/digest.h"
#include "common/frame.h"
#include "tests/fuzz/fuzz.h"

/* A digest of all frames, or of the error. */
static void read_frames(const uint8_t *data, size_t len, size_t cut, char ret[DIGEST_SIZE])
{
	struct digest *d = digest_begin();
	struct frame_reader r;
	struct frame frame;
	int more = 1;

	frame_reader_init(&r);
	for (size_t at = 0, n; at < len && more >= 0; at += n) {
		n = at == 0 && cut < len ? cut + 1 : len - at;
		if (n > len - at)
			n = len - at;
		if (frame_reader_feed(&r, data + at, n, NULL) < 0)
			break;
		while ((more = frame_reader_next(&r, &frame, NULL)) > 0) {
			digest_update(d, &frame.kind, sizeof frame.kind);
			digest_update(d, &frame.len, sizeof frame.len);
			digest_update(d, frame.data, frame.len);
		}
	}
	digest_update(d, &more, sizeof more);
	frame_reader_finish(&r);
	digest_end(d, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char whole[DIGEST_SIZE], cut[DIGEST_SIZE];

	if (!len)
		return 0;
	read_frames(data + 1, len - 1, SIZE_MAX, whole);
	read_frames(data + 1, len - 1, data[0], cut);
	fuzz_require(!memcmp(whole, cut, DIGEST_SIZE));
	return 0;
}
