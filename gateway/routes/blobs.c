/*
 * HEAD and POST /api/blobs/<digest>: files for a create, put into the store as they come;
 * memory stays flat whatever their size. Writes on the event loop: the page cache takes
 * it, and only the last sync waits for the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

/* One upload, from its head until its answer. */
struct blob_upload {
	struct blob_writer *writer;
	struct err err;                 /* why there is no writer */
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

/* 200 when it was there, 201 when it is new, or an error. */
static int finish(struct blob_upload *u, const char *digest, struct err *err)
{
	char actual[DIGEST_SIZE];
	struct blob_writer *writer = u->writer;
	bool is_new;
	int r;

	if (!writer) {
		*err = u->err;
		return err->code = -EIO;
	}
	u->writer = NULL;
	r = blob_writer_commit_as(writer, digest, actual, &is_new, err);
	if (r == -EBADMSG)
		return err_set(err, -EINVAL, "digest mismatch, expected \"%s\", got \"%s\"", digest,
			       actual);
	if (r < 0)
		return err->code = -EIO;
	return is_new ? 201 : 200;
}

static int look(struct gateway *gw, const struct http_request *q, const char *digest,
		struct err *err)
{
	if (q->sink)
		return finish(q->sink, digest, err);
	if (is_present(gw, digest))
		return 200;
	if (!strcmp(q->method, "POST"))         /* freed while it was sent; or no memory for it */
		return err_set(err, -EIO, "blob \"%s\" was not kept: send it again", digest);
	return err_set(err, -ENOENT, "blob \"%s\" not found", digest);
}

void route_blob(struct gateway *gw, struct http_request *q)
{
	char digest[DIGEST_SIZE];
	struct err err;
	int r = digest_parse(digest_text(q), digest, &err);

	if (r == 0)
		r = look(gw, q, digest, &err);
	if (r < 0)
		reply_error(q, &err);
	else
		http_reply(q, r, NULL, NULL);
	store_unlock(gw->store);        /* as in blob_begin() */
}
