/*
 * The queue and the table of loaded models: pure logic, no I/O, no clock. Owns its
 * models; requests belong to their jobs. Runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sched.h"

#define MAX_RESTARTS 2                          /* for those who wait, per window */
#define RESTART_WINDOW_NS (60 * INT64_C(1000000000))

void sched_init(struct sched *s)
{
	TAILQ_INIT(&s->models);
	TAILQ_INIT(&s->failed);
}

static void model_free(struct sched *s, struct sched_model *m)
{
	TAILQ_REMOVE(&s->models, m, link);
	free(m);
}

void sched_finish(struct sched *s)
{
	struct sched_model *m;

	while ((m = TAILQ_FIRST(&s->models)))
		model_free(s, m);
}

/* ---- questions ---- */

static bool has_process(const struct sched_model *m)
{
	return m->state != SCHED_WAITING;
}

static bool is_empty(const struct sched_model *m)
{
	return TAILQ_EMPTY(&m->requests);
}

/* Without the one that needs no place any more. */
static size_t n_requests(const struct sched_model *m)
{
	const struct sched_request *q;
	size_t n = 0;

	TAILQ_FOREACH(q, &m->requests, link)
		n += q != m->writing;
	return n;
}

/* The one that runs, or else the next to run. */
static struct sched_request *first_undrawn(const struct sched_model *m)
{
	struct sched_request *q = TAILQ_FIRST(&m->requests);

	return q && q == m->writing ? TAILQ_NEXT(q, link) : q;
}

bool sched_in_use(const struct sched_model *m)
{
	return m->state == SCHED_BUSY || m->writing;
}

static unsigned n_processes(const struct sched *s)
{
	const struct sched_model *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &s->models, link)
		n += has_process(m);
	return n;
}

static struct sched_model *find_state(const struct sched *s, enum sched_state state)
{
	struct sched_model *m;

	TAILQ_FOREACH(m, &s->models, link)
		if (m->state == state)
			return m;
	return NULL;
}

/* The model a new request of that key may join. */
static struct sched_model *find_joinable(const struct sched *s, const char *key)
{
	struct sched_model *m;

	TAILQ_FOREACH(m, &s->models, link)
		if (!m->draining && m->state != SCHED_STOPPING && !strcmp(m->key, key))
			return m;
	return NULL;
}

static bool key_has_process(const struct sched *s, const char *key)
{
	const struct sched_model *m;

	TAILQ_FOREACH(m, &s->models, link)
		if (has_process(m) && !strcmp(m->key, key))
			return true;
	return false;
}

/* Least recently used of the models that could go: idle ones first. */
static struct sched_model *find_victim(const struct sched *s, enum sched_state state)
{
	struct sched_model *m, *oldest = NULL;

	TAILQ_FOREACH(m, &s->models, link)
		if (m->state == state && (!oldest || m->used_ns < oldest->used_ns))
			oldest = m;
	return oldest;
}

static bool room_is_coming(const struct sched *s)
{
	const struct sched_model *m;

	TAILQ_FOREACH(m, &s->models, link)
		if (m->state == SCHED_STOPPING || m->draining)
			return true;
	return false;
}

/* ---- the queue's limit ---- */

/* Requests that wait for a load; the first of a load under way is what is being done. */
static size_t n_pending(const struct sched *s)
{
	const struct sched_model *m;
	size_t n = 0;

	TAILQ_FOREACH(m, &s->models, link) {
		if (m->state == SCHED_WAITING)
			n += n_requests(m);
		else if (m->state == SCHED_LOADING && !is_empty(m))
			n += n_requests(m) - 1;
	}
	return n;
}

static bool loads_at_once(const struct sched *s, const char *key)
{
	if (find_state(s, SCHED_WAITING) || find_state(s, SCHED_LOADING) || key_has_process(s, key))
		return false;
	return n_processes(s) < s->max_loaded || find_victim(s, SCHED_IDLE);
}

static bool is_full(const struct sched *s, const struct sched_model *m, const char *key,
		    const struct sched_request *q)
{
	if (!m)
		return !loads_at_once(s, key) && n_pending(s) >= s->max_queue;
	switch (m->state) {
	case SCHED_IDLE:
		return !is_empty(m) && n_requests(m) > s->max_queue;
	case SCHED_BUSY:
		return !q->load_only && n_requests(m) > s->max_queue;
	default:
		return n_pending(s) >= s->max_queue;
	}
}

/* ---- events ---- */

static struct sched_model *model_create(struct sched *s, const char *key, const char *name)
{
	struct sched_model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	snprintf(m->key, sizeof(m->key), "%s", key);
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->keep_alive_ns = s->keep_alive_ns;
	TAILQ_INIT(&m->requests);
	TAILQ_INSERT_TAIL(&s->models, m, link);
	return m;
}

static int64_t add_ns(int64_t now_ns, int64_t duration_ns)
{
	return duration_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + duration_ns;
}

