/*
 * Counters, gauges and histograms. Owns every series; runs on the event loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "gateway/metrics.h"

#define SERIES_MAX 256u                 /* of one metric; names of models come from clients */
#define N_BUCKETS (sizeof(bounds) / sizeof(bounds[0]))

enum metric_type { COUNTER, GAUGE, HISTOGRAM };

static const struct row {
	const char *name;
	enum metric_type type;
	const char *labels, *help;
} rows[] = {
#define METRIC(id, name, type, labels, help) [METRIC_##id] = { name, type, labels, help },
#include "gateway/metrics.def"
#undef METRIC
};

static const char *const type_names[] = { "counter", "gauge", "histogram" };

/* Upper bounds of the buckets: a step on a GPU to a picture on a CPU. */
static const struct {
	double seconds;
	const char *text;
} bounds[] = {
	{ 0.005, "0.005" }, { 0.01, "0.01" }, { 0.025, "0.025" }, { 0.05, "0.05" }, { 0.1, "0.1" },
	{ 0.25, "0.25" }, { 0.5, "0.5" }, { 1, "1" }, { 2.5, "2.5" }, { 5, "5" }, { 10, "10" },
	{ 30, "30" }, { 60, "60" }, { 300, "300" }, { 1800, "1800" },
};

struct series {
	TAILQ_ENTRY(series) link;
	char *labels[METRIC_LABELS];
	double value;                   /* of a histogram: the sum */
	uint64_t n, buckets[N_BUCKETS];
};

TAILQ_HEAD(series_list, series);

struct metrics {
	struct {
		struct series_list list;
		size_t n;
	} all[METRIC_COUNT];
};

int metrics_create(struct metrics **ret, struct err *err)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < METRIC_COUNT; i++)
		TAILQ_INIT(&m->all[i].list);
	*ret = m;
	return 0;
}

static void series_free(struct series *s)
{
	for (size_t i = 0; i < METRIC_LABELS; i++)
		free(s->labels[i]);
	free(s);
}

void metrics_forget(struct metrics *m, enum metric id)
{
	struct series *s;

	while ((s = TAILQ_FIRST(&m->all[id].list))) {
		TAILQ_REMOVE(&m->all[id].list, s, link);
		series_free(s);
	}
	m->all[id].n = 0;
}

void metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < METRIC_COUNT; i++)
		metrics_forget(m, (enum metric)i);
	free(m);
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static struct series *find(const struct series_list *list, const char *const *labels)
{
	struct series *s;

	TAILQ_FOREACH(s, list, link)
		if (same(s->labels[0], labels[0]) && same(s->labels[1], labels[1]) &&
		    same(s->labels[2], labels[2]))
			return s;
	return NULL;
}

static struct series *make(const char *const *labels)
{
	struct series *s = calloc(1, sizeof(*s));

	for (size_t i = 0; s && i < METRIC_LABELS; i++) {
		s->labels[i] = labels[i] ? strdup(labels[i]) : NULL;
		if (labels[i] && !s->labels[i]) {
			series_free(s);
			return NULL;
		}
	}
	return s;
}

/* NULL when there are too many: what is not counted is said once. */
static struct series *get(struct metrics *m, enum metric id, const char *const *labels)
{
	struct series_list *list = &m->all[id].list;
	struct series *s = find(list, labels);

	if (s) {
		/* The one that counts most is found first. */
		if (s != TAILQ_FIRST(list)) {
			TAILQ_REMOVE(list, s, link);
			TAILQ_INSERT_HEAD(list, s, link);
		}
		return s;
	}
	if (m->all[id].n == SERIES_MAX)
		log_warn("%s has more than %u series: further ones are not counted", rows[id].name,
			 SERIES_MAX);
	if (m->all[id].n >= SERIES_MAX) {
		m->all[id].n = SERIES_MAX + 1;
		return NULL;
	}
	s = make(labels);
	if (s) {
		TAILQ_INSERT_HEAD(list, s, link);
		m->all[id].n++;
	}
	return s;
}

void metrics_add(struct metrics *m, enum metric id, double value, const char *const *labels)
{
	struct series *s = m ? get(m, id, labels) : NULL;

	if (!s)
		return;
	s->value += value;
	s->n++;
	for (size_t i = 0; rows[id].type == HISTOGRAM && i < N_BUCKETS; i++)
		if (value <= bounds[i].seconds)
			s->buckets[i]++;
}

void metrics_set(struct metrics *m, enum metric id, double value, const char *const *labels)
{
	struct series *s = get(m, id, labels);

	if (s)
		s->value = value;
}

/* ---- the text ---- */

static void print_value(struct evbuffer *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n') {
			evbuffer_add(out, "\\n", 2);
			continue;
		}
		if (*text == '"' || *text == '\\')
			evbuffer_add(out, "\\", 1);
		evbuffer_add(out, text, 1);
	}
}

/* {route="/",code="200",le="1"}; le may be NULL. */
static void print_labels(struct evbuffer *out, const struct row *row, const struct series *s,
			 const char *le)
{
	const char *name = row->labels;
	size_t n = 0;

	for (; *name && s->labels[n]; n++) {
		size_t len = strcspn(name, ",");

		evbuffer_add_printf(out, "%s%.*s=\"", n ? "," : "{", (int)len, name);
		print_value(out, s->labels[n]);
		evbuffer_add(out, "\"", 1);
		name += len + (name[len] == ',');
	}
	if (le)
		evbuffer_add_printf(out, "%sle=\"%s\"", n ? "," : "{", le);
	if (n || le)
		evbuffer_add(out, "}", 1);
}

static void print_line(struct evbuffer *out, const struct row *row, const char *suffix,
		       const struct series *s, const char *le, double value)
{
	evbuffer_add_printf(out, "%s%s", row->name, suffix);
	print_labels(out, row, s, le);
	evbuffer_add_printf(out, " %.17g\n", value);
}

static void print_series(struct evbuffer *out, const struct row *row, const struct series *s)
{
	if (row->type != HISTOGRAM) {
		print_line(out, row, "", s, NULL, s->value);
		return;
	}
	for (size_t i = 0; i < N_BUCKETS; i++)
		print_line(out, row, "_bucket", s, bounds[i].text, (double)s->buckets[i]);
	print_line(out, row, "_bucket", s, "+Inf", (double)s->n);
	print_line(out, row, "_sum", s, NULL, s->value);
	print_line(out, row, "_count", s, NULL, (double)s->n);
}

void metrics_print(const struct metrics *m, struct evbuffer *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		const struct series *s;

		evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help,
				    rows[i].name, type_names[rows[i].type]);
		TAILQ_FOREACH(s, &m->all[i].list, link)
			print_series(out, &rows[i], s);
	}
}
