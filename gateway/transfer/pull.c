/*
 * Pulls. Owns each until its end; runs on the event loop, and lets the disk's threads
 * hash what is in the store already.
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
#include "gateway/transfer/image.h"
#include "gateway/transfer/partial.h"
#include "gateway/transfer/pull.h"
#include "gateway/transfer/retry.h"

#define MANIFEST_ATTEMPTS 4u

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
	struct transfers *all;
	struct store *store;            /* its own, for the hold */
	struct model_name name;
	struct registry *registry;
	struct progress_lines lines;
	struct retry retry;
	struct call *call;
	char *manifest;
	size_t manifest_len;
	struct image image;
	struct item *items;
	size_t n_checks, n_missing;
	uint64_t present;               /* bytes, duplicates counted */
	_Atomic bool stop;              /* cancelled while the disk still checks */
	_Atomic uint64_t hashed;        /* bytes of what the disk checks */
};

static void pull_free(struct pull *p)
{
	if (p->n_checks)
		return;                 /* the last check comes back here */
	for (size_t i = 0; p->items && i < p->image.n_blobs; i++)
		if (p->items[i].waiter)
			waiter_leave(p->items[i].waiter);
	call_cancel(p->call);
	retry_finish(&p->retry);
	progress_lines_finish(&p->lines);
	registry_unref(p->registry);
	image_clear(&p->image);
	free(p->items);
	free(p->manifest);
	store_close(p->store);
	free(p);
}

void pull_cancel(struct pull *p)
{
	p->stop = true;
	pull_free(p);
}

static void finish(struct pull *p, const struct err *err)
{
	p->lines.watcher->done(p->lines.owner, err);
	pull_cancel(p);
}

const char *pull_digest(const struct pull *p)
{
	return p->image.manifest->digest;
}

/* ---- the end: the tag ---- */

static void write_tag(struct pull *p)
{
	char folder[4096];
	struct err err;
	int r;

	if (p->n_missing)
		progress_lines_end(&p->lines);
	progress_lines_status(&p->lines, "writing manifest");
	snprintf(folder, sizeof(folder), "%s/blobs", store_root(p->store));
	r = dir_sync(folder, &err);
	if (r == 0)
		r = store_write(p->store, &p->name, p->manifest, p->manifest_len, &err);
	if (r < 0) {
		err.code = -EIO;
		finish(p, &err);
		return;
	}
	store_pending_remove(p->store, p->image.manifest->digest);
	progress_lines_status(&p->lines, "success");
	finish(p, NULL);
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

	for (size_t i = 0; i < p->image.n_blobs; i++) {
		const struct item *it = &p->items[i];

		if (it->state == ITEM_PRESENT)
			sum += it->blob->size * it->blob->copies;
		else if (it->waiter)
			sum += waiter_len(it->waiter) * it->blob->copies;
	}
	return sum;
}

static void on_blob(void *owner, const struct err *err)
{
	struct item *it = owner;
	struct pull *p = it->pull;

	it->waiter = NULL;
	if (err) {
		finish(p, err);
		return;
	}
	it->state = ITEM_PRESENT;
	for (size_t i = 0; i < p->image.n_blobs; i++)
		if (p->items[i].state != ITEM_PRESENT)
			return;
	write_tag(p);
}

static const struct waiter_handler waiter_handler = { on_blob };

/* Bytes of a blob that are still to come. */
static uint64_t missing_bytes(const struct pull *p, const struct item *it)
{
	char path[4096], partial[4096 + 8];
	struct stat st;

	if (it->state == ITEM_PRESENT)
		return 0;
	store_blob_path(p->store, it->blob->digest, path, sizeof(path));
	snprintf(partial, sizeof(partial), "%s.tmp", path);
	if (lstat(partial, &st) < 0 || (uint64_t)st.st_size > it->blob->size)
		return it->blob->size;
	return it->blob->size - (uint64_t)st.st_size;
}

static bool is_wanted(const void *context, const char *digest)
{
	const struct pull *p = context;

	for (size_t i = 0; i < p->image.n_blobs; i++)
		if (!strcmp(p->image.blobs[i].digest, digest))
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
	const char *root = store_root(p->store);
	uint64_t needed = 0, there;

	for (size_t i = 0; i < p->image.n_blobs; i++)
		needed += missing_bytes(p, &p->items[i]);
	needed += needed / 100;
	there = free_bytes(root);
	if (there < needed) {
		store_free_partials(p->store, is_wanted, p);
		there = free_bytes(root);
	}
	if (there < needed)
		return err_set(err, -ENOSPC, "no space left on device: %s has %" PRIu64 " bytes free, %" PRIu64
			       " are needed", root, there, needed);
	return 0;
}

static int join_all(struct pull *p, struct err *err)
{
	int r = check_space(p, err);

	for (size_t i = 0; r == 0 && i < p->image.n_blobs; i++) {
		struct item *it = &p->items[i];

		if (it->state != ITEM_PRESENT)
			r = download_join(p->all, p->registry, it->blob->digest, it->blob->size,
					  it->inode, &waiter_handler, it, &it->waiter, err);
	}
	return r;
}

