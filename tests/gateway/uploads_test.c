/*
 * How many bytes of pictures wait in line: a pool that may load nothing, so that all who
 * get in stay there, and requests without a connection.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/http_conn.h"
#include "gateway/pool.h"

#define N_REQUESTS 4

struct request {
	struct job job;                 /* first member */
	struct http_conn conn;
	bool destroyed;
};

struct world {
	struct gateway gw;
	struct manifest manifest;
	struct request requests[N_REQUESTS];
};

static void destroy(struct job *job)
{
	picture_inputs_clear(&job->params.inputs);
	((struct request *)(void *)job)->destroyed = true;
}

static int setup(void **state)
{
	static const struct pool_limits limits = { .max_loaded = 0, .max_queue = 512 };
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	assert_non_null(w);
	w->gw.base = event_base_new();
	w->gw.uploads.max = 10;
	assert_non_null(w->gw.base);
	assert_int_equal(pool_create(&w->gw, &limits, &w->gw.pool, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	pool_destroy(w->gw.pool);
	assert_int_equal(w->gw.uploads.held, 0);
	event_base_free(w->gw.base);
	free(w);
	return 0;
}

/* len 0: without pictures. As a route does, which drops its own reference. */
static int submit(struct world *w, unsigned i, size_t len, struct err *err)
{
	static const struct job_handler handler = { .destroy = destroy };
	struct request *r = &w->requests[i];

	*r = (struct request){ .job = { .handler = &handler, .manifest = &w->manifest } };
	r->job.q = &r->conn.q;
	if (len) {
		r->job.params.inputs.n = 1;
		r->job.params.inputs.owner = upload_create(&w->gw.uploads, calloc(1, len), len);
		assert_non_null(r->job.params.inputs.owner);
	}
	return pool_submit(w->gw.pool, &r->job, NULL, err);
}

static void leave(struct world *w, unsigned i)
{
	struct http_conn *c = &w->requests[i].conn;

	c->gone(c->owner);
	assert_true(w->requests[i].destroyed);
}

static void test_counted_until_the_last_reference(void **state)
{
	struct uploads all = { .max = 10 };
	struct upload *a = upload_create(&all, calloc(1, 6), 6), *b;

	(void)state;
	assert_true(upload_fits(NULL));
	assert_true(upload_fits(a));
	b = upload_create(&all, calloc(1, 4), 4);
	assert_true(upload_fits(b));
	upload_unref(b);
	b = upload_create(&all, calloc(1, 5), 5);
	assert_false(upload_fits(b));
	upload_ref(a);
	upload_unref(a);
	assert_int_equal(all.held, 11);
	upload_unref(a);
	assert_true(upload_fits(b));
	assert_int_equal(all.held, 5);
	upload_unref(b);
	assert_null(upload_create(&all, NULL, 7));
	assert_int_equal(all.held, 0);
}

static void test_refused_above_the_bound(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(submit(w, 0, 6, &err), 0);
	assert_int_equal(submit(w, 1, 5, &err), -EBUSY);
	assert_string_equal(err.text, "server busy, please try again.  "
			    "maximum pending requests exceeded");
	assert_true(w->requests[1].destroyed);
	assert_int_equal(w->gw.uploads.held, 6);
	assert_int_equal(submit(w, 1, 4, &err), 0);
	assert_false(w->requests[0].destroyed || w->requests[1].destroyed);
}

static void test_without_pictures_nobody_is_refused(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(submit(w, 0, 10, &err), 0);
	assert_int_equal(submit(w, 1, 0, &err), 0);
	assert_int_equal(submit(w, 2, 1, &err), -EBUSY);
	assert_int_equal(submit(w, 3, 0, &err), 0);
}

/* Small prompts always have room, long ones count until the job ends. */
static void test_prompts_count(void **state)
{
	struct uploads all = { .max = 100000 };
	struct job a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	a.params.prompt = calloc(1, 90001);
	memset(a.params.prompt, 'x', 90000);
	b.params.prompt = strdup("short");
	b.params.negative = strdup("not that");
	c.params.prompt = strdup(a.params.prompt);
	assert_true(job_hold_prompts(&a, &all));
	assert_int_equal(all.held, 90000);
	assert_true(job_hold_prompts(&b, &all));
	assert_int_equal(all.held, 90013);
	assert_false(job_hold_prompts(&c, &all));
	job_clear(&a);
	assert_int_equal(all.held, 13);
	assert_true(job_hold_prompts(&c, &all));
	job_clear(&b);
	job_clear(&c);
	assert_int_equal(all.held, 0);
}

static void test_who_leaves_makes_room(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_int_equal(submit(w, 0, 6, &err), 0);
	assert_int_equal(submit(w, 1, 5, &err), -EBUSY);
	leave(w, 0);
	assert_int_equal(submit(w, 1, 5, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counted_until_the_last_reference),
		cmocka_unit_test(test_prompts_count),
		cmocka_unit_test_setup_teardown(test_refused_above_the_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_pictures_nobody_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_who_leaves_makes_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
