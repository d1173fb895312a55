/*
 * Blobs on their way out. Owns one session with the registry at a time; runs on the event
 * loop, and reads the file there, piece by piece as the socket takes it.
 *
 * A blob is looked for, then a session is begun; a small one goes with the session's end,
 * a large one before. A session that broke is lost: the next attempt begins another. The
 * public registry takes parts, each of which may be told to go elsewhere, and tried again.
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
/* Of the public registry. */
#define PARTS 16u
#define PART_MIN (UINT64_C(100) << 20)
#define PART_MAX (UINT64_C(1000) << 20)
#define PART_TRIES 3u

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
	bool in_parts;                  /* the public registry's way */
	uint64_t part_at, part_len;     /* what the body of a request is of the blob */
	uint64_t best;                  /* as far as any session came */
	unsigned n_parts, part_tries;   /* done; of this one */
	EVP_MD_CTX *md5, *md5s;         /* of the part; of those done, their MD5s */
	char *part;                     /* where the body goes instead */
	char *next_session;             /* and then the session */
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
	free(u->next_session);
	u->session = u->part = u->next_session = NULL;
	for (size_t i = 0; i < u->n_signed; i++)
		free(u->signed_headers[i]);
	u->n_signed = 0;
	u->part_at = u->sent = 0;
	u->n_parts = u->part_tries = 0;
}

