/*
 * What terminals answer when they are asked for pictures, and sixels read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/graphics.h"
#include "cli/sixel.h"

static void test_answers(void **state)
{
	static const struct {
		const char *answer;
		enum graphics expected;
	} cases[] = {
		{ "", GRAPHICS_NONE },
		{ "\033[?6c", GRAPHICS_NONE },                          /* the Linux console */
		{ "\033[?1;2c", GRAPHICS_NONE },
		{ "\033[?4c", GRAPHICS_NONE },                          /* a class, no attribute */
		{ "\033[?1;2;4c", GRAPHICS_SIXEL },                     /* tmux */
		{ "\033[?62;4;22c", GRAPHICS_SIXEL },                   /* foot */
		{ "\033[?62;22;44c", GRAPHICS_NONE },
		{ "\033[?65;1;9c", GRAPHICS_NONE },
		{ "\033_Gi=31;OK\033\\\033P>|kitty(0.35)\033\\\033[?62c", GRAPHICS_KITTY },
		{ "\033_Gi=31;ENOTSUPP\033\\\033[?62;4c", GRAPHICS_SIXEL },
		{ "\033P>|iTerm2 3.5.0\033\\\033[?62;4c", GRAPHICS_ITERM2 },
		{ "\033_Gi=31;OK\033\\\033P>|WezTerm 2024\033\\\033[?65;4;6c", GRAPHICS_ITERM2 },
		{ "\033[?\033[?;;;c", GRAPHICS_NONE },
		{ "\033[?4;x;4c", GRAPHICS_NONE },
		{ "\033[?62;99999999999999999999;4c", GRAPHICS_SIXEL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(graphics_parse(cases[i].answer), cases[i].expected);
}

/* ---- sixels ---- */

#define SIDE 64

struct canvas {
	unsigned width, height;
	uint8_t palette[256][3], pixels[SIDE][SIDE][3];
	unsigned seen[SIDE][SIDE];
};

/* One run: n columns from x of the pattern in the current colour. */
static void fill(struct canvas *c, unsigned *x, unsigned top, unsigned colour, char sixel, unsigned n)
{
	for (; n--; ++*x) {
		for (unsigned bit = 0; bit < 6; bit++) {
			if (!((sixel - '?') >> bit & 1))
				continue;
			assert_true(*x < c->width && top + bit < c->height);
			memcpy(c->pixels[top + bit][*x], c->palette[colour], 3);
			c->seen[top + bit][*x]++;
		}
	}
}

static unsigned number(const char **p)
{
	char *end;
	unsigned n = (unsigned)strtoul(*p, &end, 10);

	assert_true(end != *p);
	*p = end;
	return n;
}

static void read_colour(struct canvas *c, const char **p, unsigned *colour)
{
	++*p;
	*colour = number(p);
	assert_true(*colour < 256);
	if (**p != ';')
		return;
	assert_memory_equal(*p, ";2", 2);
	*p += 2;
	for (unsigned i = 0; i < 3; i++) {
		++*p;
		c->palette[*colour][i] = (uint8_t)(number(p) * 255 / 100);
	}
}

static void draw(struct canvas *c, const char *p)
{
	unsigned x = 0, top = 0, colour = 0;

	while (*p && *p != '\033') {
		unsigned n = 1;

		if (*p == '#') {
			read_colour(c, &p, &colour);
			continue;
		}
		if (*p == '!') {
			p++;
			n = number(&p);
		}
		if (*p == '$')
			x = 0;
		else if (*p == '-')
			x = 0, top += 6;
		else
			fill(c, &x, top, colour, *p, n);
		p++;
	}
	assert_string_equal(p, "\033\\");
}

static void test_sixels(void **state)
{
	static uint8_t rgb[SIDE * SIDE * 3];
	static struct canvas c = { .width = 61, .height = 50 };
	struct buf out = BUF_INIT(1 << 20);
	const char *head = "\033P0;1;0q\"1;1;61;50";
	double error = 0;

	(void)state;
	for (unsigned i = 0; i < c.width * c.height * 3; i++)
		rgb[i] = (uint8_t)(i % 3 == 0 ? i / 3 % c.width * 4 : i % 3 == 1 ? i / 3 / c.width * 5 : 200);
	sixel_put(rgb, c.width, c.height, &out);
	assert_false(buf_failed(&out));
	assert_memory_equal(out.data, head, strlen(head));
	draw(&c, out.data + strlen(head));
	for (unsigned y = 0; y < c.height; y++) {
		for (unsigned x = 0; x < c.width; x++) {
			assert_int_equal(c.seen[y][x], 1);
			for (unsigned i = 0; i < 3; i++)
				error += c.pixels[y][x][i] - (double)rgb[(y * c.width + x) * 3 + i];
		}
	}
	/* Dithering keeps the mean. */
	error /= c.width * c.height * 3;
	assert_true(error < 3 && error > -3);
	buf_finish(&out);
}

static void test_full_and_broken(void **state)
{
	static const uint8_t rgb[6 * 6 * 3];
	struct buf out = BUF_INIT(100);

	(void)state;
	sixel_put(rgb, 6, 6, &out);
	assert_true(buf_failed(&out));
	buf_finish(&out);
	assert_true(sixel_put_png("no png", 6, 10, 10, &out) < 0);
	buf_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_sixels),
		cmocka_unit_test(test_full_and_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
