/*
 * The scheduler without processes: events in, actions out. A test tells what happens and
 * at which second; do_all() plays the pool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/sched.h"

#define S INT64_C(1000000000)
#define MAX_ACTIONS 32

struct world {
	struct sched s;
	struct sched_action did[MAX_ACTIONS];
	size_t n;
	int64_t now;
};

static int setup(void **state)
{
	static struct world w;

	w = (struct world){ .now = 1000 * S };
	sched_init(&w.s);
	w.s.max_loaded = 2;
	w.s.max_queue = 512;
	w.s.keep_alive_ns = 300 * S;
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	sched_finish(&w->s);
	return 0;
}

/* All that is to be done now; the processes themselves are not played. */
static void do_all(struct world *w)
{
	w->n = 0;
	while (sched_next(&w->s, w->now, &w->did[w->n])) {
		w->n++;
		assert_true(w->n < MAX_ACTIONS);
	}
}

static const struct sched_action *find(const struct world *w, enum sched_verb verb)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->did[i].verb == verb)
			return &w->did[i];
	return NULL;
}

static int submit(struct world *w, struct sched_request *q, const char *key, int64_t keep_alive)
{
	struct err err;
	int r = sched_submit(&w->s, q, key, key, keep_alive < 0 ? NULL : &keep_alive, w->now, &err);

	if (r == 0)
		do_all(w);
	return r;
}

/* Until the first request runs. */
static struct sched_model *load(struct world *w, struct sched_request *q, const char *key)
{
	struct sched_model *m;

	assert_int_equal(submit(w, q, key, -1), 0);
	assert_non_null(find(w, SCHED_SPAWN));
	m = find(w, SCHED_SPAWN)->model;
	sched_loaded(&w->s, m, w->now);
	do_all(w);
	assert_ptr_equal(find(w, SCHED_RUN)->request, q);
	return m;
}

/* In order of arrival, the one that is written first. */
static struct sched_request *running(const struct sched_model *m)
{
	struct sched_request *q = TAILQ_FIRST(&m->requests);

	return q == m->writing ? TAILQ_NEXT(q, link) : q;
}

static void finish(struct world *w, struct sched_model *m)
{
	sched_finished(&w->s, running(m), w->now);
	do_all(w);
}

static void exited(struct world *w, struct sched_model *m)
{
	struct err err;

	err_set(&err, -5, "gone");
	sched_exited(&w->s, m, &err, w->now);
	do_all(w);
}

static void one_spawn_for_all(void **state)
{
	struct world *w = *state;
	struct sched_request q[3] = { 0 };

	assert_int_equal(submit(w, &q[0], "a", -1), 0);
	assert_int_equal(w->n, 1);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(submit(w, &q[i], "a", -1), 0);
		assert_int_equal(w->n, 0);
	}
	sched_loaded(&w->s, q[0].model, w->now);
	for (int i = 0; i < 3; i++) {
		do_all(w);
		assert_int_equal(w->n, 1);
		assert_ptr_equal(find(w, SCHED_RUN)->request, &q[i]);
		sched_finished(&w->s, &q[i], w->now);
	}
}

static void load_only_is_answered_when_ready(void **state)
{
	struct world *w = *state;
	struct sched_request q = { .load_only = true }, run = { 0 }, again = { .load_only = true };
	struct sched_model *m;

	submit(w, &q, "a", -1);
	m = q.model;
	sched_loaded(&w->s, m, w->now);
	do_all(w);
	assert_ptr_equal(find(w, SCHED_READY)->request, &q);
	assert_null(q.model);
	submit(w, &run, "a", -1);
	submit(w, &again, "a", -1);
	assert_ptr_equal(find(w, SCHED_READY)->request, &again);
	finish(w, m);
}

