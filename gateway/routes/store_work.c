/*
 * Changes of tags off the event loop: they sync, and read every tag to see which blobs are
 * still used. Owns the work until it is done; the disk's threads run it, all else the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/reply.h"
#include "gateway/routes/store_work.h"
#include "gateway/transfer/transfers.h"

struct task {
	struct store_work work;
	struct gateway *gw;
	struct http_request *q;         /* NULL: its client left */
	struct disk_job job;
	int result;
	struct err err;
};

static void run(void *arg)
{
	struct task *t = arg;
	struct store *store;

	t->result = store_open(store_root(t->gw->store), &store, &t->err);
	if (t->result == 0) {
		t->result = t->work.run(store, &t->work, &t->err);
		store_close(store);
	}
	if (t->result < 0 && t->result != -ENOENT)
		t->result = t->err.code = -EIO;
}

static void on_done(void *arg)
{
	struct task *t = arg;

	if (t->result == 0 && t->work.succeeded)
		t->work.succeeded(t->gw, &t->work);
	if (t->q)
		http_on_gone(t->q, NULL, NULL);
	if (t->q && t->result < 0)
		reply_error(t->q, &t->err);
	else if (t->q)
		http_reply(t->q, 200, NULL, NULL);
	free(t);
}

static void on_client_gone(void *owner)
{
	struct task *t = owner;

	t->q = NULL;
}

int store_work_start(struct gateway *gw, struct http_request *q, const struct store_work *w, struct err *err)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	*t = (struct task){ .work = *w, .gw = gw, .q = q, .job = { .run = run, .done = on_done, .arg = t } };
	http_on_gone(q, on_client_gone, t);
	disk_post(gw->transfers->disk, &gw->transfers->tags, &t->job);
	return 0;
}