static void start_keep_alive(struct sched_model *m, int64_t now_ns)
{
	m->used_ns = now_ns;
	m->expires_ns = add_ns(now_ns, m->keep_alive_ns);
}

int sched_busy(struct err *err)
{
	return err_set(err, -EBUSY, "server busy, please try again.  "
		       "maximum pending requests exceeded");
}

int sched_submit(struct sched *s, struct sched_request *q, const char *key, const char *name,
		 const int64_t *keep_alive_ns, int64_t now_ns, struct err *err)
{
	struct sched_model *m = find_joinable(s, key);

	if (is_full(s, m, key, q))
		return sched_busy(err);
	if (!m)
		m = model_create(s, key, name);
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	if (keep_alive_ns)
		m->keep_alive_ns = *keep_alive_ns;
	m->used_ns = now_ns;
	q->model = m;
	TAILQ_INSERT_TAIL(&m->requests, q, link);
	return 0;
}

static void leave(struct sched_request *q)
{
	if (q->model->writing == q)
		q->model->writing = NULL;
	TAILQ_REMOVE(&q->model->requests, q, link);
	q->model = NULL;
}

static void fail(struct sched *s, struct sched_request *q, const struct err *err)
{
	leave(q);
	q->err = *err;
	TAILQ_INSERT_TAIL(&s->failed, q, link);
}

static void fail_all(struct sched *s, struct sched_model *m, const struct err *err)
{
	while (!is_empty(m))
		fail(s, TAILQ_FIRST(&m->requests), err);
}

/* A victim that nobody needs gone any more may stay. */
static void forgive_victims(struct sched *s)
{
	struct sched_model *m;

	if (find_state(s, SCHED_WAITING))
		return;
	TAILQ_FOREACH(m, &s->models, link)
		if (m->for_room && m->state != SCHED_STOPPING)
			m->draining = m->for_room = false;
}

bool sched_cancel(struct sched *s, struct sched_request *q, int64_t now_ns)
{
	struct sched_model *m = q->model;

	if (!m) {
		TAILQ_REMOVE(&s->failed, q, link);
		return true;
	}
	if (q == m->writing || (m->state == SCHED_BUSY && q == first_undrawn(m)))
		return false;
	leave(q);
	if (m->state == SCHED_IDLE && is_empty(m))
		start_keep_alive(m, now_ns);
	if (m->state == SCHED_WAITING && is_empty(m)) {
		model_free(s, m);
		forgive_victims(s);
	}
	return true;
}

void sched_loaded(struct sched *s, struct sched_model *m, int64_t now_ns)
{
	(void)s;
	m->state = SCHED_IDLE;
	start_keep_alive(m, now_ns);
}

void sched_refused(struct sched *s, struct sched_model *m, const struct err *err)
{
	fail_all(s, m, err);
	m->draining = true;
}

void sched_drawn(struct sched *s, struct sched_model *m)
{
	(void)s;
	m->writing = first_undrawn(m);
	m->state = SCHED_IDLE;
}

void sched_finished(struct sched *s, struct sched_request *q, int64_t now_ns)
{
	struct sched_model *m = q->model;

	(void)s;
	if (q != m->writing)
		m->state = SCHED_IDLE;
	leave(q);
	start_keep_alive(m, now_ns);
}

static bool may_restart(struct sched_model *m, int64_t now_ns)
{
	if (now_ns - m->restarts_ns > RESTART_WINDOW_NS) {
		m->n_restarts = 0;
		m->restarts_ns = now_ns;
	}
	return m->n_restarts++ < MAX_RESTARTS;
}

/* Those who wait for a fresh load of the same key join those who lost theirs. */
static void merge_waiting(struct sched *s, struct sched_model *m)
{
	struct sched_model *other = find_joinable(s, m->key);
	struct sched_request *q;

	while (other && (q = TAILQ_FIRST(&other->requests))) {
		leave(q);
		q->model = m;
		TAILQ_INSERT_TAIL(&m->requests, q, link);
	}
	if (other)
		model_free(s, other);
}

static void wait_again(struct sched *s, struct sched_model *m)
{
	/* Not joinable while merging, so that it does not find itself. */
	m->draining = true;
	merge_waiting(s, m);
	m->state = SCHED_WAITING;
	m->draining = m->for_room = false;
	m->owner = NULL;
}

void sched_exited(struct sched *s, struct sched_model *m, const struct err *err, int64_t now_ns)
{
	if (m->writing)
		fail(s, m->writing, err);
	if (m->state == SCHED_BUSY)
		fail(s, TAILQ_FIRST(&m->requests), err);
	else if (m->state == SCHED_LOADING)
		fail_all(s, m, err);
	if (!is_empty(m) && !may_restart(m, now_ns))
		fail_all(s, m, err);
	if (is_empty(m))
		model_free(s, m);
	else
		wait_again(s, m);
	forgive_victims(s);
}