static void keep_alive_starts_at_the_end(void **state)
{
	struct world *w = *state;
	struct sched_request q = { 0 };
	struct sched_model *m = load(w, &q, "a");

	assert_int_equal(sched_deadline(&w->s), INT64_MAX);
	w->now += 900 * S;
	do_all(w);
	assert_int_equal(w->n, 0);
	assert_int_equal(sched_expiry(m, w->now), w->now + 300 * S);
	finish(w, m);
	assert_int_equal(sched_deadline(&w->s), w->now + 300 * S);
	w->now += 300 * S;
	do_all(w);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
	exited(w, m);
	assert_true(TAILQ_EMPTY(&w->s.models));
}

static void forever_is_for_ever(void **state)
{
	struct world *w = *state;
	struct sched_request q = { 0 };

	submit(w, &q, "a", INT64_MAX);
	sched_loaded(&w->s, q.model, w->now);
	do_all(w);
	finish(w, q.model);
	assert_int_equal(sched_deadline(&w->s), INT64_MAX);
}

static void latest_keep_alive_holds(void **state)
{
	struct world *w = *state;
	struct sched_request q[3] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	submit(w, &q[1], "a", 0);
	submit(w, &q[2], "a", 60 * S);
	finish(w, m);
	finish(w, m);
	finish(w, m);
	assert_null(find(w, SCHED_STOP));
	assert_int_equal(sched_deadline(&w->s), w->now + 60 * S);
}

static void last_waiter_gone_while_loading(void **state)
{
	struct world *w = *state;
	struct sched_request q = { 0 }, hasty = { 0 };
	struct sched_model *m;

	submit(w, &q, "a", -1);
	m = q.model;
	assert_true(sched_cancel(&w->s, &q, w->now));
	do_all(w);
	assert_int_equal(w->n, 0);
	sched_loaded(&w->s, m, w->now);
	do_all(w);
	assert_int_equal(sched_deadline(&w->s), w->now + 300 * S);
	submit(w, &hasty, "b", 0);
	m = hasty.model;
	assert_true(sched_cancel(&w->s, &hasty, w->now));
	do_all(w);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
}

static void running_request_stays_until_acknowledged(void **state)
{
	struct world *w = *state;
	struct sched_request q[2] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	submit(w, &q[1], "a", -1);
	assert_false(sched_cancel(&w->s, &q[0], w->now));
	do_all(w);
	assert_int_equal(w->n, 0);
	finish(w, m);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &q[1]);
}

static void least_recently_used_goes(void **state)
{
	struct world *w = *state;
	struct sched_request q[4] = { 0 };
	struct sched_model *a = load(w, &q[0], "a"), *b;

	finish(w, a);
	w->now += S;
	b = load(w, &q[1], "b");
	finish(w, b);
	w->now += S;
	submit(w, &q[2], "a", -1);
	finish(w, a);
	submit(w, &q[3], "c", -1);
	assert_ptr_equal(find(w, SCHED_STOP)->model, b);
	assert_null(find(w, SCHED_SPAWN));
	exited(w, b);
	assert_string_equal(find(w, SCHED_SPAWN)->model->key, "c");
}

static void busy_victim_drains(void **state)
{
	struct world *w = *state;
	struct sched_request a[3] = { 0 }, b = { 0 };
	struct sched_model *m;

	w->s.max_loaded = 1;
	m = load(w, &a[0], "a");
	submit(w, &a[1], "a", -1);
	submit(w, &b, "b", -1);
	assert_true(m->draining);
	/* Who comes now waits behind b instead of keeping a alive. */
	submit(w, &a[2], "a", 3600 * S);
	assert_ptr_not_equal(a[2].model, m);
	finish(w, m);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &a[1]);
	finish(w, m);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
	exited(w, m);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, b.model);
}

static void victim_is_forgiven(void **state)
{
	struct world *w = *state;
	struct sched_request a = { 0 }, b = { 0 };
	struct sched_model *m;

	w->s.max_loaded = 1;
	m = load(w, &a, "a");
	submit(w, &b, "b", -1);
	assert_true(m->draining);
	assert_true(sched_cancel(&w->s, &b, w->now));
	assert_false(m->draining);
	finish(w, m);
	assert_null(find(w, SCHED_STOP));
}

