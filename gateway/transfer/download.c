/*
 * Blobs on their way in. Owns downloads and who waits for them; runs on the event loop.
 *
 * An attempt is: a slot, the partial file opened (once), a GET from where it ends, its
 * data handed to the disk, then either the next attempt or the blob's publication.
 *
 * At any time exactly one thing is on its way that will move a download on, or end it:
 * - its place in the line of slots: whoever holds one gives it back in try_later(), before
 *   the publication, or in download_free(), and that wakes the line;
 * - a job of the disk's (disk != DISK_IDLE), whose done() always comes;
 * - a call, whose done() always comes: data, an error, or the watchdog's. While it waits for
 *   the disk (FETCH_PAUSE) blocks are posted, and the one that is written next resumes it;
 *   while it waits for a token it belongs to the registry's request for that;
 * - the timer of a retry.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/transfer/download.h"
#include "gateway/transfer/partial.h"
#include "gateway/transfer/retry.h"

#define GAIN (1u << 20)                 /* bytes that count as progress */
#define MAX_MISMATCHES 3u

struct waiter {
	LIST_ENTRY(waiter) link;
	struct download *download;
	struct registry *registry;
	uint64_t damaged;
	const struct waiter_handler *handler;
	void *owner;
};

enum disk_wait { DISK_IDLE, DISK_OPENING, DISK_SYNCING, DISK_PUBLISHING };

struct download {
	LIST_ENTRY(download) link;
	struct transfers *all;
	struct registry *registry;      /* the first waiter's */
	LIST_HEAD(, waiter) waiters;
	struct slot slot;
	struct partial *partial;
	struct call *call;
	struct retry retry;
	enum disk_wait disk;            /* what the partial is asked for */
	bool opened;
	bool unfit;                     /* the answer's body is not what is missing */
	unsigned mismatches;
	uint64_t damaged;               /* inode of what is to be replaced */
	uint64_t size, best;            /* best: most bytes that were ever there */
	int64_t retry_after;
	char digest[DIGEST_SIZE];
	struct err why;                 /* of the last attempt; code 0: it was cut without an error */
};

/* ---- the end ---- */

static void download_free(struct download *d)
{
	call_cancel(d->call);
	slot_leave(&d->all->slots, &d->slot);
	partial_close(d->partial);
	retry_finish(&d->retry);
	registry_unref(d->registry);
	LIST_REMOVE(d, link);
	free(d);
}

static void waiter_free(struct waiter *w)
{
	LIST_REMOVE(w, link);
	registry_unref(w->registry);
	free(w);
}

void waiter_leave(struct waiter *w)
{
	struct download *d = w->download;

	waiter_free(w);
	if (LIST_EMPTY(&d->waiters))
		download_free(d);
}

static void tell(struct waiter *w, const struct err *err)
{
	const struct waiter_handler *handler = w->handler;
	void *owner = w->owner;

	waiter_free(w);
	handler->done(owner, err);
}

static int begin(struct transfers *t, struct waiter *w, const char *digest,
		 uint64_t size, struct err *err);

/* Who waits and came from elsewhere has a try of their own; what one leaves, the next joins. */
static void fail(struct download *d, const struct err *err)
{
	LIST_HEAD(, waiter) others = LIST_HEAD_INITIALIZER(others);
	struct transfers *t = d->all;
	struct waiter *w, *next;
	struct err why = *err;

	for (w = LIST_FIRST(&d->waiters); w; w = next) {
		next = LIST_NEXT(w, link);
		if (w->registry == d->registry)
			continue;
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(&others, w, link);
	}
	/* From here on d is found by nobody. */
	LIST_REMOVE(d, link);
	while ((w = LIST_FIRST(&others))) {
		LIST_REMOVE(w, link);
		if (begin(t, w, d->digest, d->size, &why) < 0) {
			LIST_INSERT_HEAD(&d->waiters, w, link);
			break;
		}
	}
	while ((w = LIST_FIRST(&others))) {
		LIST_REMOVE(w, link);
		LIST_INSERT_HEAD(&d->waiters, w, link);
	}
	LIST_INSERT_HEAD(&t->downloads, d, link);
	d->digest[0] = '\0';
	why = *err;
	while ((w = LIST_FIRST(&d->waiters)))
		tell(w, &why);
	download_free(d);
}

static void succeed(struct download *d)
{
	struct waiter *w;

	/* Found by nobody who looks for it from inside done(). */
	d->digest[0] = '\0';
	while ((w = LIST_FIRST(&d->waiters)))
		tell(w, NULL);
	download_free(d);
}

