/*
 * What was measured: rows, their medians, and both ways of printing them. Owns the rows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "runner/bench/bench_private.h"

enum { MAX_ROWS = 512 };

struct report {
	struct row rows[MAX_ROWS];              /* others point into it: it does not move */
	size_t n;
};

struct report *report_create(void)
{
	return calloc(1, sizeof(struct report));
}

void report_free(struct report *r)
{
	free(r);
}

struct row *report_row(struct report *r, const char *group, const char *name, const char *variant)
{
	struct row *row;

	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->rows[i].name, name) && !strcmp(r->rows[i].variant, variant))
			return &r->rows[i];
	if (r->n == MAX_ROWS)
		return NULL;
	row = &r->rows[r->n++];
	row->group = group;
	snprintf(row->name, sizeof row->name, "%s", name);
	snprintf(row->variant, sizeof row->variant, "%s", variant);
	return row;
}

void report_forget(struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->rows[i].n = 0;
}

void row_add(struct row *r, struct moment spent)
{
	if (r->n == BENCH_MAX_ROUNDS)
		return;
	r->seconds[r->n] = spent.wall;
	r->cpu[r->n++] = spent.cpu;
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const double *values, unsigned n)
{
	double sorted[BENCH_MAX_ROUNDS];

	if (n == 0)
		return 0;
	memcpy(sorted, values, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, compare_doubles);
	return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

/* Per second, in 10^9; 0 where nothing is counted. */
static double rate(const struct row *r, double work)
{
	const double seconds = median(r->seconds, r->n);

	return seconds > 0 ? 1e-9 * work / seconds : 0;
}

/* The row's rate in parts of its yardstick's; 0 without one. */
static double part(const struct row *r)
{
	const struct row *y = r->yardstick;
	double own, full;

	if (!y)
		return 0;
	own = r->flops > 0 ? rate(r, r->flops) : rate(r, r->bytes);
	full = r->flops > 0 ? rate(y, y->flops) : rate(y, y->bytes);
	return full > 0 ? own / full : 0;
}

/* ---- JSON ---- */

static void set_rate(json_t *object, const char *key, double value)
{
	if (value > 0)
		json_object_set_new(object, key, json_real(value));
}

static json_t *row_json(const struct row *r)
{
	json_t *seconds = json_array();
	json_t *object = json_pack("{ss ss ss sf sf}", "group", r->group, "name", r->name, "kernels",
				   r->variant, "ms", 1e3 * median(r->seconds, r->n), "cpu_ms",
				   1e3 * median(r->cpu, r->n));

	for (unsigned i = 0; i < r->n; i++)
		json_array_append_new(seconds, json_real(r->seconds[i]));
	json_object_set_new(object, "seconds", seconds);
	set_rate(object, "gflops", rate(r, r->flops));
	set_rate(object, "gbytes", rate(r, r->bytes));
	set_rate(object, "part", part(r));
	if (r->yardstick)
		json_object_set_new(object, "of", json_string(r->yardstick->name));
	return object;
}

static int print_json(const struct report *r, const struct vk_device_info *d, const struct bench_options *o,
		      struct err *err)
{
	json_t *rows = json_array(), *root;
	char *text;
	int printed;

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(rows, row_json(&r->rows[i]));
	root = json_pack("{ss ss ss ss si si so}", "version", EASEL_VERSION, "device", d->name, "driver",
			 d->driver, "type", vk_type_name(d->type), "threads", bench_threads(), "rounds",
			 (int)o->rounds, "rows", rows);
	text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
	json_decref(root);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	printed = puts(text);
	free(text);
	return printed < 0 ? err_errno(err, errno, "cannot write the results") : 0;
}

/* ---- table ---- */

static void print_number(int digits, double value)
{
	char text[32];

	snprintf(text, sizeof text, "%.*f", digits, value);
	printf("%10s", value > 0 ? text : "");
}

static void print_row(const struct row *r)
{
	printf("%-36s %-12s", r->name, r->variant);
	print_number(2, 1e3 * median(r->seconds, r->n));
	print_number(2, 1e3 * median(r->cpu, r->n));
	print_number(1, rate(r, r->flops));
	print_number(1, rate(r, r->bytes));
	print_number(2, part(r));
	printf("  %s\n", r->yardstick ? r->yardstick->name : "");
}

static int print_table(const struct report *r, const struct vk_device_info *d, const struct bench_options *o,
		       struct err *err)
{
	printf("easel %s, %s (%s), %d CPUs, median of %u interleaved rounds\n\n", EASEL_VERSION, d->name,
	       d->driver, bench_threads(), o->rounds);
	printf("%-36s %-12s%10s%10s%10s%10s%10s  %s\n", "", "kernels", "ms", "CPU ms", "GFLOP/s", "GB/s", "part", "of");
	for (size_t i = 0; i < r->n; i++)
		print_row(&r->rows[i]);
	return fflush(stdout) == 0 ? 0 : err_errno(err, errno, "cannot write the results");
}

int report_print(const struct report *r, const struct vk_device_info *d, const struct bench_options *o,
		 struct err *err)
{
	return (o->json ? print_json : print_table)(r, d, o, err);
}