static void fetch_missing(struct pull *p)
{
	struct err err;

	for (size_t i = 0; i < p->image.n_blobs; i++)
		p->n_missing += p->items[i].state != ITEM_PRESENT;
	if (!p->n_missing) {
		write_tag(p);
		return;
	}
	p->lines.status = "pulling model";
	p->lines.digest = NULL;
	p->lines.count = count;
	p->lines.total = p->image.total;
	if (store_pending_add(p->store, p->image.manifest->digest, p->manifest, p->manifest_len, &err) < 0 ||
	    join_all(p, &err) < 0)
		finish(p, &err);
	else
		progress_lines_begin(&p->lines);
}

/* ---- what is there already ---- */

static bool keep_hashing(void *context, size_t bytes)
{
	struct pull *p = context;

	p->hashed += bytes;
	return !p->stop;
}

static void run_check(void *arg)
{
	struct item *it = arg;

	it->result = store_blob_check(it->pull->store, it->blob->digest, keep_hashing, it->pull, NULL);
}

static void on_checked(void *arg)
{
	struct item *it = arg;
	struct pull *p = it->pull;

	p->n_checks--;
	if (p->stop) {
		pull_free(p);
		return;
	}
	it->state = it->result == 0 ? ITEM_PRESENT : ITEM_MISSING;
	if (p->n_checks)
		return;
	progress_lines_end(&p->lines);
	fetch_missing(p);
}

static void check(struct pull *p, struct item *it)
{
	char path[4096];
	struct stat st;

	store_blob_path(p->store, it->blob->digest, path, sizeof(path));
	if (lstat(path, &st) < 0)
		return;
	it->inode = st.st_ino;
	if ((uint64_t)st.st_size != it->blob->size)
		return;
	if (store_blob_reuse(p->store, it->blob->digest, it->blob->size)) {
		it->state = ITEM_PRESENT;
		return;
	}
	p->lines.total += it->blob->size;
	strand_init(&it->strand);
	it->job = (struct disk_job){ .run = run_check, .done = on_checked, .arg = it };
	p->n_checks++;
	disk_post(p->all->disk, &it->strand, &it->job);
}

static int check_present(struct pull *p, struct err *err)
{
	p->items = calloc(p->image.n_blobs + 1, sizeof(*p->items));
	if (!p->items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < p->image.n_blobs; i++) {
		p->items[i].pull = p;
		p->items[i].blob = &p->image.blobs[i];
		check(p, &p->items[i]);
	}
	if (p->n_checks) {
		p->lines.status = "verifying model";
		p->lines.digest = "sha256:verify";
		p->lines.count = count_hashed;
		progress_lines_begin(&p->lines);
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
	int r = image_parse(bytes, len, &p->image, err);

	if (r < 0)
		return r;
	if (said && digest_parse(said, digest, NULL) == 0 && strcmp(digest, p->image.manifest->digest))
		return err_set(err, -EBADMSG, "digest mismatch: the registry says %s, its answer is %s", digest,
			       p->image.manifest->digest);
	p->manifest = malloc(len + 1);
	if (!p->manifest)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(p->manifest, bytes, len);
	p->manifest_len = len;
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
	if (p->retry.failed + 1 >= MANIFEST_ATTEMPTS)
		return false;
	return err ? err->code == -EIO : status >= 300 && !retry_is_final(status);
}

static void on_manifest(void *owner, struct call *c, const struct err *failure)
{
	struct pull *p = owner;
	long status = call_status(c);
	char text[400];
	struct err err;

	p->call = NULL;
	if (is_worth_another(p, status, failure) &&
	    retry_later(&p->retry, failure ? -1 : call_retry_after(c)))
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
	} else if (!p->n_checks) {
		fetch_missing(p);
	}
}

static const struct call_handler manifest_handler = { .done = on_manifest };

static void get_manifest(void *owner)
{
	struct pull *p = owner;
	struct call_order order = { .method = "GET", .headers = { "Accept: " MEDIA_MANIFEST }, .follow = true };
	struct err err;
	char rest[128], *url;
	int r;

	snprintf(rest, sizeof(rest), "manifests/%s", p->name.tag);
	url = registry_url(p->registry, rest);
	order.url = url;
	r = url ? call_start(p->registry, &order, &manifest_handler, p, &p->call, &err) :
		err_set(&err, -ENOMEM, "out of memory");
	free(url);
	if (r < 0)
		fail_manifest(p, &err);
}

static int prepare(struct pull *p, bool insecure, struct err *err)
{
	int r = store_open(store_root(p->all->store), &p->store, err);

	if (r == 0)
		r = retry_init(&p->retry, p->all->base, p->all->retry_ns, get_manifest, p, err);
	if (r == 0)
		r = progress_lines_init(&p->lines, p->all->base, err);
	if (r == 0)
		r = registry_open(p->all->fetcher, &p->name, insecure, REGISTRY_PULL, &p->registry, err);
	if (r == 0)
		store_hold(p->store);
	return r;
}

int pull_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct pull **ret, struct err *err)
{
	static const struct timeval at_once = { 0 };
	struct pull *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->all = t;
	p->name = *name;
	p->lines = (struct progress_lines){
		.watcher = watcher, .owner = owner, .transfer = p,
	};
	r = prepare(p, insecure, err);
	if (r < 0) {
		pull_free(p);
		return r;
	}
	progress_lines_status(&p->lines, "pulling manifest");
	evtimer_add(p->retry.timer, &at_once);
	*ret = p;
	return 0;
}
