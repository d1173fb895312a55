/*
 * Blobs on their way out. Owns one session with the registry at a time; runs on the event
 * loop, and reads the file there, piece by piece as the socket takes it.
 *
 * A blob is looked for, then a session is begun; a small one goes with the session's end,
 * a large one before. A session that broke is lost: the next attempt begins another.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "gateway/transfer/retry.h"
#include "gateway/transfer/upload.h"
#include "gateway/transfer/url.h"

#define MONOLITHIC (64u << 20)

struct blob_upload {
	struct transfers *all;
	struct registry *registry;
	const struct image_blob *blob;
	const char *mount_from;
	const struct blob_upload_handler *handler;
	void *owner;
	struct slot slot;
	struct retry retry;
	struct call *call;
	char *session;                  /* where the next request goes */
	bool looked;                    /* it is not there */
	EVP_MD_CTX *md5;                /* of what is sent, where the public registry asks for it */
	bool with_etag;
	char *part;                     /* where the body goes instead */
	char *signed_headers[CALL_HEADERS];     /* that go with it */
	size_t n_signed;
	int fd;
	uint64_t sent;
	struct err why;
};

/* ---- the end ---- */

static void forget_session(struct blob_upload *u)
{
	free(u->session);
	free(u->part);
	u->session = u->part = NULL;
	for (size_t i = 0; i < u->n_signed; i++)
		free(u->signed_headers[i]);
	u->n_signed = 0;
	u->with_etag = false;
	u->sent = 0;
}

static void upload_free(struct blob_upload *u)
{
	forget_session(u);
	EVP_MD_CTX_free(u->md5);
	call_cancel(u->call);
	slot_leave(&u->all->slots, &u->slot);
	retry_finish(&u->retry);
	registry_unref(u->registry);
	free(u);
}

void blob_upload_cancel(struct blob_upload *u)
{
	upload_free(u);
}

static void finish(struct blob_upload *u, const struct err *err)
{
	u->handler->done(u->owner, err);
	upload_free(u);
}

uint64_t blob_upload_len(const struct blob_upload *u)
{
	return u->sent;
}

static void want_slot(void *owner)
{
	struct blob_upload *u = owner;

	slot_want(&u->all->slots, &u->slot);
}

/* Whatever was begun is given up. */
static void try_later(struct blob_upload *u, int64_t retry_after)
{
	struct err err;

	forget_session(u);
	slot_leave(&u->all->slots, &u->slot);
	if (retry_later(&u->retry, retry_after))
		return;
	err_set(&err, -EIO, "max retries exceeded: %s", u->why.text);
	finish(u, &err);
}

static bool is_final(const struct err *err)
{
	return err->code == -EPERM || err->code == -EACCES || err->code == -EPROTO;
}

/* An answer that was not hoped for. lost: of a session, which may be gone. */
static void fail(struct blob_upload *u, const struct call *c, const struct err *err, bool lost)
{
	long status = call_status(c);
	char text[400];
	bool final;

	if (err) {
		u->why = *err;
		final = is_final(err);
	} else {
		retry_describe(status, call_body(c, NULL), text, sizeof(text));
		err_set(&u->why, status == 401 || status == 403 ? -EACCES : -EIO, "%sblob %.19s: status %s",
			status == 401 || status == 403 ? "access denied: " : "", u->blob->digest, text);
		final = retry_is_final(status) && !(lost && status == 404);
	}
	if (final)
		finish(u, &u->why);
	else
		try_later(u, err ? -1 : call_retry_after(c));
}

/* ---- the requests ---- */

static void call(struct blob_upload *u, const struct call_order *order, const struct call_handler *handler)
{
	struct err err;
	int r = order->url ? call_start(u->registry, order, handler, u, &u->call, &err) :
		err_set(&err, -ENOMEM, "out of memory");

	if (r < 0)
		finish(u, &err);
}

static ssize_t read_blob(void *owner, uint64_t offset, void *to, size_t max)
{
	struct blob_upload *u = owner;
	ssize_t n = pread(u->fd, to, max, (off_t)offset);

	if (n <= 0)
		return n;
	u->sent = offset + (uint64_t)n;
	if (u->md5 && offset == 0)
		EVP_DigestInit_ex(u->md5, EVP_md5(), NULL);
	if (u->md5)
		EVP_DigestUpdate(u->md5, to, (size_t)n);
	return n;
}