static void stop_is_not_forgiven(void **state)
{
	struct world *w = *state;
	struct sched_request a = { 0 };
	struct sched_model *m = load(w, &a, "a");

	sched_unload(&w->s, "a", NULL, NULL, w->now);
	do_all(w);
	assert_int_equal(w->n, 0);
	assert_true(sched_expiry(m, w->now) <= w->now);
	finish(w, m);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
}

static void fresh_load_waits_for_the_stopping_one(void **state)
{
	struct world *w = *state;
	struct sched_request a[2] = { 0 }, other = { 0 };
	struct sched_model *m = load(w, &a[0], "a");

	sched_unload(&w->s, NULL, "A", NULL, w->now);
	submit(w, &a[1], "a", -1);
	assert_int_equal(w->n, 0);
	submit(w, &other, "b", -1);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, other.model);
	sched_loaded(&w->s, other.model, w->now);
	finish(w, m);
	exited(w, m);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, a[1].model);
}

static void retagged_name_spares_the_new_digest(void **state)
{
	struct world *w = *state;
	struct sched_request q = { 0 };
	struct sched_model *m = load(w, &q, "a");

	finish(w, m);
	sched_unload(&w->s, NULL, "a", "a", w->now);
	do_all(w);
	assert_null(find(w, SCHED_STOP));
	sched_unload(&w->s, NULL, "a", "b", w->now);
	do_all(w);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
}

static void crash_restarts_for_those_who_wait(void **state)
{
	struct world *w = *state;
	struct sched_request q[5] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	for (int i = 1; i < 5; i++)
		submit(w, &q[i], "a", -1);
	for (int i = 0; i < 2; i++) {
		exited(w, m);
		assert_ptr_equal(find(w, SCHED_FAIL)->request, &q[i]);
		assert_string_equal(q[i].err.text, "gone");
		assert_ptr_equal(find(w, SCHED_SPAWN)->model, m);
		sched_loaded(&w->s, m, w->now);
		do_all(w);
		assert_ptr_equal(find(w, SCHED_RUN)->request, &q[i + 1]);
	}
	/* The third within a minute fails them all. */
	exited(w, m);
	assert_int_equal(w->n, 3);
	assert_null(find(w, SCHED_SPAWN));
	assert_true(TAILQ_EMPTY(&w->s.models));
}

static void failed_load_fails_all(void **state)
{
	struct world *w = *state;
	struct sched_request q[2] = { 0 };
	struct sched_model *m;
	struct err err;

	submit(w, &q[0], "a", -1);
	submit(w, &q[1], "a", -1);
	m = q[0].model;
	err_set(&err, -5, "no blob");
	sched_refused(&w->s, m, &err);
	do_all(w);
	assert_int_equal(w->n, 3);
	assert_string_equal(q[1].err.text, "no blob");
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
	exited(w, m);
	assert_true(TAILQ_EMPTY(&w->s.models));
}

static void one_load_at_a_time(void **state)
{
	struct world *w = *state;
	struct sched_request a = { 0 }, b = { 0 };

	submit(w, &a, "a", -1);
	submit(w, &b, "b", -1);
	assert_int_equal(w->n, 0);
	sched_loaded(&w->s, a.model, w->now);
	do_all(w);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, b.model);
}

static void queue_is_bounded(void **state)
{
	struct world *w = *state;
	struct sched_request q[4] = { 0 }, other = { 0 }, only = { .load_only = true };

	w->s.max_queue = 2;
	load(w, &q[0], "a");
	assert_int_equal(submit(w, &q[1], "a", -1), 0);
	assert_int_equal(submit(w, &q[2], "a", -1), 0);
	assert_int_equal(submit(w, &q[3], "a", -1), -16);
	assert_int_equal(submit(w, &only, "a", -1), 0);
	assert_int_equal(submit(w, &other, "b", -1), 0);
}

static void no_queue_at_all(void **state)
{
	struct world *w = *state;
	struct sched_request q[3] = { 0 };
	struct sched_model *m;

	w->s.max_queue = 0;
	m = load(w, &q[0], "a");
	assert_int_equal(submit(w, &q[1], "a", -1), -16);
	finish(w, m);
	assert_int_equal(submit(w, &q[1], "a", -1), 0);
}

