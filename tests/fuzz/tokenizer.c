/*
 * Fuzz: tokenizer.json as a model brings it, then texts through whatever tokenizer came
 * out; and the same bytes as a merges.txt.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runner/tokenizer/bpe.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_IDS = 64 };

static void encode(const struct bpe *b, const char *text)
{
	uint32_t ids[MAX_IDS];
	struct err err;
	int n = bpe_encode(b, text, strlen(text), ids, MAX_IDS, &err);

	fuzz_require(n <= MAX_IDS);
	for (int i = 0; i < n; i++)
		fuzz_require(ids[i] <= bpe_max_id(b));
}

static void encode_some(struct bpe *b)
{
	static const char *const texts[] = {
		"", " ", "a cat", "It's 3.14  \n\n x", "<|im_start|>user\nab<|im_end|>\n",
		"\xc3\xa9\xcc\xa3\xcc\x81 \xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xf0\x9f\x98\x80\xe2\x80\x8d!!!",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		encode(b, texts[i]);
	bpe_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"c\":4,\"at\":5,\"t\":6,\"cat\":7}";
	const char *text = (const char *)data;
	struct err err;
	struct bpe *b;

	if (bpe_create(text, len, NULL, 0, NULL, 0, NULL, 0, &b, &err) == 0)
		encode_some(b);
	if (bpe_create(NULL, 0, vocab, sizeof vocab - 1, text, len, NULL, 0, &b, &err) == 0)
		encode_some(b);
	return 0;
}
