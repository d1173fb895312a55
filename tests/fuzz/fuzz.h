#ifndef EASEL_TESTS_FUZZ_FUZZ_H
#define EASEL_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* One input; by libFuzzer, or by replay.c for each file of the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void fuzz_require(int holds)
{
	if (!holds)
		abort();
}

#endif
