/*
 * Pulls. Owns each until its end; runs on the event loop, and lets the disk's threads
 * hash what is in the store already and write what syncs.
 *
 * From its start to its tag a pull holds the store, so that nobody frees what it found.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/file.h"
#include "gateway/transfer/download.h"
#include "gateway/transfer/model_transfer.h"
#include "gateway/transfer/partial.h"
#include "gateway/transfer/pull.h"

#define MANIFEST_ATTEMPTS 4u
/* More than move at a time, so that somebody always waits for a turn; each takes memory. */
#define MAX_OPEN 128u

enum item_state { ITEM_MISSING, ITEM_PRESENT };

/* One blob of the pull. */
struct item {
	struct pull *pull;
	const struct image_blob *blob;
	struct waiter *waiter;
	enum item_state state;
	uint64_t inode;                 /* of what is there, and may be damaged */
	struct strand strand;
	struct disk_job job;
	int result;                     /* of the check */
};

struct pull {
	struct model_transfer common;
	struct item *items;
	size_t n_missing;               /* when it began */
	size_t n_begun, n_open;         /* items that were looked at; of those the downloads under way */
	bool held;                      /* the store */
	_Atomic uint64_t hashed;        /* bytes of what the disk checks */
};

static void pull_free(struct pull *p)
{
	for (size_t i = 0; p->items && i < p->common.image.n_blobs; i++)
		if (p->items[i].waiter)
			waiter_leave(p->items[i].waiter);
	model_transfer_close(&p->common);
	free(p->items);
	free(p);
}

void pull_cancel(struct pull *p)
{
	if (model_transfer_cancel(&p->common))
		pull_free(p);
}

static void finish(struct pull *p, const struct err *err)
{
	p->common.lines.watcher->done(p->common.lines.owner, err);
	pull_cancel(p);
}

const char *pull_digest(const struct pull *p)
{
	return p->common.image.manifest->digest;
}

/* ---- what the disk does about the manifest ---- */

/* A job is done; false when it failed or nobody is there any more, and p is gone. */
static bool took(struct pull *p)
{
	if (!model_transfer_took(&p->common)) {
		if (!p->common.n_jobs)
			pull_free(p);
		return false;
	}
	if (p->common.result == 0)
		return true;
	finish(p, &p->common.err);
	return false;
}

static void run_write(void *arg)
{
	struct pull *p = arg;
	struct model_transfer *m = &p->common;
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s/blobs", store_root(m->store));
	m->result = dir_sync(folder, &m->err);
	if (m->result == 0)
		m->result = store_write(m->store, &m->name, m->manifest, m->manifest_len, &m->err);
	if (m->result < 0)
		m->err.code = -EIO;
	else
		store_pending_remove(m->store, m->image.manifest->digest);
}

static void on_written(void *arg)
{
	struct pull *p = arg;

	if (!took(p))
		return;
	progress_lines_status(&p->common.lines, "success");
	finish(p, NULL);
}

static void write_tag(struct pull *p)
{
	if (p->n_missing)
		progress_lines_end(&p->common.lines);
	progress_lines_status(&p->common.lines, "writing manifest");
	model_transfer_post(&p->common, run_write, on_written, p);
}

/* So that a sweep keeps what comes in now. */
static void run_remember(void *arg)
{
	struct pull *p = arg;
	struct model_transfer *m = &p->common;

	m->result = store_pending_add(m->store, m->image.manifest->digest, m->manifest, m->manifest_len, &m->err);
}

/* ---- blobs ---- */

static uint64_t count_hashed(void *transfer)
{
	struct pull *p = transfer;

	return p->hashed;
}

static uint64_t count(void *transfer)
{
	struct pull *p = transfer;
	uint64_t sum = 0;

	for (size_t i = 0; i < p->common.image.n_blobs; i++) {
		const struct item *it = &p->items[i];

		if (it->state == ITEM_PRESENT)
			sum += it->blob->size * it->blob->copies;
		else if (it->waiter)
			sum += waiter_len(it->waiter) * it->blob->copies;
	}
	return sum;
}

static int join_more(struct pull *p, struct err *err);

static void on_blob(void *owner, const struct err *failure)
{
	struct item *it = owner;
	struct pull *p = it->pull;
	struct err err;

	it->waiter = NULL;
	if (failure) {
		finish(p, failure);
		return;
	}
	it->state = ITEM_PRESENT;
	p->n_open--;
	if (join_more(p, &err) < 0)
		finish(p, &err);
	else if (!p->n_open)
		write_tag(p);
}

