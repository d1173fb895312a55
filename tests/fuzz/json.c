/*
 * Fuzz: the JSON parser that every input goes through. What it accepts can be printed,
 * and is then read as the same value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "tests/fuzz/fuzz.h"

static void round_trip(const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY);
	struct err err;
	json_t *back;

	fuzz_require(text != NULL);
	back = json_parse(text, strlen(text), false, &err);
	fuzz_require(back != NULL && json_equal(value, back));
	json_decref(back);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	for (int trailing = 0; trailing < 2; trailing++) {
		struct err err;
		json_t *value = json_parse((const char *)data, len, trailing, &err);

		if (value)
			round_trip(value);
		json_decref(value);
	}
	return 0;
}
