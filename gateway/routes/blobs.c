/*
 * HEAD and POST /api/blobs/<digest>: files for a create, put into the store as they come;
 * memory stays flat whatever their size. Writes on the event loop, as the page cache takes
 * it; the last sync, which waits for the disk, is left to one of its threads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/transfer/transfers.h"

/* One upload, from its head until its answer; from the end of its body on the disk's. */
struct blob_upload {
	struct blob_writer *writer;
	char digest[DIGEST_SIZE];
	int status;                     /* of the answer, or err's code */
	struct err err;                 /* why there is no writer, or no blob */
	struct http_request *q;         /* NULL: its client left */
	struct strand strand;
	struct disk_job job;
};

static const char *digest_text(const struct http_request *q)
{
	return q->path + strlen("/api/blobs/");
}

/* What is not known to be whole is taken again when somebody brings it. */
static bool is_whole(struct gateway *gw, const char *digest)
{
	uint64_t size;

	return store_blob_stat(gw->store, digest, &size, NULL) == 0 &&
	       store_blob_reuse(gw->store, digest, size);
}

/* Only what takes long to send is taken on trust: who creates of it hashes it. */
static bool is_present(struct gateway *gw, const char *digest)
{
	uint64_t size;

	return is_whole(gw, digest) || (store_blob_stat(gw->store, digest, &size, NULL) == 0 &&
					size > LIMIT_CONFIG_FILE && store_blob_touch(gw->store, digest, size));
}

static enum http_body begin(struct gateway *gw, struct http_request *q)
{
	char digest[DIGEST_SIZE];
	struct blob_upload *u;

	if (digest_parse(digest_text(q), digest, NULL) < 0 || is_whole(gw, digest))
		return HTTP_BODY_DROP;
	u = calloc(1, sizeof(*u));
	q->sink = u;
	if (!u || blob_writer_begin(gw->store, &u->writer, &u->err) < 0)
		return HTTP_BODY_DROP;
	return HTTP_BODY_STREAM;
}

/* What is there already, or cannot be stored, is not read. */
enum http_body blob_begin(struct gateway *gw, struct http_request *q)
{
	const enum http_body r = begin(gw, q);

	/* What was just found or is being sent is young, which is what keeps it. A hold would last
	 * as long as the client likes, and no importer could free anything until then. */
	store_unlock(gw->store);
	return r;
}

int blob_write(struct http_request *q, const void *data, size_t len, struct err *err)
{
	struct blob_upload *u = q->sink;

	if (blob_writer_write(u->writer, data, len, err) < 0)
		return err->code = -EIO;
	return 0;
}

void blob_drop(struct http_request *q)
{
	struct blob_upload *u = q->sink;

	q->sink = NULL;
	if (u)
		blob_writer_abort(u->writer);
	free(u);
}

static void answer(struct http_request *q, int status, const struct err *err)
{
	if (status < 0)
		reply_error(q, err);
	else
		http_reply(q, status, NULL, NULL);
}

/* ---- the end of an upload ---- */

/* 200 when it was there, 201 when it is new, or an error. On a disk thread. */
static void commit(void *arg)
{
	struct blob_upload *u = arg;
	char actual[DIGEST_SIZE];
	bool is_new = false;
	int r = blob_writer_commit_as(u->writer, u->digest, actual, &is_new, &u->err);

	u->writer = NULL;
	if (r == -EBADMSG)
		err_set(&u->err, -EINVAL, "digest mismatch, expected \"%s\", got \"%s\"", u->digest, actual);
	else if (r < 0)
		u->err.code = -EIO;
	u->status = r < 0 ? u->err.code : is_new ? 201 : 200;
}

static void on_committed(void *arg)
{
	struct blob_upload *u = arg;

	if (u->q) {
		http_on_gone(u->q, NULL, NULL);
		answer(u->q, u->status, &u->err);
	}
	free(u);
}

/* The blob is whole: it is kept all the same. */
static void on_client_gone(void *owner)
{
	struct blob_upload *u = owner;

	u->q = NULL;
}

static void finish(struct gateway *gw, struct http_request *q, const char *digest)
{
	struct blob_upload *u = q->sink;

	q->sink = NULL;
	u->q = q;
	memcpy(u->digest, digest, DIGEST_SIZE);
	u->job = (struct disk_job){ .run = commit, .done = on_committed, .arg = u };
	strand_init(&u->strand);
	http_on_gone(q, on_client_gone, u);
	disk_post(gw->transfers->disk, &u->strand, &u->job);
}

/* ---- requests ---- */

/* Where no body has come into a writer. */
static int look(struct gateway *gw, const struct http_request *q, const char *digest, struct err *err)
{
	const struct blob_upload *u = q->sink;
	bool is_there;

	if (u) {
		*err = u->err;
		return err->code = -EIO;
	}
	is_there = is_present(gw, digest);
	store_unlock(gw->store);        /* as in blob_begin() */
	if (is_there)
		return 200;
	if (!strcmp(q->method, "POST"))         /* freed while it was sent; or no memory for it */
		return err_set(err, -EIO, "blob \"%s\" was not kept: send it again", digest);
	return err_set(err, -ENOENT, "blob \"%s\" not found", digest);
}

void route_blob(struct gateway *gw, struct http_request *q)
{
	const struct blob_upload *u = q->sink;
	char digest[DIGEST_SIZE];
	struct err err;
	int r = digest_parse(digest_text(q), digest, &err);

	if (r == 0 && u && u->writer) {
		finish(gw, q, digest);
		return;
	}
	if (r == 0)
		r = look(gw, q, digest, &err);
	answer(q, r, &err);
}