static const struct waiter_handler waiter_handler = { on_blob };

static int join_more(struct pull *p, struct err *err)
{
	int r = 0;

	while (r == 0 && p->n_begun < p->common.image.n_blobs && p->n_open < MAX_OPEN) {
		struct item *it = &p->items[p->n_begun++];

		if (it->state == ITEM_PRESENT)
			continue;
		r = download_join(p->common.all, p->common.registry, it->blob->digest, it->blob->size, it->inode,
				  &waiter_handler, it, &it->waiter, err);
		p->n_open += r == 0;
	}
	return r;
}

/* Bytes of a blob that are still to come. */
static uint64_t missing_bytes(const struct pull *p, const struct item *it)
{
	char path[4096], partial[4096 + 8];
	struct stat st;

	if (it->state == ITEM_PRESENT)
		return 0;
	store_blob_path(p->common.store, it->blob->digest, path, sizeof(path));
	snprintf(partial, sizeof(partial), "%s.tmp", path);
	if (lstat(partial, &st) < 0 || (uint64_t)st.st_size > it->blob->size)
		return it->blob->size;
	return it->blob->size - (uint64_t)st.st_size;
}

static bool is_wanted(const void *context, const char *digest)
{
	const struct pull *p = context;

	for (size_t i = 0; i < p->common.image.n_blobs; i++)
		if (!strcmp(p->common.image.blobs[i].digest, digest))
			return true;
	return false;
}

