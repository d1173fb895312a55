/*
 * The threads of host kernels and their scratch memory. The owner's thread hands out a
 * job and works on it with the others; tasks are taken from a counter.
 */
#include "runner/host/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/host/library_threads.h"

enum { SCRATCH_ALIGN = 64 };

struct scratch {
	void *data;
	size_t bytes;
};

struct host_worker {
	struct host_pool *pool;
	pthread_t thread;
	struct scratch scratch[HOST_SLOTS];
};

struct host_pool {
	struct host_worker *workers;            /* [0] is the owner's thread */
	unsigned n;
	struct scratch shared[HOST_SLOTS];
	host_cancelled cancelled;
	void *context;
	atomic_int error;

	/* The job at hand; the mutex guards what follows but the counter. */
	host_task task;
	const void *job;
	uint64_t n_tasks;
	atomic_uint_fast64_t next;
	pthread_mutex_t mutex;
	pthread_cond_t wake, done;
	uint64_t round;                         /* counts jobs */
	unsigned busy;
	bool ending;
};

void host_pool_fail(struct host_pool *p, int code)
{
	int none = 0;

	atomic_compare_exchange_strong(&p->error, &none, code);
}

void host_fail(struct host_worker *w, int code)
{
	host_pool_fail(w->pool, code);
}

bool host_stopped(struct host_worker *w)
{
	struct host_pool *p = w->pool;

	if (w == p->workers && p->cancelled && p->cancelled(p->context))
		host_pool_fail(p, -ECANCELED);
	return atomic_load(&p->error) != 0;
}

static void take_tasks(struct host_worker *w)
{
	struct host_pool *p = w->pool;

	while (!host_stopped(w)) {
		const uint64_t i = atomic_fetch_add(&p->next, 1);

		if (i >= p->n_tasks)
			return;
		p->task(p->job, w, i);
	}
}

/* The library under the kernels has threads of its own; here every thread is one already. */
static void one_thread_each(void)
{
	omp_set_num_threads(1);
}

static void *worker_main(void *context)
{
	struct host_worker *w = context;
	struct host_pool *p = w->pool;
	uint64_t seen = 0;

	one_thread_each();
	pthread_mutex_lock(&p->mutex);
	for (;;) {
		while (!p->ending && p->round == seen)
			pthread_cond_wait(&p->wake, &p->mutex);
		if (p->ending)
			break;
		seen = p->round;
		pthread_mutex_unlock(&p->mutex);
		take_tasks(w);
		pthread_mutex_lock(&p->mutex);
		if (--p->busy == 0)
			pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->mutex);
	return NULL;
}

void host_run(struct host_pool *p, uint64_t n, host_task task, const void *job)
{
	const bool alone = n < 2 || p->n == 1;

	p->task = task;
	p->job = job;
	p->n_tasks = n;
	atomic_store(&p->next, 0);
	if (!alone) {
		pthread_mutex_lock(&p->mutex);
		p->busy = p->n - 1;
		p->round++;
		pthread_cond_broadcast(&p->wake);
		pthread_mutex_unlock(&p->mutex);
	}
	take_tasks(&p->workers[0]);
	if (alone)
		return;
	pthread_mutex_lock(&p->mutex);
	while (p->busy)
		pthread_cond_wait(&p->done, &p->mutex);
	pthread_mutex_unlock(&p->mutex);
}

static void *reserve(struct host_pool *p, struct scratch *s, size_t bytes)
{
	if (bytes <= s->bytes)
		return s->data;
	free(s->data);
	s->bytes = 0;
	bytes = (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
	s->data = aligned_alloc(SCRATCH_ALIGN, bytes);
	if (s->data)
		s->bytes = bytes;
	else
		host_pool_fail(p, -ENOMEM);
	return s->data;
}

void *host_scratch(struct host_worker *w, unsigned slot, size_t bytes)
{
	return reserve(w->pool, &w->scratch[slot], bytes);
}

void *host_shared(struct host_pool *p, unsigned slot, size_t bytes)
{
	return reserve(p, &p->shared[slot], bytes);
}

void host_pool_begin(struct host_pool *p, host_cancelled cancelled, void *context)
{
	/* The owner may be another thread than at the last run. */
	one_thread_each();
	p->cancelled = cancelled;
	p->context = context;
	atomic_store(&p->error, 0);
}

int host_pool_end(const struct host_pool *p)
{
	return atomic_load(&p->error);
}

unsigned host_pool_threads(const struct host_pool *p)
{
	return p->n;
}

/* Signals are the other threads' business; a page that cannot be read is everyone's. */
static int start_thread(struct host_worker *w)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* As many as the system allows: fewer are slower, no more. */
static void start_threads(struct host_pool *p)
{
	unsigned started = 1;
	int r = 0;

	for (unsigned i = 0; i < p->n; i++)
		p->workers[i].pool = p;
	while (started < p->n && !(r = start_thread(&p->workers[started])))
		started++;
	if (r)
		log_warn("host threads: %u of %u could be started: %s", started, p->n, strerror(r));
	p->n = started;
}

int host_pool_create(unsigned threads, struct host_pool **ret, struct err *err)
{
	struct host_pool *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(err, -ENOMEM, "host threads: out of memory");
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->done, NULL);
	p->n = threads ? threads : 1;
	p->workers = calloc(p->n, sizeof *p->workers);
	if (!p->workers) {
		host_pool_destroy(&p);
		return err_set(err, -ENOMEM, "host threads: out of memory");
	}
	start_threads(p);
	*ret = p;
	return 0;
}

void host_pool_destroy(struct host_pool **pointer)
{
	struct host_pool *p = *pointer;

	*pointer = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->mutex);
	p->ending = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 1; p->workers && i < p->n; i++)
		pthread_join(p->workers[i].thread, NULL);
	for (unsigned i = 0; p->workers && i < p->n; i++)
		for (unsigned slot = 0; slot < HOST_SLOTS; slot++)
			free(p->workers[i].scratch[slot].data);
	for (unsigned slot = 0; slot < HOST_SLOTS; slot++)
		free(p->shared[slot].data);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->mutex);
	free(p->workers);
	free(p);
}
