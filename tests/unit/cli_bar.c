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
#include "cli/text.h"

static struct buf out = BUF_INIT(1 << 16);

static const char *shown(void)
{
	static char text[4096];

	buf_puts(&out, "");
	assert_true(out.len < sizeof text);
	memcpy(text, out.data, out.len + 1);
	buf_finish(&out);
	return text;
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
	static const char *const labels[] = {
		"importing transformer/diffusion_pytorch_modèl-00001-of-00003",
		"猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫",
	};

	(void)state;
	for (unsigned columns = 1; columns < 200; columns++) {
		for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
			bar_bytes(&out, labels[i], 5000, 90000000, 3000, columns);
			assert_true(text_columns(shown()) < columns + (columns == 1));
			bar_spinner(&out, labels[i], 100, columns);
			assert_true(text_columns(shown()) < columns + (columns == 1));
		}
		bar_steps(&out, 500, 1000, columns);
		assert_true(text_columns(shown()) < columns + (columns == 1));
		bar_bytes(&out, labels[0], 1, UINT64_MAX, 1, columns);
		bar_steps(&out, 1, UINT64_MAX, columns);
		assert_false(buf_failed(&out));
		buf_finish(&out);
	}
}

static void test_what_narrow_terminals_get(void **state)
{
	(void)state;
	bar_bytes(&out, "pulling model:", 790, 897, 10, 40);
	assert_string_equal(shown(), "pulling model  88% ▕███ ▏  790 B/ 897 B");
	bar_bytes(&out, "pulling model:", 790, 897, 10, 30);
	assert_string_equal(shown(), "pulling model:  88% ▕█████ ▏ ");
	bar_bytes(&out, "pulling model:", 790, 897, 10, 10);
	assert_string_equal(shown(), " 88%");
	bar_steps(&out, 4, 9, 20);
	assert_string_equal(shown(), " 44% ▕███     ▏ 4/9");
	bar_steps(&out, 4, 9, 8);
	assert_string_equal(shown(), "4/9");
	bar_message(&out, "猫猫猫猫", 9);
	assert_string_equal(shown(), "猫猫 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_spinner),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_nothing_is_wider_than_the_terminal),
		cmocka_unit_test(test_what_narrow_terminals_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