static uint64_t free_bytes(const char *root)
{
	struct statvfs fs;

	return statvfs(root, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* One in a hundred more than what is missing must be free; what other pulls began goes for it. */
static int check_space(struct pull *p, struct err *err)
{
	const char *root = store_root(p->common.store);
	uint64_t needed = 0, there;

	for (size_t i = 0; i < p->common.image.n_blobs; i++)
		needed += missing_bytes(p, &p->items[i]);
	needed += needed / 100;
	there = free_bytes(root);
	if (there < needed) {
		store_free_partials(p->common.store, is_wanted, p);
		there = free_bytes(root);
	}
	if (there < needed)
		return err_set(err, -ENOSPC, "no space left on device: %s has %" PRIu64 " bytes free, %" PRIu64
			       " are needed", root, there, needed);
	return 0;
}

static void on_remembered(void *arg)
{
	struct pull *p = arg;
	struct err err;

	if (!took(p))
		return;
	if (check_space(p, &err) < 0 || join_more(p, &err) < 0)
		finish(p, &err);
	else
		progress_lines_begin(&p->common.lines);
}

static void fetch_missing(struct pull *p)
{
	for (size_t i = 0; i < p->common.image.n_blobs; i++)
		p->n_missing += p->items[i].state != ITEM_PRESENT;
	p->common.lines.status = "pulling model";
	p->common.lines.digest = NULL;
	p->common.lines.count = count;
	p->common.lines.total = p->common.image.total;
	if (p->n_missing)
		model_transfer_post(&p->common, run_remember, on_remembered, p);
	else
		write_tag(p);
}

/* ---- what is there already ---- */

static bool keep_hashing(void *context, size_t bytes)
{
	struct pull *p = context;

	p->hashed += bytes;
	return !p->common.stop;
}

static void run_check(void *arg)
{
	struct item *it = arg;
	struct pull *p = it->pull;

	it->result = store_blob_check(p->common.store, it->blob->digest, keep_hashing, p, NULL);
}

static void on_checked(void *arg)
{
	struct item *it = arg;
	struct pull *p = it->pull;

	it->state = it->result == 0 ? ITEM_PRESENT : ITEM_MISSING;
	if (!took(p) || p->common.n_jobs)
		return;
	progress_lines_end(&p->common.lines);
	fetch_missing(p);
}

static void check(struct pull *p, struct item *it)
{
	char path[4096];
	struct stat st;

	store_blob_path(p->common.store, it->blob->digest, path, sizeof(path));
	if (lstat(path, &st) < 0)
		return;
	it->inode = st.st_ino;
	if ((uint64_t)st.st_size != it->blob->size)
		return;
	if (store_blob_reuse(p->common.store, it->blob->digest, it->blob->size)) {
		it->state = ITEM_PRESENT;
		return;
	}
	p->common.lines.total += it->blob->size;
	strand_init(&it->strand);
	it->job = (struct disk_job){ .run = run_check, .done = on_checked, .arg = it };
	p->common.n_jobs++;
	disk_post(p->common.all->disk, &it->strand, &it->job);
}

static int check_present(struct pull *p, struct err *err)
{
	struct progress_lines *lines = &p->common.lines;

	p->items = calloc(p->common.image.n_blobs + 1, sizeof(*p->items));
	if (!p->items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < p->common.image.n_blobs; i++) {
		p->items[i].pull = p;
		p->items[i].blob = &p->common.image.blobs[i];
		check(p, &p->items[i]);
	}
	if (p->common.n_jobs) {
		lines->status = "verifying model";
		lines->digest = "sha256:verify";
		lines->count = count_hashed;
		progress_lines_begin(lines);
	}
	return 0;
}

/* ---- the manifest ---- */

static int take_manifest(struct pull *p, const struct call *c, struct err *err)
{
	const char *said = call_header(c, "Docker-Content-Digest");
	size_t len;
	const char *bytes = call_body(c, &len);
	char digest[DIGEST_SIZE];
	int r = image_parse(bytes, len, &p->common.image, err);

	if (r < 0)
		return r;
	if (said && digest_parse(said, digest, NULL) == 0 && strcmp(digest, p->common.image.manifest->digest))
		return err_set(err, -EBADMSG, "digest mismatch: the registry says %s, its answer is %s", digest,
			       p->common.image.manifest->digest);
	p->common.manifest = malloc(len + 1);
	if (!p->common.manifest)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(p->common.manifest, bytes, len);
	p->common.manifest_len = len;
	return 0;
}

static void fail_manifest(struct pull *p, struct err *err)
{
	err_prefix(err, "pull model manifest");
	finish(p, err);
}

/* Whether asking again may help: not where nobody is. */
static bool is_worth_another(const struct pull *p, long status, const struct err *err)
{
	if (p->common.retry.failed + 1 >= MANIFEST_ATTEMPTS)
		return false;
	return err ? err->code == -EIO : status >= 300 && !retry_is_final(status);
}

static void on_manifest(void *owner, struct call *c, const struct err *failure)
{
	struct pull *p = owner;
	long status = call_status(c);
	char text[400];
	struct err err;

	p->common.call = NULL;
	if (is_worth_another(p, status, failure) &&
	    retry_later(&p->common.retry, failure ? -1 : call_retry_after(c)))
		return;
	if (failure) {
		err = *failure;
		if (err.code == -EACCES)
			finish(p, &err);
		else
			fail_manifest(p, &err);
	} else if (status == 404) {
		err_set(&err, -EREMOTEIO, "file does not exist");
		fail_manifest(p, &err);
	} else if (status != 200) {
		retry_describe(status, call_body(c, NULL), text, sizeof(text));
		err_set(&err, -EREMOTEIO, "%s", text);
		fail_manifest(p, &err);
	} else if (take_manifest(p, c, &err) < 0) {
		fail_manifest(p, &err);
	} else if (check_present(p, &err) < 0) {
		finish(p, &err);
	} else if (!p->common.n_jobs) {
		fetch_missing(p);
	}
}

static const struct call_handler manifest_handler = { .done = on_manifest };

static void get_manifest(struct pull *p)
{
	static const struct call_order order = {
		.method = "GET", .headers = { "Accept: " MEDIA_MANIFEST }, .follow = true,
	};
	struct err err;

	if (model_transfer_call(&p->common, order, &manifest_handler, p, &err) < 0)
		fail_manifest(p, &err);
}

static void run_hold(void *arg)
{
	struct pull *p = arg;

	store_hold(p->common.store);
}

static void on_held(void *arg)
{
	struct pull *p = arg;

	if (!took(p))
		return;
	p->held = true;
	get_manifest(p);
}

/* The first turn waits for nobody to be freeing blobs, later ones repeat the request. */
static void go(void *owner)
{
	struct pull *p = owner;

	if (p->held)
		get_manifest(p);
	else
		model_transfer_post(&p->common, run_hold, on_held, p);
}

int pull_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct pull **ret, struct err *err)
{
	static const struct model_transfer_kind kind = {
		"pulling manifest", "pulling model", REGISTRY_PULL, go, count,
	};
	struct pull *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	r = model_transfer_open(&p->common, t, name, insecure, &kind, p, watcher, owner, err);
	if (r < 0)
		free(p);
	else
		*ret = p;
	return r;
}