/* ---- attempts ---- */

static void want_slot(void *owner)
{
	struct download *d = owner;

	slot_want(&d->all->slots, &d->slot);
}

static void try_later(struct download *d)
{
	struct err err = d->why;

	slot_leave(&d->all->slots, &d->slot);
	if (partial_len(d->partial) >= d->best + GAIN)
		retry_progress(&d->retry);
	if (partial_len(d->partial) > d->best)
		d->best = partial_len(d->partial);
	if (retry_later(&d->retry, d->retry_after))
		return;
	err_set(&err, -EIO, "max retries exceeded: %s", d->why.text);
	fail(d, &err);
}

static bool announces(const struct call *c, uint64_t len)
{
	const char *text = call_header(c, "Content-Length");

	return !text || strtoull(text, NULL, 10) == len;
}

/* "bytes 5-9/10": whether it begins where we ended. */
static bool continues(const struct call *c, uint64_t from)
{
	const char *text = call_header(c, "Content-Range");
	uint64_t first;

	return text && sscanf(text, "bytes %" SCNu64 "-", &first) == 1 && first == from;
}

static bool on_head(void *owner, struct call *c)
{
	struct download *d = owner;
	uint64_t len = partial_len(d->partial);
	long status = call_status(c);

	if (status == 206 && continues(c, len) && announces(c, d->size - len))
		return true;
	if (status != 200 && status != 206)
		return false;
	d->unfit = status == 206 || !announces(c, d->size);
	if (len && (status == 206 || !d->unfit))
		partial_restart(d->partial);    /* it does not know ranges */
	return true;
}

static enum fetch_verdict on_data(void *owner, const void *data, size_t len)
{
	struct download *d = owner;
	int r;

	if (d->unfit || partial_len(d->partial) + len > d->size) {
		err_set(&d->why, -EBADMSG, "size mismatch");
		return FETCH_STOP;
	}
	r = partial_write(d->partial, data, len);
	if (r < 0 && r != -EAGAIN)
		return FETCH_STOP;
	return r == 0 ? FETCH_ON : FETCH_PAUSE;
}

/* What an answer that brought no data means; true: there is no use in asking again. */
static bool read_status(struct download *d, const struct call *c)
{
	long status = call_status(c);
	char text[400];

	if (status == 416) {
		partial_restart(d->partial);
		err_set(&d->why, -EIO, "status %ld", status);
		return false;
	}
	if (status == 200 || status == 206) {
		err_set(&d->why, -EIO, "size mismatch");
		return false;
	}
	retry_describe(status, call_body(c, NULL), text, sizeof(text));
	err_set(&d->why, -EIO, "blob %.19s: status %s", d->digest, text);
	/* An address that was handed out may have expired: the registry makes another. */
	return retry_is_final(status) && !(call_is_elsewhere(c) && (status == 403 || status == 410));
}

static void on_call_done(void *owner, struct call *c, const struct err *err)
{
	struct download *d = owner;
	long status = call_status(c);

	d->call = NULL;
	d->retry_after = -1;
	if (err && !d->why.code)
		d->why = *err;
	if (err ? registry_gives_up(d->registry, err) : partial_len(d->partial) != d->size && read_status(d, c)) {
		fail(d, &d->why);
		return;
	}
	if (!err && status >= 400)
		d->retry_after = call_retry_after(c);
	if (partial_len(d->partial) == d->size) {
		/* Whoever waits for the network goes on meanwhile. */
		slot_leave(&d->all->slots, &d->slot);
		d->disk = DISK_PUBLISHING;
		partial_publish(d->partial);
	} else {
		d->disk = DISK_SYNCING;
		partial_sync(d->partial);
	}
}

static const struct call_handler call_handler = { on_head, on_data, NULL, on_call_done };

static void request(struct download *d)
{
	struct call_order order = { .method = "GET", .follow = true };
	char rest[DIGEST_SIZE + 16], range[64], *url;
	struct err err;
	int r;

	snprintf(rest, sizeof(rest), "blobs/%s", d->digest);
	snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-", partial_len(d->partial));
	url = registry_url(d->registry, rest);
	order.url = url;
	order.headers[0] = partial_len(d->partial) ? range : NULL;
	d->why = (struct err){ 0 };
	d->unfit = false;
	r = url ? call_start(d->registry, &order, &call_handler, d, &d->call, &err) :
		err_set(&err, -ENOMEM, "out of memory");
	free(url);
	if (r < 0)
		fail(d, &err);
}