static void unload(struct sched_model *m, int64_t now_ns)
{
	m->keep_alive_ns = 0;
	m->expires_ns = now_ns;
	if (has_process(m))
		m->draining = true;
	m->for_room = false;
}

void sched_unload(struct sched *s, const char *key, const char *name, const char *except_key,
		  int64_t now_ns)
{
	struct sched_model *m;

	TAILQ_FOREACH(m, &s->models, link) {
		if (except_key && !strcmp(m->key, except_key))
			continue;
		if ((key && !strcmp(m->key, key)) || (name && !strcasecmp(m->name, name)))
			unload(m, now_ns);
	}
}

/* ---- actions ---- */

static struct sched_request *find_load_only(const struct sched_model *m)
{
	struct sched_request *q;

	TAILQ_FOREACH(q, &m->requests, link)
		if (q->load_only)
			return q;
	return NULL;
}

static bool is_over(const struct sched_model *m, int64_t now_ns)
{
	if (!is_empty(m))
		return false;
	if (m->state == SCHED_LOADING)
		return m->draining || m->keep_alive_ns == 0;
	return m->state == SCHED_IDLE && (m->draining || m->expires_ns <= now_ns);
}

static bool act(struct sched_action *ret, enum sched_verb verb, struct sched_model *m,
		struct sched_request *q)
{
	*ret = (struct sched_action){ .verb = verb, .model = m, .request = q };
	return true;
}

static bool next_for_model(struct sched_model *m, int64_t now_ns, struct sched_action *ret)
{
	bool loaded = m->state == SCHED_IDLE || m->state == SCHED_BUSY;
	struct sched_request *q = loaded ? find_load_only(m) : NULL;

	if (q) {
		leave(q);
		if (m->state == SCHED_IDLE)
			start_keep_alive(m, now_ns);
		return act(ret, SCHED_READY, m, q);
	}
	q = first_undrawn(m);
	if (m->state == SCHED_IDLE && q) {
		m->state = SCHED_BUSY;
		return act(ret, SCHED_RUN, m, q);
	}
	if (is_over(m, now_ns)) {
		m->state = SCHED_STOPPING;
		return act(ret, SCHED_STOP, m, NULL);
	}
	return false;
}

/* One victim at a time; false: nothing can be done until something ends. */
static bool make_room(struct sched *s)
{
	struct sched_model *victim;

	if (room_is_coming(s))
		return false;
	victim = find_victim(s, SCHED_IDLE);
	if (!victim)
		victim = find_victim(s, SCHED_BUSY);
	if (!victim)
		return false;
	victim->draining = victim->for_room = true;
	return true;
}

static bool next_load(struct sched *s, struct sched_action *ret)
{
	struct sched_model *m;

	if (find_state(s, SCHED_LOADING))
		return false;
	TAILQ_FOREACH(m, &s->models, link) {
		/* Waits for its own predecessor, whose place it will take. */
		if (m->state != SCHED_WAITING || key_has_process(s, m->key))
			continue;
		if (n_processes(s) >= s->max_loaded)
			return false;
		m->state = SCHED_LOADING;
		return act(ret, SCHED_SPAWN, m, TAILQ_FIRST(&m->requests));
	}
	return false;
}

static bool wants_room(const struct sched *s)
{
	const struct sched_model *m;

	if (find_state(s, SCHED_LOADING) || n_processes(s) < s->max_loaded)
		return false;
	TAILQ_FOREACH(m, &s->models, link)
		if (m->state == SCHED_WAITING && !key_has_process(s, m->key))
			return true;
	return false;
}

bool sched_next(struct sched *s, int64_t now_ns, struct sched_action *ret)
{
	struct sched_request *q = TAILQ_FIRST(&s->failed);
	struct sched_model *m;

	if (q) {
		TAILQ_REMOVE(&s->failed, q, link);
		return act(ret, SCHED_FAIL, NULL, q);
	}
	do {
		TAILQ_FOREACH(m, &s->models, link)
			if (next_for_model(m, now_ns, ret))
				return true;
		if (next_load(s, ret))
			return true;
	} while (wants_room(s) && make_room(s));
	return false;
}

int64_t sched_deadline(const struct sched *s)
{
	const struct sched_model *m;
	int64_t first = INT64_MAX;

	TAILQ_FOREACH(m, &s->models, link)
		if (m->state == SCHED_IDLE && !m->writing && m->expires_ns < first)
			first = m->expires_ns;
	return first;
}

int64_t sched_expiry(const struct sched_model *m, int64_t now_ns)
{
	if (m->draining || m->state == SCHED_STOPPING)
		return m->expires_ns < now_ns ? m->expires_ns : now_ns;
	return m->state == SCHED_IDLE && !m->writing ? m->expires_ns :
						       add_ns(now_ns, m->keep_alive_ns);
}
