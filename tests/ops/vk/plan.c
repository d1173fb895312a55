/*
 * The pure parts of the graph: places by lifetime, bands, hazards; and the choice of a
 * device from a list.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/graph/band.h"
#include "runner/graph/hazard.h"
#include "runner/graph/plan.h"
#include "runner/vk/select.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* No two that live together may share a byte. */
static void assert_disjoint(const struct plan_item *items, size_t n, uint64_t bytes)
{
	for (size_t i = 0; i < n; i++) {
		const struct plan_item *a = &items[i];

		assert_int_equal(a->offset % PLAN_ALIGN, 0);
		assert_true(a->offset + a->bytes <= bytes);
		for (size_t k = 0; k < i; k++) {
			const struct plan_item *b = &items[k];
			const int together = a->first <= b->last && b->first <= a->last;
			const int overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;

			assert_false(together && overlap);
		}
	}
}

static void test_plan_chain(void **state)
{
	struct plan_item items[8];
	uint64_t bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < COUNT(items); i++)
		items[i] = (struct plan_item){ .bytes = 1000, .first = i, .last = i + 1 };
	assert_int_equal(plan_place(items, COUNT(items), &bytes), 0);
	assert_disjoint(items, COUNT(items), bytes);
	assert_int_equal(bytes, 2 * 1024);
}

static void test_plan_best_gap(void **state)
{
	/* Two holes of 8 and 4 units remain when the small one comes: the tighter is taken. */
	struct plan_item items[] = {
		{ 16 * 256, 0, 3, 0 }, { 8 * 256, 0, 1, 0 }, { 7 * 256, 0, 3, 0 }, { 4 * 256, 0, 1, 0 },
		{ 3 * 256, 0, 3, 0 }, { 2 * 256, 2, 3, 0 },
	};
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(plan_place(items, COUNT(items), &bytes), 0);
	assert_disjoint(items, COUNT(items), bytes);
	assert_int_equal(items[5].offset, items[3].offset);
	assert_int_equal(bytes, (16 + 8 + 7 + 4 + 3) * 256);
}

static void test_plan_random(void **state)
{
	struct plan_item items[300];
	uint64_t bytes = 0, sum = 0;
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < COUNT(items); i++) {
		seed = seed * 1664525u + 1013904223u;
		items[i].bytes = 1 + (seed >> 12) % 5000;
		items[i].first = (seed >> 3) % 200;
		items[i].last = items[i].first + (seed >> 24) % 20;
		sum += (items[i].bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
	}
	assert_int_equal(plan_place(items, COUNT(items), &bytes), 0);
	assert_disjoint(items, COUNT(items), bytes);
	assert_true(bytes < sum / 3);
}

static void test_plan_nothing(void **state)
{
	uint64_t bytes = 1;

	(void)state;
	assert_int_equal(plan_place(NULL, 0, &bytes), 0);
	assert_int_equal(bytes, 0);
}

