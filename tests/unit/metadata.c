/*
 * metadata.c: what a picture's texts say, prompts of every kind, and that they are cut to
 * what their places hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/limits.h"
#include "common/utf8.h"
#include "runner/metadata.h"

#define DIGEST "sha256:0123456789abcdef"

static struct msg_generate request(char *prompt)
{
	return (struct msg_generate){
		.job = 1, .prompt = prompt, .width = 64, .height = 64, .steps = 8, .seed = 7, .guidance = 1.5,
		.cfg_truncation = 1,
	};
}

static struct image_notes make(const struct msg_generate *g, enum output_format format, double strength)
{
	const struct picture_facts facts = {
		.model = "m:latest", .digest = DIGEST, .request = g, .width = 128, .height = 96,
		.strength = strength,
	};
	struct image_notes notes;
	struct err err;

	assert_int_equal(metadata_make(&facts, format, &notes, &err), 0);
	return notes;
}

static void test_everything(void **unused)
{
	struct msg_generate g = request((char *)"a cat");
	struct image_notes notes;

	(void)unused;
	notes = make(&g, OUTPUT_PNG, -1);
	assert_string_equal(notes.parameters, "a cat\nSteps: 8, Sampler: Euler, CFG scale: 1.5, Seed: 7, "
			    "Size: 128x96, Model hash: 0123456789, Model: m:latest, Version: easel " EASEL_VERSION);
	assert_string_equal(notes.own, "{\"easel\":\"" EASEL_VERSION "\",\"model\":\"m:latest\","
			    "\"digest\":\"0123456789abcdef\",\"prompt\":\"a cat\",\"seed\":7,\"steps\":8,\"width\":128,"
			    "\"height\":96,\"guidance\":1.5,\"scheduler\":\"flow_match\",\"step_cache\":\"off\"}");
	assert_non_null(strstr(notes.xmp, "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/"
			       "digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"));
	assert_null(strstr(notes.xmp, "easel:picture>"));
	image_notes_finish(&notes);

	g.negative = (char *)"blur";
	g.images = 2;
	g.cfg_truncation = 0.8;
	g.cfg_normalization = 2;
	g.step_cache = (char *)"teacache";
	g.step_cache_threshold = 0.2;
	notes = make(&g, OUTPUT_PNG, 0.6);
	assert_non_null(strstr(notes.parameters, "a cat\nNegative prompt: blur\nSteps: 8"));
	assert_non_null(strstr(notes.parameters, "Denoising strength: 0.6"));
	assert_non_null(strstr(notes.own, "\"negative_prompt\":\"blur\""));
	assert_non_null(strstr(notes.own, "\"cfg_normalization\":2.0,\"cfg_truncation\":0.8"));
	assert_non_null(strstr(notes.own, "\"step_cache\":\"teacache:0.2\",\"images\":2,\"strength\":0.6"));
	image_notes_finish(&notes);
	g.step_cache_threshold = 1000;
	notes = make(&g, OUTPUT_PNG, 0.6);
	assert_non_null(strstr(notes.own, "\"step_cache\":\"teacache:1000\""));
	image_notes_finish(&notes);
}

/* XMP has no letter beyond ASCII, none that XML does not allow, and no markup of a prompt's. */
static void test_xmp_alone(void **unused)
{
	struct msg_generate g = request((char *)"<b>&\x01\x1b \xF0\x9F\x98\x80\xEF\xBF\xBE]]>");
	struct image_notes notes;
	const char *begin;

	(void)unused;
	notes = make(&g, OUTPUT_JPEG, -1);
	assert_null(notes.own);
	assert_null(notes.parameters);
	begin = strstr(notes.xmp, "<easel:picture>{");
	assert_non_null(begin);
	assert_non_null(strstr(begin, "\"prompt\":\"&lt;b&gt;&amp;\\u0001\\u001B \\uD83D\\uDE00\\uFFFE]]&gt;\""));
	for (const char *at = begin; *at; at++)
		assert_true(*at == '\n' || (*at >= ' ' && *at < 0x7f));
	image_notes_finish(&notes);
	assert_int_equal(metadata_make_unfinished(&notes, NULL), 0);
	assert_null(strstr(notes.xmp, "easel:picture>"));
	image_notes_finish(&notes);
}

static char *repeated(const char *letter, size_t bytes)
{
	const size_t n = strlen(letter);
	char *text = calloc(1, bytes + n + 1);

	assert_non_null(text);
	for (size_t at = 0; at < bytes; at += n)
		memcpy(text + at, letter, n);
	return text;
}

/* Never within a letter; a JPEG's segment holds less. */
static void test_long_prompts(void **unused)
{
	static const char *const letters[] = { "x", "\xC3\xA9", "\xE7\x8C\xAB", "\xF0\x9F\x98\x80", "\x01", "&", "\"" };

	(void)unused;
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
		char *prompt = repeated(letters[i], 1u << 20);
		struct msg_generate g = request(prompt);
		struct image_notes notes;
		json_t *own;
		size_t len;

		g.negative = prompt;
		notes = make(&g, OUTPUT_PNG, -1);
		own = json_loads(notes.own, 0, NULL);
		assert_non_null(own);
		len = json_string_length(json_object_get(own, "prompt"));
		assert_in_range(len, LIMIT_NOTED_PROMPT - 3, LIMIT_NOTED_PROMPT);
		assert_int_equal(len % strlen(letters[i]), 0);
		assert_true(strlen(notes.parameters) < 2 * LIMIT_NOTED_PROMPT + 500);
		assert_true(utf8_valid(notes.parameters, strlen(notes.parameters)));
		json_decref(own);
		image_notes_finish(&notes);
		notes = make(&g, OUTPUT_JPEG, -1);
		assert_in_range(strlen(notes.xmp), IMAGE_XMP_MAX / 4, IMAGE_XMP_MAX);
		image_notes_finish(&notes);
		free(prompt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything), cmocka_unit_test(test_xmp_alone),
		cmocka_unit_test(test_long_prompts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
