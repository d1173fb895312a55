/*
 * Fuzz: GGUF headers. Every tensor of an accepted file lies inside it.
 */
#include <stdint.h>
#include <string.h>

#include "runner/import/gguf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct gguf g;
	struct err err;

	if (gguf_parse(data, len, len, &g, &err) < 0)
		return 0;
	for (size_t i = 0; i < g.n_tensors; i++) {
		const struct gguf_tensor *t = &g.tensors[i];

		fuzz_require(t->at <= len && t->bytes <= len - t->at && t->rank <= GGUF_RANK);
		fuzz_require(t->name[0] && strlen(t->name) <= 256);
	}
	gguf_finish(&g);
	return 0;
}
