/*
 * What is told about the models in memory: ps, gauges, and how long things took. Owns
 * nothing; runs on the event loop, asks nobody and waits for nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/metrics.h"
#include "gateway/models.h"
#include "gateway/pool_private.h"
#include "gateway/process.h"

/* ---- how long it takes ---- */

const char *loaded_device(const struct loaded *l)
{
	return l->device ? l->device : "";
}

/* The phase so far is over; NULL: no other begins. */
static void enter_phase(struct loaded *l, const char *phase)
{
	if (l->phase)
		metrics_observe(l->pool->gw->metrics, METRIC_PHASE_SECONDS, seconds_since(l->phase_ns),
				l->model->name, loaded_device(l), l->phase);
	l->phase = phase;
	l->phase_ns = l->step_ns = time_monotonic_ns();
}

void loaded_time_phase(struct loaded *l, const char *phase)
{
	static const char *const phases[] = { "encode", "denoise", "decode" };

	if (!phase && l->phase)
		enter_phase(l, NULL);
	for (size_t i = 0; phase && i < sizeof(phases) / sizeof(phases[0]); i++)
		if (!strcmp(phase, phases[i]) && phases[i] != l->phase)
			enter_phase(l, phases[i]);
}

void loaded_time_steps(struct loaded *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		metrics_observe(l->pool->gw->metrics, METRIC_STEP_SECONDS, seconds_since(l->step_ns) / n,
				l->model->name, loaded_device(l));
	l->step_ns = time_monotonic_ns();
}

/* ---- ps ---- */

static const char *state_name(const struct sched_model *m)
{
	static const char *const names[] = {
		[SCHED_LOADING] = "loading", [SCHED_IDLE] = "idle", [SCHED_BUSY] = "busy",
		[SCHED_STOPPING] = "stopping",
	};

	if (sched_in_use(m))
		return m->draining ? "draining" : names[SCHED_BUSY];
	return names[m->state];
}

static int64_t unix_expiry(const struct sched_model *m)
{
	int64_t now_ns = time_monotonic_ns(), unix_ns = time_now_ns();
	int64_t expiry_ns = sched_expiry(m, now_ns);

	if (expiry_ns == INT64_MAX || expiry_ns - now_ns > INT64_MAX - unix_ns)
		return INT64_MAX;
	return unix_ns + (expiry_ns - now_ns);
}

static uint64_t size_of(const struct loaded *l)
{
	return l->is_ready ? l->ready.weights + l->ready.workspace : l->bytes;
}

/* With all weights in GPU memory the workspace is there too: shown as 100% GPU. */
static uint64_t vram_of(const struct loaded *l)
{
	if (!l->is_ready || !l->ready.vram)
		return 0;
	return l->ready.vram >= l->ready.weights ? size_of(l) : l->ready.vram;
}

static json_t *describe(const struct sched_model *m, const struct loaded *l)
{
	char expires[TIME_TEXT_SIZE];
	json_t *entry = json_object();

	time_format(unix_expiry(m), false, expires);
	json_object_set_new(entry, "name", json_string(m->name));
	json_object_set_new(entry, "model", json_string(m->name));
	json_object_set_new(entry, "size", json_integer((json_int_t)size_of(l)));
	json_object_set_new(entry, "digest", json_string(model_hex(m->key)));
	json_object_set(entry, "details", l->details);
	json_object_set_new(entry, "expires_at", json_string(expires));
	json_object_set_new(entry, "size_vram", json_integer((json_int_t)vram_of(l)));
	json_object_set_new(entry, "context_length", json_integer(0));
	json_object_set_new(entry, "state", json_string(state_name(m)));
	json_object_set_new(entry, "device", json_string(loaded_device(l)));
	return entry;
}

struct row {
	int64_t expiry_ns;
	const struct sched_model *model;
};

static int latest_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->expiry_ns < y->expiry_ns ? 1 : x->expiry_ns > y->expiry_ns ? -1 : 0;
}

json_t *pool_list(const struct pool *pool)
{
	struct row rows[256];
	const struct sched_model *m;
	json_t *ret = json_array();
	int64_t now_ns = time_monotonic_ns();
	size_t n = 0;

	TAILQ_FOREACH(m, &pool->sched.models, link)
		if (m->owner && n < sizeof(rows) / sizeof(rows[0]))
			rows[n++] = (struct row){ sched_expiry(m, now_ns), m };
	qsort(rows, n, sizeof(rows[0]), latest_first);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(ret, describe(rows[i].model, rows[i].model->owner));
	return ret;
}

/* ---- gauges ---- */

static void measure_memory(struct metrics *metrics, const struct loaded *l)
{
	const struct {
		const char *kind;
		uint64_t bytes;
	} kinds[] = {
		{ "weights", l->ready.weights }, { "vram", l->ready.vram },
		{ "workspace", l->ready.workspace },
		{ "resident", process_resident_bytes(runner_pid(l->runner)) },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		metrics_gauge(metrics, METRIC_MEMORY, (double)kinds[i].bytes, l->model->name,
			      loaded_device(l), kinds[i].kind);
}

void pool_measure(struct pool *pool)
{
	struct metrics *metrics = pool->gw->metrics;
	const struct sched_model *m;
	const struct sched_request *q;
	size_t waiting = 0;

	metrics_forget(metrics, METRIC_MEMORY);
	TAILQ_FOREACH(m, &pool->sched.models, link) {
		TAILQ_FOREACH(q, &m->requests, link)
			waiting++;
		waiting -= (m->state == SCHED_BUSY) + (m->writing != NULL);
		if (m->owner)
			measure_memory(metrics, m->owner);
	}
	metrics_gauge(metrics, METRIC_QUEUE_DEPTH, (double)waiting, NULL);
}
