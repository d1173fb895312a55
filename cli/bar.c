/*
 * The texts of spinner, step bar and byte bar. Pure: where they stand on the screen,
 * and when, is progress.c.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/bar.h"
#include "cli/text.h"
#include "common/timefmt.h"

#define GLYPH_MS 100
#define RATE_COLUMNS 10
#define LEFT_COLUMNS 8
#define NUMBER_COLUMNS 6
#define AMOUNT_COLUMNS (2 * NUMBER_COLUMNS + 1)
#define LEAST_BAR 4u
/* Percent with its sign and blank, both ends of the bar, a blank. */
#define BAR_COLUMNS 8u
/* Below these widths the rate, then the amounts, then the bar are left out. */
#define RATE_FITS 60u
#define AMOUNT_FITS 34u
#define BAR_FITS 18u

unsigned bar_percent(uint64_t completed, uint64_t total)
{
	if (completed >= total)
		return 100;
	return (unsigned)((double)completed * 100 / (double)total);
}

/* Puts text, cut after so many columns. Returns how many it took. */
static unsigned put_cut(struct buf *out, const char *text, unsigned columns)
{
	unsigned used;

	buf_append(out, text, text_cut(text, columns, &used));
	return used;
}

static void put_repeated(struct buf *out, const char *text, uint64_t n)
{
	while (n--)
		buf_puts(out, text);
}

void bar_message(struct buf *out, const char *message, unsigned columns)
{
	if (!*message)
		return;
	put_cut(out, message, columns > 4 ? columns - 4 : 0);
	if (columns > 4)
		buf_puts(out, " ");
}

void bar_spinner(struct buf *out, const char *message, int64_t age_ms, unsigned columns)
{
	static const char *const glyphs[] = {
		"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"
	};
	const char *glyph = glyphs[age_ms / GLYPH_MS % 10];

	bar_message(out, message, columns);
	buf_puts(out, glyph);
	if (*message && columns > 4)
		buf_puts(out, " ");
}

/* Percent and the bar itself: " 44% ▕████     ▏ ". */
static void put_bar(struct buf *out, unsigned percent, uint64_t filled, uint64_t width)
{
	buf_printf(out, "%3u%% ▕", percent);
	put_repeated(out, "█", filled);
	put_repeated(out, " ", width - filled);
	buf_puts(out, "▏ ");
}

static uint64_t scaled(uint64_t completed, uint64_t total, uint64_t width)
{
	if (completed >= total)
		return width;
	return total == width ? completed
			      : (uint64_t)((double)completed / (double)total * (double)width);
}

void bar_steps(struct buf *out, uint64_t completed, uint64_t total, unsigned columns)
{
	static const char label[] = "Generating ";
	char count[48];
	uint64_t others, width;

	completed = completed < total ? completed : total;
	snprintf(count, sizeof count, "%llu/%llu", (unsigned long long)completed,
		 (unsigned long long)total);
	others = BAR_COLUMNS + strlen(count) + 1;
	if (columns > others + strlen(label) + LEAST_BAR) {
		buf_puts(out, label);
		others += strlen(label);
	}
	if (columns <= others) {
		put_cut(out, count, columns > 1 ? columns - 1 : 1);
		return;
	}
	width = total < columns - others ? total : columns - others;
	put_bar(out, bar_percent(completed, total), scaled(completed, total, width), width);
	buf_puts(out, count);
}

/* "2s", "1m30s", "14h59m": never as wide as its column. */
static void left_text(double seconds, char ret[TIME_TEXT_SIZE])
{
	const unsigned minutes = (unsigned)(fmin(seconds, 99 * 3600) / 60);

	if (minutes >= 60)
		snprintf(ret, TIME_TEXT_SIZE, "%uh%um", minutes / 60, minutes % 60);
	else
		duration_format((int64_t)seconds * 1000000000, ret);
}

static void put_rate(struct buf *out, uint64_t completed, uint64_t total, int64_t age_ms)
{
	char size[32], text[48], left[TIME_TEXT_SIZE];
	double rate;

	/* The first second says little about the rest. */
	if (age_ms < 1000 || completed == 0) {
		put_repeated(out, " ", RATE_COLUMNS + LEFT_COLUMNS);
		return;
	}
	rate = (double)completed * 1000 / (double)age_ms;
	human_bytes((uint64_t)rate, size, sizeof size);
	snprintf(text, sizeof text, "%s/s", size);
	left_text((double)(total - completed) / rate, left);
	buf_printf(out, "%*s%*s", RATE_COLUMNS, text, LEFT_COLUMNS, left);
}

/* What stands right of the bar; always the same width, so that bars line up. */
static void put_amount(struct buf *out, uint64_t completed, uint64_t total)
{
	char done[32], all[32];

	human_bytes(completed, done, sizeof done);
	human_bytes(total, all, sizeof all);
	if (completed < total)
		buf_printf(out, "%*s/%*s", NUMBER_COLUMNS, done, NUMBER_COLUMNS, all);
	else
		buf_printf(out, "%*s%*s", NUMBER_COLUMNS, all, 1 + NUMBER_COLUMNS, "");
}

void bar_bytes(struct buf *out, const char *label, uint64_t completed, uint64_t total,
	       int64_t age_ms, unsigned columns)
{
	const bool rate = columns >= RATE_FITS, amount = columns >= AMOUNT_FITS;
	/* The last column stays free: writing there makes some terminals wrap. */
	const unsigned fixed = 1 + 1 + BAR_COLUMNS + LEAST_BAR + (amount ? AMOUNT_COLUMNS : 0) +
			       (rate ? RATE_COLUMNS + LEFT_COLUMNS : 0);
	unsigned room, used, width;

	completed = completed < total ? completed : total;
	if (columns < BAR_FITS) {
		if (columns > 4)
			buf_printf(out, "%3u%%", bar_percent(completed, total));
		return;
	}
	room = columns - fixed;
	used = put_cut(out, label, room);
	width = room - used + LEAST_BAR;
	buf_puts(out, " ");
	put_bar(out, bar_percent(completed, total), scaled(completed, total, width), width);
	if (amount)
		put_amount(out, completed, total);
	if (rate && completed < total)
		put_rate(out, completed, total, age_ms);
	else if (rate)
		put_repeated(out, " ", RATE_COLUMNS + LEFT_COLUMNS);
}
