/*
 * The threads of host kernels: every task once, the first error, a cancel, few threads.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runner/host/pool.h"

enum { TASKS = 5000, THREADS = 4, BYTES = 1000 };

struct counts {
	atomic_uint done[TASKS];
};

static void count(const void *job, struct host_worker *w, uint64_t i)
{
	struct counts *c = (struct counts *)(uintptr_t)job;
	unsigned char *scratch = host_scratch(w, 0, BYTES + i % 3);

	if (!scratch)
		return;
	memset(scratch, (int)i, BYTES);
	atomic_fetch_add(&c->done[i], scratch[BYTES - 1] == (unsigned char)i);
}

/* All tasks of a run without an error, each once. */
static bool runs(struct host_pool *p)
{
	static struct counts c;

	memset(&c, 0, sizeof c);
	host_pool_begin(p, NULL, NULL);
	host_run(p, TASKS, count, &c);
	if (host_pool_end(p))
		return false;
	for (unsigned i = 0; i < TASKS; i++)
		if (c.done[i] != 1)
			return false;
	return true;
}

static void test_every_task_once(void **unused)
{
	struct host_pool *p;
	struct err err;

	(void)unused;
	for (unsigned n = 0; n <= THREADS; n++) {
		assert_int_equal(host_pool_create(n, &p, &err), 0);
		assert_int_equal(host_pool_threads(p), n ? n : 1);
		for (unsigned i = 0; i < 20; i++)
			assert_true(runs(p));
		host_pool_destroy(&p);
	}
}

static void fail_tenth(const void *job, struct host_worker *w, uint64_t i)
{
	atomic_uint *calls = (atomic_uint *)(uintptr_t)job;

	atomic_fetch_add(calls, 1);
	if (i == 10)
		host_fail(w, -EIO);
}

static bool always(void *context)
{
	(void)context;
	return true;
}

static void test_ends_early(void **unused)
{
	struct host_pool *p;
	atomic_uint calls = 0;
	struct err err;

	(void)unused;
	assert_int_equal(host_pool_create(THREADS, &p, &err), 0);
	host_pool_begin(p, NULL, NULL);
	host_run(p, UINT64_C(1) << 60, fail_tenth, &calls);
	host_pool_fail(p, -ENOMEM);
	assert_int_equal(host_pool_end(p), -EIO);
	/* What comes after an error does nothing. */
	atomic_store(&calls, 0);
	host_run(p, 5, fail_tenth, &calls);
	assert_int_equal(calls, 0);

	host_pool_begin(p, always, NULL);
	host_run(p, UINT64_C(1) << 60, fail_tenth, &calls);
	assert_true(host_pool_end(p) < 0);
	host_pool_begin(p, always, NULL);
	host_run(p, 1, fail_tenth, &calls);
	assert_int_equal(host_pool_end(p), -ECANCELED);
	assert_true(runs(p));
	host_pool_destroy(&p);
}

/* In the child: room for some stacks, not for all. */
static void run_with_little(void)
{
	const struct rlimit little = { 256 << 20, 256 << 20 }, stack = { 8 << 20, 8 << 20 };
	struct host_pool *p;
	struct err err;

	if (setrlimit(RLIMIT_STACK, &stack) || setrlimit(RLIMIT_AS, &little) ||
	    host_pool_create(1000, &p, &err))
		_exit(2);
	if (host_pool_threads(p) >= 1000)
		_exit(3);
	_exit(runs(p) ? 0 : 4);
}

static void test_fewer_threads(void **unused)
{
	int status;
	pid_t pid;

	(void)unused;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();                                 /* they take terabytes of addresses */
#endif
	pid = fork();
	if (pid == 0)
		run_with_little();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_task_once), cmocka_unit_test(test_ends_early),
		cmocka_unit_test(test_fewer_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
