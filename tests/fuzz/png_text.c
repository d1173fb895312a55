/*
 * Fuzz: text chunks of a PNG and what they say about the picture. What is found is UTF-8,
 * within its bound, and can be given to the options.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/picture_metadata.h"
#include "cli/picture_options.h"
#include "cli/png_text.h"
#include "common/fields.h"
#include "common/limits.h"
#include "tests/fuzz/fuzz.h"

static void fill(json_t *metadata)
{
	struct picture_flags flags = picture_defaults;
	struct err err;

	fuzz_require(json_is_object(metadata));
	if (picture_options_fill(&flags, metadata, &err) == 0)
		picture_options_request(&flags, metadata);
	json_decref(metadata);
}

static void use(const char *text)
{
	json_t *json = json_string(text), *metadata;

	fuzz_require(json && strlen(text) <= LIMIT_PNG_CHUNK);
	json_decref(json);
	metadata = picture_metadata_parse(text);
	if (metadata)
		fill(metadata);
	metadata = json_parse(text, strlen(text), false, NULL);
	if (json_is_object(metadata))
		fill(metadata);
	else
		json_decref(metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const keywords[] = { "easel", "parameters" };

	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
		struct err err;
		char *text;

		if (png_text_find(data, len, keywords[i], &text, &err) == 0 && text)
			use(text);
		free(text);
	}
	return 0;
}
