/*
 * Threads for the disk. Owns the threads and their queues; done() runs on the event loop,
 * woken by an eventfd. Everything else here is called on the loop.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/transfer/disk.h"

/* More than cores: most of them wait for a sync. */
#define N_THREADS 4

struct disk {
	pthread_t threads[N_THREADS];
	unsigned n_threads;
	pthread_mutex_t lock;
	pthread_cond_t work;
	STAILQ_HEAD(, strand) strands;  /* those with jobs that nobody runs */
	struct disk_jobs finished;
	unsigned open;                  /* jobs posted and not done; the loop's */
	bool ending;
	int wake;
	struct event *event;
};

/* The lock is held. */
static void take_turn(struct disk *d)
{
	struct strand *s = STAILQ_FIRST(&d->strands);
	struct disk_job *job = STAILQ_FIRST(&s->jobs);

	STAILQ_REMOVE_HEAD(&d->strands, link);
	STAILQ_REMOVE_HEAD(&s->jobs, link);
	pthread_mutex_unlock(&d->lock);
	job->run(job->arg);
	pthread_mutex_lock(&d->lock);
	s->scheduled = !STAILQ_EMPTY(&s->jobs);
	if (s->scheduled)
		STAILQ_INSERT_TAIL(&d->strands, s, link);
	STAILQ_INSERT_TAIL(&d->finished, job, link);
	eventfd_write(d->wake, 1);
}

static void *work(void *arg)
{
	struct disk *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		while (STAILQ_EMPTY(&d->strands) && !d->ending)
			pthread_cond_wait(&d->work, &d->lock);
		if (STAILQ_EMPTY(&d->strands))
			break;
		take_turn(d);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void finish_jobs(struct disk *d)
{
	struct disk_jobs finished = STAILQ_HEAD_INITIALIZER(finished);
	struct disk_job *job;

	pthread_mutex_lock(&d->lock);
	STAILQ_CONCAT(&finished, &d->finished);
	pthread_mutex_unlock(&d->lock);
	while ((job = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, link);
		d->open--;
		job->done(job->arg);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t count;

	(void)what;
	eventfd_read(fd, &count);
	finish_jobs(arg);
}

/* Signals are for the main thread. */
static int start_threads(struct disk *d)
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && d->n_threads < N_THREADS) {
		r = pthread_create(&d->threads[d->n_threads], NULL, work, d);
		d->n_threads += r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int disk_create(struct event_base *base, struct disk **ret, struct err *err)
{
	struct disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	STAILQ_INIT(&d->strands);
	STAILQ_INIT(&d->finished);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->event = d->wake < 0 ? NULL : event_new(base, d->wake, EV_READ | EV_PERSIST, on_wake, d);
	r = d->event && event_add(d->event, NULL) == 0 ? start_threads(d) : -EMFILE;
	if (r < 0) {
		disk_destroy(d);
		return err_errno(err, -r, "cannot start threads for the disk");
	}
	*ret = d;
	return 0;
}

void disk_destroy(struct disk *d)
{
	if (!d)
		return;
	while (d->open) {
		eventfd_t count;

		finish_jobs(d);
		if (d->open && eventfd_read(d->wake, &count) < 0)
			usleep(1000);
	}
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < d->n_threads; i++)
		pthread_join(d->threads[i], NULL);
	if (d->event)
		event_free(d->event);
	if (d->wake >= 0)
		close(d->wake);
	pthread_cond_destroy(&d->work);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void strand_init(struct strand *s)
{
	STAILQ_INIT(&s->jobs);
	s->scheduled = false;
}

void disk_post(struct disk *d, struct strand *s, struct disk_job *job)
{
	d->open++;
	pthread_mutex_lock(&d->lock);
	STAILQ_INSERT_TAIL(&s->jobs, job, link);
	if (!s->scheduled) {
		s->scheduled = true;
		STAILQ_INSERT_TAIL(&d->strands, s, link);
		pthread_cond_signal(&d->work);
	}
	pthread_mutex_unlock(&d->lock);
}