static void on_ended(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (err || (call_status(c) != 201 && call_status(c) != 200 && call_status(c) != 204)) {
		fail(u, c, err, true);
		return;
	}
	u->sent = u->blob->size;
	finish(u, NULL);
}

static const struct call_handler end_handler = { .body = read_blob, .done = on_ended };

/* "&etag=<MD5 of the parts' MD5s>-<how many>": we send one. */
static void print_etag(struct blob_upload *u, char *ret, size_t size)
{
	unsigned char part[EVP_MAX_MD_SIZE], all[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t n;

	ret[0] = '\0';
	if (!u->with_etag || EVP_DigestFinal_ex(u->md5, part, &len) != 1 ||
	    EVP_Digest(part, len, all, &len, EVP_md5(), NULL) != 1)
		return;
	n = (size_t)snprintf(ret, size, "&etag=");
	for (unsigned i = 0; i < len && n + 2 < size; i++)
		n += (size_t)snprintf(ret + n, size - n, "%02x", all[i]);
	snprintf(ret + n, size - n, "-1");
}

/* The session's end, with the blob or behind it. */
static void end(struct blob_upload *u, bool with_blob)
{
	char query[DIGEST_SIZE + 96], etag[64], *url;
	struct call_order order = {
		.method = "PUT", .has_body = true, .body_size = with_blob ? u->blob->size : 0,
		.headers = { "Content-Type: application/octet-stream" },
	};

	print_etag(u, etag, sizeof(etag));
	snprintf(query, sizeof(query), "digest=%s%s", u->blob->digest, etag);
	url = url_add_query(u->session, query);
	order.url = url;
	call(u, &order, &end_handler);
	free(url);
}

/* Where the session goes on; false when the answer does not say. */
static bool take_session(struct blob_upload *u, const struct call *c)
{
	const char *location = call_header(c, "Docker-Upload-Location");
	char *url;

	if (!location)
		location = call_header(c, "Location");
	url = location ? url_resolve(call_url(c), location) : NULL;
	if (!url || (!strncmp(call_url(c), "https:", 6) && strncmp(url, "https:", 6))) {
		free(url);
		return false;
	}
	free(u->session);
	u->session = url;
	return true;
}

static void fail_location(struct blob_upload *u)
{
	err_set(&u->why, -EPROTO, "the registry's answer to an upload leads nowhere: "
		"no Location, or one of plain HTTP");
	finish(u, &u->why);
}

/* ---- what only the public registry does: the body goes elsewhere ---- */

static void on_part_put(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;
	long status = call_status(c);

	u->call = NULL;
	if (!err && (status == 200 || status == 201 || (status == 202 && u->with_etag)))
		end(u, false);
	else if (!err && retry_is_final(status))
		try_later(u, -1);       /* an address that has expired: the next session has another */
	else
		fail(u, c, err, true);
}

static const struct call_handler part_handler = { .body = read_blob, .done = on_part_put };

/* No token goes there, and the address stays as it came. */
static void put_part(struct blob_upload *u)
{
	struct call_order order = {
		.method = "PUT", .url = u->part, .has_body = true, .body_size = u->blob->size, .bare = true,
		.headers = { "Content-Type: application/octet-stream" },
	};
	size_t n = 1;

	for (size_t i = 0; i < u->n_signed; i++) {
		bool replaces = !strncasecmp(u->signed_headers[i], "Content-Type:", 13);

		order.headers[replaces ? 0 : n++] = u->signed_headers[i];
	}
	call(u, &order, &part_handler);
}

static void keep_signed(void *arg, const char *name, const char *value)
{
	static const char prefix[] = "X-Signed-Header-";
	struct blob_upload *u = arg;
	char *line;

	if (strncasecmp(name, prefix, strlen(prefix)) || u->n_signed >= CALL_HEADERS - 2)
		return;
	if (!strcasecmp(name + strlen(prefix), "Authorization"))
		return;
	if (asprintf(&line, "%s: %s", name + strlen(prefix), value) >= 0)
		u->signed_headers[u->n_signed++] = line;
}

/* Takes the place that a header of the answer names; false when there is none. */
static bool take_part(struct blob_upload *u, const struct call *c, const char *header)
{
	const char *place = registry_site(u->registry)->ollama ? call_header(c, header) : NULL;

	free(u->part);
	u->part = place ? url_resolve(call_url(c), place) : NULL;
	if (u->part && !strncmp(call_url(c), "https:", 6) && strncmp(u->part, "https:", 6)) {
		free(u->part);
		u->part = NULL;
	}
	return u->part;
}

/* ---- the usual way ---- */

static void on_streamed(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (!err && call_status(c) == 307 && take_part(u, c, "Location")) {
		const char *session = call_header(c, "Docker-Upload-Location");
		char *url = session ? url_resolve(call_url(c), session) : NULL;

		if (!url) {
			fail_location(u);
			return;
		}
		free(u->session);
		u->session = url;
		put_part(u);
	} else if (err || call_status(c) != 202)
		fail(u, c, err, true);
	else if (!take_session(u, c))
		fail_location(u);
	else
		end(u, false);
}

static const struct call_handler stream_handler = { .body = read_blob, .done = on_streamed };

static void stream(struct blob_upload *u)
{
	struct call_order order = {
		.method = "PATCH", .url = u->session, .has_body = true, .body_size = u->blob->size,
		.headers = { "Content-Type: application/octet-stream" },
	};
	char range[80];

	snprintf(range, sizeof(range), "Content-Range: 0-%" PRIu64, u->blob->size - 1);
	order.headers[1] = range;
	u->with_etag = u->md5;
	order.headers[2] = u->md5 ? "X-Redirect-Uploads: 1" : NULL;
	call(u, &order, &stream_handler);
}

static void on_begun(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (err || (call_status(c) != 201 && call_status(c) != 202)) {
		fail(u, c, err, false);
	} else if (call_status(c) == 201) {
		u->sent = u->blob->size;
		finish(u, NULL);
	} else if (!take_session(u, c)) {
		fail_location(u);
	} else if (take_part(u, c, "X-Direct-Upload-URL")) {
		call_each_header(c, keep_signed, u);
		put_part(u);
	} else if (u->blob->size < MONOLITHIC) {
		end(u, true);
	} else {
		stream(u);
	}
}

static const struct call_handler begin_handler = { .done = on_begun };

static void begin_session(struct blob_upload *u)
{
	struct call_order order = { .method = "POST", .has_body = true };
	char rest[700], length[64], *url;

	if (registry_site(u->registry)->ollama) {
		snprintf(length, sizeof(length), "X-Content-Length: %" PRIu64, u->blob->size);
		order.headers[0] = "X-Redirect-Uploads: 2";
		order.headers[1] = length;
	}
	if (u->mount_from)
		snprintf(rest, sizeof(rest), "blobs/uploads/?mount=%s&from=%.400s", u->blob->digest,
			 u->mount_from);
	else if (registry_site(u->registry)->ollama)
		snprintf(rest, sizeof(rest), "blobs/uploads/?digest=%s", u->blob->digest);
	else
		snprintf(rest, sizeof(rest), "blobs/uploads/");
	url = registry_url(u->registry, rest);
	order.url = url;
	call(u, &order, &begin_handler);
	free(url);
}

static void on_looked(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (err || (call_status(c) != 200 && call_status(c) != 404)) {
		fail(u, c, err, false);
	} else if (call_status(c) == 200) {
		u->sent = u->blob->size;
		finish(u, NULL);
	} else {
		u->looked = true;
		begin_session(u);
	}
}

static const struct call_handler look_handler = { .done = on_looked };

static void look(struct blob_upload *u)
{
	struct call_order order = { .method = "HEAD", .follow = true };
	char rest[DIGEST_SIZE + 16], *url;

	snprintf(rest, sizeof(rest), "blobs/%s", u->blob->digest);
	url = registry_url(u->registry, rest);
	order.url = url;
	call(u, &order, &look_handler);
	free(url);
}

static void go(void *owner)
{
	struct blob_upload *u = owner;

	if (u->looked)
		begin_session(u);
	else
		look(u);
}

int blob_upload_start(struct transfers *t, struct registry *r, const struct image_blob *blob, int fd,
		      const char *mount_from, const struct blob_upload_handler *handler, void *owner,
		      struct blob_upload **ret, struct err *err)
{
	struct blob_upload *u = calloc(1, sizeof(*u));

	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	u->all = t;
	u->registry = registry_ref(r);
	u->blob = blob;
	u->fd = fd;
	u->mount_from = mount_from;
	u->handler = handler;
	u->owner = owner;
	u->slot = (struct slot){ .go = go, .owner = u };
	u->md5 = registry_site(r)->ollama ? EVP_MD_CTX_new() : NULL;
	if (retry_init(&u->retry, t->base, t->retry_ns, want_slot, u, err) < 0) {
		upload_free(u);
		return err->code;
	}
	slot_want(&t->slots, &u->slot);
	*ret = u;
	return 0;
}