static void drawn(struct world *w, struct sched_model *m)
{
	sched_drawn(&w->s, m);
	do_all(w);
}

static void written(struct world *w, struct sched_request *q)
{
	sched_finished(&w->s, q, w->now);
	do_all(w);
}

static void next_runs_while_the_last_is_written(void **state)
{
	struct world *w = *state;
	struct sched_request q[3] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	submit(w, &q[1], "a", -1);
	drawn(w, m);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &q[1]);
	assert_false(sched_cancel(&w->s, &q[0], w->now));
	assert_false(sched_cancel(&w->s, &q[1], w->now));
	submit(w, &q[2], "a", -1);
	assert_int_equal(w->n, 0);
	written(w, &q[0]);
	assert_int_equal(w->n, 0);
	/* The next one may also end before the last picture has come. */
	drawn(w, m);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &q[2]);
	written(w, &q[2]);
	assert_true(sched_in_use(m));
	written(w, &q[1]);
	assert_false(sched_in_use(m));
	assert_int_equal(sched_deadline(&w->s), w->now + 300 * S);
}

static void who_comes_while_writing_runs_at_once(void **state)
{
	struct world *w = *state;
	struct sched_request q[2] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	w->s.max_queue = 0;
	drawn(w, m);
	assert_int_equal(submit(w, &q[1], "a", -1), 0);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &q[1]);
	written(w, &q[0]);
	written(w, &q[1]);
}

static void nothing_stops_while_it_writes(void **state)
{
	struct world *w = *state;
	struct sched_request a = { 0 }, b = { 0 };
	struct sched_model *m;

	w->s.max_loaded = 1;
	submit(w, &a, "a", 0);
	m = a.model;
	sched_loaded(&w->s, m, w->now);
	do_all(w);
	drawn(w, m);
	w->now += 900 * S;
	do_all(w);
	assert_int_equal(w->n, 0);
	assert_int_equal(sched_deadline(&w->s), INT64_MAX);
	submit(w, &b, "b", -1);
	sched_unload(&w->s, "a", NULL, NULL, w->now);
	do_all(w);
	assert_int_equal(w->n, 0);
	written(w, &a);
	assert_ptr_equal(find(w, SCHED_STOP)->model, m);
	exited(w, m);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, b.model);
}

static void crash_fails_what_is_written_too(void **state)
{
	struct world *w = *state;
	struct sched_request q[3] = { 0 };
	struct sched_model *m = load(w, &q[0], "a");

	submit(w, &q[1], "a", -1);
	submit(w, &q[2], "a", -1);
	drawn(w, m);
	exited(w, m);
	assert_int_equal(w->n, 3);
	assert_ptr_equal(w->did[0].request, &q[0]);
	assert_ptr_equal(w->did[1].request, &q[1]);
	assert_ptr_equal(find(w, SCHED_SPAWN)->model, m);
	sched_loaded(&w->s, m, w->now);
	do_all(w);
	assert_ptr_equal(find(w, SCHED_RUN)->request, &q[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(one_spawn_for_all),
		TEST(load_only_is_answered_when_ready),
		TEST(keep_alive_starts_at_the_end),
		TEST(forever_is_for_ever),
		TEST(latest_keep_alive_holds),
		TEST(last_waiter_gone_while_loading),
		TEST(running_request_stays_until_acknowledged),
		TEST(least_recently_used_goes),
		TEST(busy_victim_drains),
		TEST(victim_is_forgiven),
		TEST(stop_is_not_forgiven),
		TEST(fresh_load_waits_for_the_stopping_one),
		TEST(retagged_name_spares_the_new_digest),
		TEST(crash_restarts_for_those_who_wait),
		TEST(failed_load_fails_all),
		TEST(one_load_at_a_time),
		TEST(queue_is_bounded),
		TEST(no_queue_at_all),
		TEST(next_runs_while_the_last_is_written),
		TEST(who_comes_while_writing_runs_at_once),
		TEST(nothing_stops_while_it_writes),
		TEST(crash_fails_what_is_written_too),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