static void upload_free(struct blob_upload *u)
{
	forget_session(u);
	EVP_MD_CTX_free(u->md5);
	EVP_MD_CTX_free(u->md5s);
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

/* Another attempt at what the session is at. */
static void try_again_later(struct blob_upload *u, int64_t retry_after)
{
	struct err err;

	slot_leave(&u->all->slots, &u->slot);
	if (retry_later(&u->retry, retry_after))
		return;
	err_set(&err, -EIO, "max retries exceeded: %s", u->why.text);
	finish(u, &err);
}

/* Whatever was begun is given up. */
static void try_later(struct blob_upload *u, int64_t retry_after)
{
	forget_session(u);
	try_again_later(u, retry_after);
}

static void describe(struct blob_upload *u, const struct call *c, const struct err *err)
{
	long status = call_status(c);
	bool refused = status == 401 || status == 403;
	char text[400];

	if (err) {
		u->why = *err;
		return;
	}
	retry_describe(status, call_body(c, NULL), text, sizeof(text));
	err_set(&u->why, refused ? -EACCES : -EIO, "%sblob %.19s: status %s", refused ? "access denied: " : "",
		u->blob->digest, text);
}

/* An answer that was not hoped for. lost: of a session, which may be gone. */
static void fail(struct blob_upload *u, const struct call *c, const struct err *err, bool lost)
{
	long status = call_status(c);

	describe(u, c, err);
	if (err ? registry_gives_up(u->registry, err) : retry_is_final(status) && !(lost && status == 404))
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
	ssize_t n = pread(u->fd, to, max, (off_t)(u->part_at + offset));

	if (n <= 0)
		return n;
	u->sent = u->part_at + offset + (uint64_t)n;
	if (u->in_parts && offset == 0)
		EVP_DigestInit_ex(u->md5, EVP_md5(), NULL);
	if (u->in_parts)
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

/* "&etag=<MD5 of the parts' MD5s>-<how many>". */
static void print_etag(struct blob_upload *u, char *ret, size_t size)
{
	unsigned char all[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	size_t n;

	ret[0] = '\0';
	if (!u->n_parts || EVP_DigestFinal_ex(u->md5s, all, &len) != 1)
		return;
	n = (size_t)snprintf(ret, size, "&etag=");
	for (unsigned i = 0; i < len && n + 2 < size; i++)
		n += (size_t)snprintf(ret + n, size - n, "%02x", all[i]);
	snprintf(ret + n, size - n, "-%u", u->n_parts);
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

/* Keeps the address that a header of the answer names; false when there is none, or one of plain HTTP. */
static bool take_address(char **to, const struct call *c, const char *header)
{
	const char *location = call_header(c, header);

	free(*to);
	*to = location ? url_resolve(call_url(c), location) : NULL;
	if (*to && !strncmp(call_url(c), "https:", 6) && strncmp(*to, "https:", 6)) {
		free(*to);
		*to = NULL;
	}
	return *to;
}

/* Where the session goes on; false when the answer does not say. */
static bool take_session(struct blob_upload *u, const struct call *c)
{
	bool own = call_header(c, "Docker-Upload-Location");

	return take_address(&u->session, c, own ? "Docker-Upload-Location" : "Location");
}

static void fail_location(struct blob_upload *u)
{
	err_set(&u->why, -EPROTO, "the registry's answer to an upload leads nowhere: "
		"no Location, or one of plain HTTP");
	finish(u, &u->why);
}

/* ---- what only the public registry does: parts, and bodies that go elsewhere ---- */

static void stream(struct blob_upload *u);

static void part_done(struct blob_upload *u)
{
	unsigned char md5[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (u->n_parts++ == 0)
		EVP_DigestInit_ex(u->md5s, EVP_md5(), NULL);
	if (EVP_DigestFinal_ex(u->md5, md5, &len) == 1)
		EVP_DigestUpdate(u->md5s, md5, len);
	u->part_at += u->part_len;
	u->part_tries = 0;
	if (u->part_at > u->best) {
		u->best = u->part_at;
		retry_progress(&u->retry);
	}
	if (u->part_at < u->blob->size)
		stream(u);
	else
		end(u, false);
}

/* The session is still good, unless too much went wrong. */
static void fail_part(struct blob_upload *u, const struct call *c, const struct err *err)
{
	bool gone = !err && (call_status(c) == 404 || call_status(c) == 410);

	if (u->in_parts && !gone && (err ? !registry_gives_up(u->registry, err) : !retry_is_final(call_status(c))) &&
	    ++u->part_tries < PART_TRIES) {
		describe(u, c, err);
		try_again_later(u, err ? -1 : call_retry_after(c));
	} else {
		fail(u, c, err, true);
	}
}

static void on_part_put(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;
	bool direct = !u->next_session;
	long status = call_status(c);

	u->call = NULL;
	if (!err && (status == 200 || status == 201 || (status == 202 && !direct))) {
		if (direct) {
			end(u, false);
			return;
		}
		free(u->session);
		u->session = u->next_session;
		u->next_session = NULL;
		part_done(u);
	} else if (!err && retry_is_final(status)) {
		/* An address that has expired: the next session has another. */
		describe(u, c, NULL);
		try_later(u, -1);
	} else if (direct) {
		fail(u, c, err, true);
	} else {
		fail_part(u, c, err);
	}
}

static const struct call_handler part_handler = { .body = read_blob, .done = on_part_put };

/* No token goes there, and the address stays as it came. */
static void put_part(struct blob_upload *u)
{
	struct call_order order = {
		.method = "PUT", .url = u->part, .has_body = true, .body_size = u->part_len, .bare = true,
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

/* ---- the usual way ---- */

static void on_streamed(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (!err && call_status(c) == 307 && u->in_parts && take_address(&u->part, c, "Location")) {
		if (take_address(&u->next_session, c, "Docker-Upload-Location"))
			put_part(u);
		else
			fail_location(u);
	} else if (err || call_status(c) != 202) {
		fail_part(u, c, err);
	} else if (!take_session(u, c)) {
		fail_location(u);
	} else if (u->in_parts) {
		part_done(u);
	} else {
		end(u, false);
	}
}

static const struct call_handler stream_handler = { .body = read_blob, .done = on_streamed };

static uint64_t part_size(const struct blob_upload *u)
{
	uint64_t size = (u->blob->size + PARTS - 1) / PARTS, left = u->blob->size - u->part_at;

	if (!u->in_parts)
		return left;
	size = size < PART_MIN ? PART_MIN : size > PART_MAX ? PART_MAX : size;
	return size < left ? size : left;
}

/* The blob, or its next part. */
static void stream(struct blob_upload *u)
{
	struct call_order order = {
		.method = "PATCH", .url = u->session, .has_body = true,
		.headers = { "Content-Type: application/octet-stream" },
	};
	char range[80];

	u->part_len = order.body_size = part_size(u);
	snprintf(range, sizeof(range), "Content-Range: %" PRIu64 "-%" PRIu64, u->part_at,
		 u->part_at + u->part_len - 1);
	order.headers[1] = range;
	order.headers[2] = u->in_parts ? "X-Redirect-Uploads: 1" : NULL;
	call(u, &order, &stream_handler);
}

/* A registry that does not like where the blob may be mounted from gets it sent. */
static bool is_refused_mount(struct blob_upload *u, const struct call *c, const struct err *err)
{
	return u->mount_from && (err ? err->code == -EACCES : retry_is_final(call_status(c)));
}

static void begin_session(struct blob_upload *u);

static void on_begun(void *owner, struct call *c, const struct err *err)
{
	struct blob_upload *u = owner;

	u->call = NULL;
	if (is_refused_mount(u, c, err)) {
		u->mount_from = NULL;
		begin_session(u);
	} else if (err || (call_status(c) != 201 && call_status(c) != 202)) {
		fail(u, c, err, false);
	} else if (call_status(c) == 201) {
		u->sent = u->blob->size;
		finish(u, NULL);
	} else if (!take_session(u, c)) {
		fail_location(u);
	} else if (u->in_parts && take_address(&u->part, c, "X-Direct-Upload-URL")) {
		call_each_header(c, keep_signed, u);
		u->part_len = u->blob->size;
		put_part(u);
	} else if (u->blob->size < (u->in_parts ? 1 : MONOLITHIC)) {
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

	if (u->session)
		stream(u);
	else if (u->looked)
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
	u->in_parts = registry_site(r)->ollama;
	u->md5 = EVP_MD_CTX_new();
	u->md5s = EVP_MD_CTX_new();
	if (!u->md5 || !u->md5s) {
		upload_free(u);
		return err_set(err, -ENOMEM, "out of memory");
	}
	if (retry_init(&u->retry, t->base, t->retry_ns, want_slot, u, err) < 0) {
		upload_free(u);
		return err->code;
	}
	slot_want(&t->slots, &u->slot);
	*ret = u;
	return 0;
}