static void go(void *owner)
{
	struct download *d = owner;

	if (d->opened && partial_len(d->partial) < d->size) {
		request(d);
		return;
	}
	d->disk = d->opened ? DISK_PUBLISHING : DISK_OPENING;
	if (d->opened)
		partial_publish(d->partial);
	else
		partial_open(d->partial);
}

/* Somebody else, another process perhaps, has brought it meanwhile. */
static bool has_arrived(const struct download *d)
{
	char path[4096];
	struct stat st;

	store_blob_path(d->all->store, d->digest, path, sizeof(path));
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == d->size &&
	       st.st_ino != d->damaged;
}

static void on_opened(struct download *d, const struct err *err)
{
	if ((!err || err->code == -EBUSY) && has_arrived(d)) {
		succeed(d);
	} else if (!err) {
		d->opened = true;
		d->best = partial_len(d->partial);
		go(d);
	} else if (err->code == -EBUSY) {
		d->why = *err;
		retry_progress(&d->retry);
		try_later(d);
	} else {
		fail(d, err);
	}
}

static void on_published(struct download *d, const struct err *err)
{
	if (!err) {
		succeed(d);
	} else if (err->code == -EBADMSG && ++d->mismatches < MAX_MISMATCHES) {
		d->why = *err;
		try_later(d);
	} else if (err->code == -EBADMSG) {
		err_set(&d->why, -EBADMSG, "max retries exceeded: %s", err->text);
		fail(d, &d->why);
	} else {
		fail(d, err);
	}
}

static void on_disk_done(void *owner, const struct err *err)
{
	struct download *d = owner;
	enum disk_wait was = d->disk;

	d->disk = DISK_IDLE;
	if (was == DISK_OPENING)
		on_opened(d, err);
	else if (was == DISK_PUBLISHING)
		on_published(d, err);
	else if (err)
		fail(d, err);
	else
		try_later(d);
}

static void on_drained(void *owner)
{
	struct download *d = owner;

	if (d->call)
		call_resume(d->call);
}

static const struct partial_handler partial_handler = { on_disk_done, on_drained };

/* ---- the beginning ---- */

static struct download *find(struct transfers *t, const char *digest)
{
	struct download *d;

	LIST_FOREACH(d, &t->downloads, link)
		if (!strcmp(d->digest, digest))
			return d;
	return NULL;
}

static int create(struct transfers *t, const struct waiter *w, const char *digest, uint64_t size,
		  struct download **ret, struct err *err)
{
	struct download *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->all = t;
	d->size = size;
	d->registry = registry_ref(w->registry);
	d->damaged = w->damaged;
	d->slot = (struct slot){ .go = go, .owner = d };
	LIST_INIT(&d->waiters);
	LIST_INSERT_HEAD(&t->downloads, d, link);
	snprintf(d->digest, sizeof(d->digest), "%s", digest);
	if (retry_init(&d->retry, t->base, t->retry_ns, want_slot, d, err) < 0 ||
	    partial_create(t->disk, t->store, digest, size, &partial_handler, d, &d->partial, err) < 0) {
		download_free(d);
		return -ENOMEM;
	}
	slot_want(&t->slots, &d->slot);
	*ret = d;
	return 0;
}

static int begin(struct transfers *t, struct waiter *w, const char *digest,
		 uint64_t size, struct err *err)
{
	struct download *d = find(t, digest);
	int r = d ? 0 : create(t, w, digest, size, &d, err);

	if (r < 0)
		return r;
	if (d->size != size)
		return err_set(err, -EBADMSG, "blob %s has two sizes: %" PRIu64 " and %" PRIu64, digest,
			       d->size, size);
	w->download = d;
	LIST_INSERT_HEAD(&d->waiters, w, link);
	return 0;
}

int download_join(struct transfers *t, struct registry *r, const char *digest, uint64_t size,
		  uint64_t damaged, const struct waiter_handler *handler, void *owner,
		  struct waiter **ret, struct err *err)
{
	struct waiter *w = calloc(1, sizeof(*w));
	int result;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	*w = (struct waiter){ .registry = registry_ref(r), .damaged = damaged, .handler = handler,
			      .owner = owner };
	result = begin(t, w, digest, size, err);
	if (result < 0) {
		registry_unref(r);
		free(w);
		return result;
	}
	*ret = w;
	return 0;
}

uint64_t waiter_len(const struct waiter *w)
{
	return partial_len(w->download->partial);
}
