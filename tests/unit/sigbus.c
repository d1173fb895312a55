/*
 * The last line of a process that reads a file cut off under it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runner/sigbus.h"

enum { BYTES = 1 << 16, READERS = 8, TRIES = 30 };

struct reading {
	pthread_barrier_t all;
	const volatile unsigned char *at;
};

static void *read_byte(void *context)
{
	struct reading *r = context;

	pthread_barrier_wait(&r->all);
	return *r->at ? context : NULL;
}

/* As the threads of host kernels do: together. */
static void read_by_many(const unsigned char *at)
{
	struct reading r = { .at = at };
	pthread_t thread;

	pthread_barrier_init(&r.all, NULL, READERS);
	for (unsigned i = 1; i < READERS; i++)
		if (pthread_create(&thread, NULL, read_byte, &r))
			_exit(2);
	read_byte(&r);
}

/* In the child: one mapping forgotten, one in good order, one cut off; then the read. */
static void die_reading(int log)
{
	char path[] = "/tmp/easel-sigbus-XXXXXX";
	int fd = mkstemp(path);
	const struct rlimit none = { 0, 0 };
	unsigned char *cut, *good;

	setrlimit(RLIMIT_CORE, &none);
	dup2(log, STDERR_FILENO);
	unlink(path);
	if (fd < 0 || ftruncate(fd, BYTES) < 0)
		_exit(2);
	good = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cut = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
	if (good == MAP_FAILED || cut == MAP_FAILED ||
	    !sigbus_watch(cut, BYTES, "sha256:forgotten"))
		_exit(2);
	sigbus_forget(cut);
	if (!sigbus_watch(good, BYTES, "sha256:good") || !sigbus_watch(cut, BYTES, "sha256:cut"))
		_exit(2);
	if (ftruncate(fd, 0) < 0)
		_exit(2);
	read_by_many(cut + BYTES - 1);
	_exit(3);
}

static void die_once(void)
{
	char text[512] = "";
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		die_reading(fds[1]);
	assert_true(pid > 0);
	close(fds[1]);
	n = read(fds[0], text, sizeof text - 1);
	assert_true(n > 0);
	while (n < (ssize_t)sizeof text - 1) {
		ssize_t more = read(fds[0], text + n, sizeof text - 1 - (size_t)n);

		if (more <= 0)
			break;
		n += more;
	}
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	assert_string_equal(text, "blob sha256:cut was truncated or is unreadable "
			    "while the model was loaded\n");
}

static void test_names_the_blob(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < TRIES; i++)
		die_once();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names_the_blob) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