static void test_bands(void **state)
{
	static const struct {
		struct band_rule rule;
		uint32_t rows;
	} rows[] = {
		{ { 100, 1, false, 0.001, 16, 1 << 20 }, 100 },         /* small: one band */
		{ { 100, 16, false, 10, 16, 1 << 20 }, 16 },            /* 25 rows fit the time */
		{ { 100, 1, false, 10, 16, 1 << 20 }, 25 },
		{ { 101, 1, false, 10, 16, 1 << 20 }, 21 },             /* five equal ones rather than four and one row */
		{ { 100, 16, false, 1000, 16, 1 << 20 }, 16 },          /* never below the multiple */
		{ { 100, 0, false, 1000, 16, 1 << 20 }, 1 },
		{ { 100, 1, true, 1000, 16, 1 << 20 }, 100 },           /* whole */
		{ { 100, 1, false, 0, 1024, 10 * 1024 }, 10 },          /* by what can be bound */
		{ { 100, 16, false, 0, 1024, 10 * 1024 }, 0 },
		{ { 100, 1, true, 0, 1024, 10 * 1024 }, 0 },
		{ { 5, 16, false, 1000, 16, 1 << 20 }, 5 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(band_rows(&rows[i].rule), rows[i].rows);
}

static void test_hazards(void **state)
{
	static const int a, b;
	struct hazards h;
	const struct range low = { &a, 0, 100 }, high = { &a, 100, 200 }, all = { &a, 0, 200 };
	const struct range other = { &b, 0, 100 };

	(void)state;
	hazards_clear(&h);
	assert_false(hazards_note(&h, &low, 1, high));
	assert_false(hazards_note(&h, &low, 1, other));         /* reads of the same, writes apart */
	assert_true(hazards_note(&h, &high, 1, low));           /* read after write */
	assert_true(hazards_note(&h, NULL, 0, all));            /* write after both */
	assert_true(hazards_note(&h, NULL, 0, low));            /* write after write */
	assert_false(hazards_note(&h, NULL, 0, high));          /* the barrier forgot the former */
	assert_true(hazards_note(&h, &other, 1, all));
	assert_true(hazards_note(&h, NULL, 0, other));          /* write after read */
}

static void test_hazards_full(void **state)
{
	static const int a;
	struct hazards h;
	unsigned barriers = 0;

	(void)state;
	hazards_clear(&h);
	for (uint64_t i = 0; i < 3 * HAZARD_RANGES; i++) {
		const struct range read = { &a, 1000000 + 2 * i, 1000000 + 2 * i + 1 };

		barriers += hazards_note(&h, &read, 1, (struct range){ &a, i, i + 1 });
	}
	assert_int_equal(barriers, 2);
}

static struct probe device(unsigned index, enum vk_type type, const char *name, uint64_t available, bool usable)
{
	struct probe p = { .info = { .index = index, .type = type, .memory_available = available, .usable = usable } };

	strcpy(p.info.name, name);
	strcpy(p.info.driver, "driver 1.0");
	strcpy(p.info.missing, usable ? "" : "Vulkan 1.2");
	return p;
}

static void test_select(void **state)
{
	const struct probe list[] = {
		device(0, VK_SOFTWARE, "llvmpipe (LLVM 15.0.6, 256 bits)", 1 << 30, true),
		device(2, VK_DISCRETE, "Old Card", 9 << 20, false),
		device(3, VK_INTEGRATED, "Intel UHD", 4 << 20, true),
		device(4, VK_DISCRETE, "Card A", 2 << 20, true),
		device(5, VK_DISCRETE, "Card B", 3 << 20, true),
	};
	static const struct {
		const char *selector;
		unsigned index;
	} rows[] = { { NULL, 5 }, { "", 5 }, { "0", 0 }, { "LLVM", 0 }, { "uhd", 3 }, { "card", 4 }, { "card b", 5 } };
	const struct probe *found;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(device_select(list, COUNT(list), rows[i].selector, &found, &err), 0);
		assert_int_equal(found->info.index, rows[i].index);
	}
	assert_int_equal(device_select(list, COUNT(list), "1", &found, &err), -ENODEV);
	assert_non_null(strstr(err.text, "2 Old Card"));
	assert_int_equal(device_select(list, COUNT(list), "old", &found, &err), -ENODEV);
	assert_non_null(strstr(err.text, "Vulkan 1.2"));
	assert_int_equal(device_select(list, 0, NULL, &found, &err), -ENODEV);
	assert_non_null(strstr(err.text, "mesa-vulkan-drivers"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_chain),
		cmocka_unit_test(test_plan_best_gap),
		cmocka_unit_test(test_plan_random),
		cmocka_unit_test(test_plan_nothing),
		cmocka_unit_test(test_bands),
		cmocka_unit_test(test_hazards),
		cmocka_unit_test(test_hazards_full),
		cmocka_unit_test(test_select),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
