/*
 * Hashing beside a load. Owns its threads and the list of blobs that are not on record;
 * called by the GPU thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "runner/host/cores.h"
#include "runner/load_check.h"

enum { THREADS_MAX = 4, WAIT_NS = 100000000 };

struct load_check {
	struct store *store;
	const struct layer **layers;    /* each blob once, small ones first */
	size_t n_layers;
	pthread_t threads[THREADS_MAX];
	unsigned n_threads;
	uint64_t bytes;
	_Atomic uint64_t done;
	_Atomic bool stop;
	pthread_mutex_t lock;           /* of what follows */
	pthread_cond_t ended;           /* of a thread */
	size_t next;
	unsigned n_running;
	struct err bad;                 /* code 0: none so far */
};

/* ---- the threads ---- */

static bool go_on(void *context, size_t bytes)
{
	struct load_check *c = context;

	c->done += bytes;
	return !c->stop;
}

static int check_layer(struct load_check *c, const struct layer *l, struct err *err)
{
	uint64_t size;
	int r = store_blob_stat(c->store, l->digest, &size, err);

	if (r < 0)
		return r;
	if (size != l->size)
		return err_set(err, -EBADMSG, "blob %s is damaged: it has %llu bytes, not %llu", l->digest,
			       (unsigned long long)size, (unsigned long long)l->size);
	return store_blob_check(c->store, l->digest, go_on, c, err);
}

static const struct layer *take(struct load_check *c)
{
	const struct layer *l = NULL;

	pthread_mutex_lock(&c->lock);
	if (!c->stop && c->next < c->n_layers)
		l = c->layers[c->next++];
	pthread_mutex_unlock(&c->lock);
	return l;
}

static void found_bad(struct load_check *c, const struct layer *l, const struct err *err)
{
	pthread_mutex_lock(&c->lock);
	if (!c->bad.code)
		err_set(&c->bad, -EBADMSG, "%s (%.200s); \"easel pull\" fetches it again, a model of your own must "
			"be created again", err->text, l->name ? l->name : l->media_type);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
}

static void *run(void *context)
{
	struct load_check *c = context;
	const struct layer *l;
	struct err err;
	int r;

	while ((l = take(c))) {
		r = check_layer(c, l, &err);
		if (r == -EBADMSG || r == -EIO)
			found_bad(c, l, &err);
	}
	pthread_mutex_lock(&c->lock);
	c->n_running--;
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- the list ---- */

static int by_size(const void *a, const void *b)
{
	const struct layer *x = *(const struct layer *const *)a, *y = *(const struct layer *const *)b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return strcmp(x->digest, y->digest);
}

static int make_list(struct load_check *c, const struct manifest *m, struct err *err)
{
	size_t n = 0;

	c->layers = calloc(m->n_layers + 1, sizeof *c->layers);
	if (!c->layers)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n_layers; i++)
		if (!store_blob_known(c->store, m->layers[i].digest, m->layers[i].size))
			c->layers[n++] = &m->layers[i];
	if (n)
		qsort(c->layers, n, sizeof *c->layers, by_size);
	for (size_t i = 0; i < n; i++)
		if (!c->n_layers || strcmp(c->layers[c->n_layers - 1]->digest, c->layers[i]->digest)) {
			c->bytes += c->layers[i]->size;
			c->layers[c->n_layers++] = c->layers[i];
		}
	return 0;
}

/* Signals are for the main thread. */
static int start_threads(struct load_check *c, struct err *err)
{
	const unsigned cores = host_cores();
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && c->n_threads < THREADS_MAX && c->n_threads < c->n_layers &&
	       c->n_threads < cores) {
		pthread_mutex_lock(&c->lock);
		r = pthread_create(&c->threads[c->n_threads], NULL, run, c);
		c->n_running += r == 0;
		pthread_mutex_unlock(&c->lock);
		c->n_threads += r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c->n_threads || !r ? 0 : err_errno(err, r, "cannot start a thread");
}

int load_check_begin(struct store *s, const struct manifest *m, struct load_check **ret, struct err *err)
{
	struct load_check *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->store = s;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->ended, &attr);
	pthread_condattr_destroy(&attr);
	r = make_list(c, m, err);
	if (r == 0 && c->n_layers) {
		log_info("hashing %zu blobs that were never verified, %.1f MB", c->n_layers, (double)c->bytes / 1e6);
		r = start_threads(c, err);
	}
	if (r < 0) {
		load_check_end(c, NULL);
		return r;
	}
	*ret = c;
	return 0;
}

uint64_t load_check_bytes(const struct load_check *c)
{
	return c->bytes;
}

uint64_t load_check_done(const struct load_check *c)
{
	const uint64_t done = c->done;

	return done < c->bytes ? done : c->bytes;
}

bool load_check_wait(struct load_check *c)
{
	struct timespec until;
	bool r;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&c->lock);
	if (c->n_running)
		pthread_cond_timedwait(&c->ended, &c->lock, &until);
	r = !c->n_running;
	pthread_mutex_unlock(&c->lock);
	return r;
}

int load_check_end(struct load_check *c, struct err *err)
{
	int r;

	if (!c)
		return 0;
	c->stop = true;
	for (unsigned i = 0; i < c->n_threads; i++)
		pthread_join(c->threads[i], NULL);
	r = c->bad.code;
	if (r < 0 && err)
		*err = c->bad;
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->ended);
	free(c->layers);
	free(c);
	return r;
}
