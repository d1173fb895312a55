/*
 * Fuzz: the tensors of a blob as a load takes them, in every quantised form, also those whose
 * scales are layers of their own. Of what is accepted each array lies inside the blob, and
 * its first and last rows are decoded.
 */
#include <string.h>

#include "runner/weights_private.h"
#include "tests/fuzz/fuzz.h"

enum { DECODE_MAX = 1 << 20 };          /* floats of a row */

static void check_array(const struct safetensors *st, const struct weights_array *a)
{
	if (!a->bytes)
		return;
	fuzz_require(a->data >= st->map && a->data <= st->map + st->file_size);
	fuzz_require(a->bytes <= (uint64_t)(st->map + st->file_size - a->data));
}

static void decode(const struct weights_source *s)
{
	const uint64_t cols = s->rank ? s->shape[s->rank - 1] : 0, n = weights_elements(s);
	float *row;

	if (!cols || !n || cols > DECODE_MAX || (s->quant.format == QUANT_NONE && !dtype_is_float(s->dtype)))
		return;
	row = malloc(cols * sizeof *row);
	if (!row)
		return;
	weights_decode(s, 0, row);
	weights_decode(s, (uint32_t)(n / cols - 1), row);
	free(row);
}

static void check(const struct safetensors *st, const struct weights_source *s)
{
	check_array(st, &s->array);
	check_array(st, &s->scale);
	check_array(st, &s->bias);
	decode(s);
}

/* Each tensor a layer of its own, as the oldest blobs have it. */
static void join(const struct safetensors *st, unsigned bits)
{
	struct weights *w = weights_create();
	struct weights_source s;

	fuzz_require(w != NULL);
	w->bits = bits;
	for (size_t i = 0; i < st->n_tensors; i++)
		if (weights_read_tensor(st, &st->tensors[i], bits, &s, NULL) == 0) {
			s.name = st->tensors[i].name;
			s.origin = NULL;
			weights_offer(w, &s, NULL);
		}
	if (weights_join(w, NULL) == 0)
		for (size_t i = 0; i < w->n_sources; i++)
			check(st, &w->sources[i]);
	weights_close(NULL, &w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct safetensors st;
	struct weights_source s;
	struct err err;

	if (safetensors_parse(data, len, len, &st, &err) < 0)
		return 0;
	st.map = data;
	for (size_t i = 0; i < st.n_tensors; i++) {
		(void)weights_is_companion(&st, st.tensors[i].name);
		for (unsigned bits = 0; bits <= 8; bits += 4)
			if (weights_read_tensor(&st, &st.tensors[i], bits, &s, &err) == 0)
				check(&st, &s);
	}
	join(&st, 4);
	join(&st, 8);
	st.map = NULL;                  /* ours, not a mapping */
	safetensors_finish(&st);
	return 0;
}
