/*
 * Fuzz: messages of either side in any state. What is accepted survives a round trip.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/proto.h"
#include "tests/fuzz/fuzz.h"

static void round_trip(const struct msg *m, enum proto_side sender, unsigned state)
{
	size_t len, again_len;
	char *frame = msg_encode(m, &len), *again;
	struct msg back;

	fuzz_require(frame != NULL);
	fuzz_require(msg_decode(frame + FRAME_HEADER, len - FRAME_HEADER, sender, state, &back, NULL) == 0);
	again = msg_encode(&back, &again_len);
	fuzz_require(again && len == again_len && !memcmp(frame, again, len));
	msg_clear(&back);
	free(frame);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const unsigned any = 0xFF;

	for (int side = PROTO_GATEWAY; side <= PROTO_RUNNER; side++) {
		struct err err;
		struct msg m;

		if (msg_decode((const char *)data, len, (enum proto_side)side, any, &m, &err) < 0)
			continue;
		round_trip(&m, (enum proto_side)side, any);
		msg_clear(&m);
	}
	return 0;
}
