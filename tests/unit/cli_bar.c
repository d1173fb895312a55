/*
 * Spinner and bars: exact texts, and that nothing is wider than the terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bar.h"
#include "common/utf8.h"

static struct buf out = BUF_INIT(1 << 16);

static const char *shown(void)
{
	static char text[4096];

	assert_true(out.len < sizeof text);
	memcpy(text, out.data, out.len + 1);
	buf_finish(&out);
	return text;
}

static size_t columns_of(const char *text)
{
	size_t len = strlen(text), at = 0, n = 0;
	uint32_t code;

	for (; at < len; n++)
		at += utf8_decode(text + at, len - at, &code);
	return n;
}

static void test_steps(void **state)
{
	(void)state;
	bar_steps(&out, 4, 9, 80);
	assert_string_equal(shown(), "Generating  44% ▕████     ▏ 4/9");
	bar_steps(&out, 12, 9, 80);
	assert_string_equal(shown(), "Generating 100% ▕█████████▏ 9/9");
	bar_steps(&out, 0, 1, 80);
	assert_string_equal(shown(), "Generating   0% ▕ ▏ 0/1");
}

static void test_spinner(void **state)
{
	(void)state;
	bar_spinner(&out, "pulling", 0, 80);
	assert_string_equal(shown(), "pulling ⠋ ");
	bar_spinner(&out, "", 1250, 80);
	assert_string_equal(shown(), "⠹");
	bar_message(&out, "pulling", 80);
	assert_string_equal(shown(), "pulling ");
}

static void test_bytes(void **state)
{
	(void)state;
	bar_bytes(&out, "pulling model:", 790, 897, 10, 80);
	assert_string_equal(shown(), "pulling model:  88% ▕██████████████████████   ▏  790 B/ 897 B"
				     "                  ");
	bar_bytes(&out, "x", 30000000, 60000000, 2000, 80);
	assert_non_null(strstr(shown(), "▏  30 MB/ 60 MB   15 MB/s      2s"));
	bar_bytes(&out, "x", 5, 5, 2000, 80);
	assert_non_null(strstr(shown(), "100% ▕███"));
}

static void test_nothing_is_wider_than_the_terminal(void **state)
{
	static const char label[] = "importing transformer/diffusion_pytorch_modèl-00001-of-00003";

	(void)state;
	for (unsigned columns = 46; columns < 200; columns++) {
		bar_bytes(&out, label, 5000, 90000000, 3000, columns);
		assert_true(columns_of(shown()) < columns);
		bar_steps(&out, 500, 1000, columns);
		assert_true(columns_of(shown()) < columns);
		bar_spinner(&out, label, 100, columns);
		assert_true(columns_of(shown()) < columns);
	}
	for (unsigned columns = 0; columns < 46; columns++) {
		bar_bytes(&out, label, 1, UINT64_MAX, 1, columns);
		bar_steps(&out, 1, UINT64_MAX, columns);
		assert_false(buf_failed(&out));
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_spinner),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_nothing_is_wider_than_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
