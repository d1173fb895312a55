#ifndef EASEL_GATEWAY_METRICS_H
#define EASEL_GATEWAY_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/buffer.h>

#include "common/err.h"

/*
 * What /metrics tells, in Prometheus' text format: a table of metrics (metrics.def), and
 * under each a bounded number of series, told apart by the values of its labels.
 */
struct metrics;

enum metric {
#define METRIC(id, name, type, labels, help) METRIC_##id,
#include "gateway/metrics.def"
#undef METRIC
	METRIC_COUNT
};
#define METRIC_LABELS 3u

int metrics_create(struct metrics **ret, struct err *err);
void metrics_destroy(struct metrics *m);

/* labels: as many values as the metric has labels, NULL for the rest. m may be NULL. */
#define metrics_count(m, id, ...) metrics_add((m), (id), 1, METRIC_VALUES_(__VA_ARGS__))
#define metrics_observe(m, id, seconds, ...) metrics_add((m), (id), (seconds), METRIC_VALUES_(__VA_ARGS__))
#define metrics_gauge(m, id, value, ...) metrics_set((m), (id), (value), METRIC_VALUES_(__VA_ARGS__))
#define METRIC_VALUES_(...) (const char *const[METRIC_LABELS]){ __VA_ARGS__ }

/* Counters grow by value, histograms get one more observation of it. */
void metrics_add(struct metrics *m, enum metric id, double value, const char *const *labels);
void metrics_set(struct metrics *m, enum metric id, double value, const char *const *labels);
/* Forgets the series of a gauge whose labels come and go. */
void metrics_forget(struct metrics *m, enum metric id);
void metrics_print(const struct metrics *m, struct evbuffer *out);

#endif
