/*
 * What pulls and pushes share. Owns a handle of the store, the registry, the manifest and
 * the request for it; runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/transfer/model_transfer.h"

#define SILENCE_NS (5 * INT64_C(1000000000))

static int prepare(struct model_transfer *m, bool insecure, const struct model_transfer_kind *kind,
		   void *owner, struct err *err)
{
	int r = store_open(store_root(m->all->store), &m->store, err);

	if (r == 0)
		r = retry_init(&m->retry, m->all->base, m->all->retry_ns, kind->go, owner, err);
	if (r == 0)
		r = progress_lines_init(&m->lines, m->all->base, err);
	if (r == 0)
		r = registry_open(m->all->fetcher, &m->name, insecure, kind->use, &m->registry, err);
	return r;
}

int model_transfer_open(struct model_transfer *m, struct transfers *t, const struct model_name *name,
			bool insecure, const struct model_transfer_kind *kind, void *owner,
			const struct transfer_watcher *watcher, void *watcher_owner, struct err *err)
{
	static const struct timeval at_once = { 0 };
	int r;

	*m = (struct model_transfer){ .all = t, .name = *name, .lines = {
		.watcher = watcher, .owner = watcher_owner, .status = kind->bar_status,
		.count = kind->count, .transfer = owner,
		/* Who takes nothing is noticed by what is sent. */
		.silence_ns = t->client_stall_ns < SILENCE_NS ? t->client_stall_ns : SILENCE_NS,
	} };
	strand_init(&m->strand);
	r = prepare(m, insecure, kind, owner, err);
	if (r < 0) {
		model_transfer_close(m);
		return r;
	}
	progress_lines_status(&m->lines, kind->first_status);
	evtimer_add(m->retry.timer, &at_once);
	return 0;
}

void model_transfer_close(struct model_transfer *m)
{
	call_cancel(m->call);
	retry_finish(&m->retry);
	progress_lines_finish(&m->lines);
	registry_unref(m->registry);
	image_clear(&m->image);
	free(m->manifest);
	store_close(m->store);
	*m = (struct model_transfer){ 0 };
}

void model_transfer_post(struct model_transfer *m, void (*run)(void *owner), void (*done)(void *owner), void *owner)
{
	m->job = (struct disk_job){ .run = run, .done = done, .arg = owner };
	m->n_jobs++;
	disk_post(m->all->disk, &m->strand, &m->job);
}

bool model_transfer_cancel(struct model_transfer *m)
{
	m->stop = true;
	progress_lines_finish(&m->lines);
	return !m->n_jobs;
}

bool model_transfer_took(struct model_transfer *m)
{
	m->n_jobs--;
	return !m->stop;
}

int model_transfer_call(struct model_transfer *m, struct call_order order, const struct call_handler *handler,
			void *owner, struct err *err)
{
	char rest[128], *url;
	int r;

	snprintf(rest, sizeof(rest), "manifests/%s", m->name.tag);
	url = registry_url(m->registry, rest);
	order.url = url;
	r = url ? call_start(m->registry, &order, handler, owner, &m->call, err) :
		err_set(err, -ENOMEM, "out of memory");
	free(url);
	return r;
}
