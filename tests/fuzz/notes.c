/*
 * Fuzz: what the runner writes into a picture about its prompts, and what the command line
 * reads there again. The first byte says how the prompt is repeated, a NUL in the rest
 * begins the negative prompt.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/picture_metadata.h"
#include "cli/png_text.h"
#include "cli/xmp_text.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/utf8.h"
#include "runner/metadata.h"
#include "tests/fuzz/fuzz.h"

/* As the gateway hands it on: UTF-8, repeated up to a megabyte. */
static char *prompt_of(const char *text, size_t len, unsigned doublings)
{
	size_t n;
	char *clean = utf8_sanitize(text, len, &n), *ret;

	ret = calloc(1, (n << doublings) + 1);
	fuzz_require(clean && ret);
	for (size_t i = 0; i < (size_t)1 << doublings; i++)
		memcpy(ret + i * n, clean, n);
	free(clean);
	return ret;
}

/* A prompt, or its beginning, of which no letter is cut. */
static void compare(const json_t *object, const char *name, const char *want, size_t most)
{
	const char *got = json_string_value(json_object_get(object, name));
	const size_t len = got ? strlen(got) : 0;

	if (!want)
		return;
	fuzz_require(got && len <= strlen(want) && !memcmp(got, want, len));
	fuzz_require(len == strlen(want) || len > most - 4);
}

static void read_back(const struct buf *file, enum output_format format, const struct msg_generate *g)
{
	const bool png = format == OUTPUT_PNG;
	char *text, *parameters = NULL;
	json_t *own;

	fuzz_require(xmp_has_place(file->data, file->len) != png);
	fuzz_require((png ? png_text_find(file->data, file->len, "easel", &text, NULL) :
		      xmp_text_find(file->data, file->len, &text, NULL)) == 0 && text);
	own = json_parse(text, strlen(text), false, NULL);
	fuzz_require(own != NULL);
	compare(own, "prompt", g->prompt, png ? LIMIT_NOTED_PROMPT : LIMIT_NOTED_PROMPT / 16);
	compare(own, "negative_prompt", g->negative, png ? LIMIT_NOTED_PROMPT : LIMIT_NOTED_PROMPT / 16);
	fuzz_require(json_integer_value(json_object_get(own, "seed")) == 7);
	json_decref(own);
	free(text);
	if (!png)
		return;
	fuzz_require(png_text_find(file->data, file->len, "parameters", &parameters, NULL) == 0);
	fuzz_require(parameters && !strncmp(parameters, g->prompt, strnlen(g->prompt, LIMIT_NOTED_PROMPT / 2)));
	own = picture_metadata_parse(parameters);
	fuzz_require(json_integer_value(json_object_get(own, "seed")) == 7);
	json_decref(own);
	free(parameters);
}

static void write_and_read(const struct msg_generate *g, enum output_format format)
{
	uint8_t pixels[3] = { 1, 2, 3 };
	const struct image im = { 1, 1, 3, pixels };
	const struct picture_facts facts = {
		.model = "m:latest", .digest = "sha256:00", .request = g, .width = 1, .height = 1, .strength = -1,
	};
	struct image_notes notes;
	const struct image_output how = { .format = format, .quality = 50, .notes = &notes };
	struct buf file = BUF_INIT(LIMIT_IMAGE);

	fuzz_require(metadata_make(&facts, format, &notes, NULL) == 0);
	fuzz_require(image_write(&im, &how, NULL, &file, NULL) == 0);
	read_back(&file, format, g);
	image_notes_finish(&notes);
	buf_finish(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data + 1, *end;
	struct msg_generate g = { .steps = 8, .seed = 7, .cfg_truncation = 1 };
	unsigned doublings;

	if (!len || len > 4096)
		return 0;
	doublings = data[0] % 11;
	len--;
	end = memchr(text, 0, len);
	g.prompt = prompt_of(text, end ? (size_t)(end - text) : len, doublings);
	if (end)
		g.negative = prompt_of(end + 1, strnlen(end + 1, len - (size_t)(end + 1 - text)), doublings);
	for (unsigned format = 0; format < OUTPUT_FORMATS; format++)
		write_and_read(&g, (enum output_format)format);
	free(g.prompt);
	free(g.negative);
	return 0;
}
