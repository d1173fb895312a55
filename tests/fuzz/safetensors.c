/*
 * Fuzz: safetensors headers. Every tensor of an accepted file lies inside it.
 */
#include <stdint.h>

#include "common/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct safetensors st;
	struct err err;
	uint64_t sum = 0;

	if (safetensors_parse(data, len, len, &st, &err) < 0)
		return 0;
	for (size_t i = 0; i < st.n_tensors; i++) {
		const struct st_tensor *t = &st.tensors[i];

		fuzz_require(t->begin <= t->end && t->end <= len - st.data_start);
		fuzz_require(st_tensor_elements(t) * dtype_size(t->dtype) == t->end - t->begin);
		fuzz_require(safetensors_find(&st, t->name) == t);
		sum += t->end - t->begin;
	}
	fuzz_require(sum == len - st.data_start);
	(void)safetensors_pick(&st, "component/tensor");
	safetensors_finish(&st);
	return 0;
}
