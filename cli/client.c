/*
 * A small blocking HTTP/1.1 client: JSON out, JSON or lines of JSON in, and the
 * server's errors as sentences. While it waits it keeps the progress moving and
 * notices signals. Owns the settings of the server and its addresses.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/conn.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/response.h"
#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/timefmt.h"

#define UPLOAD_PIECE ((size_t)1 << 20)
/* A line may hold one picture in base64. */
#define LINE_MAX_BYTES ((size_t)LIMIT_IMAGE / 3 * 4 + LIMIT_BODY)

/* ---- the server ---- */

/* Servers bind to all addresses; clients reach those as the local host. */
static const char *reachable_name(const char *name)
{
	if (!*name || !strcmp(name, "0.0.0.0"))
		return "127.0.0.1";
	return strcmp(name, "::") ? name : "::1";
}

static int find_addresses(struct client *c, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	const char *name = reachable_name(c->host.name);
	char port[8];
	int r;

	snprintf(port, sizeof port, "%u", c->host.port);
	r = getaddrinfo(name, port, &hints, &c->addresses);
	if (r == 0)
		return 0;
	return err_set(err, -EHOSTUNREACH, "could not find the %s server \"%s\": %s",
		       c->cli->program, name, gai_strerror(r));
}

int client_init(struct client *c, const struct cli *cli, struct err *err)
{
	char *text = settings_get("HOST");
	int r;

	*c = (struct client){ .cli = cli, .signal_fd = -1 };
	r = settings_host(text, &c->host, err);
	free(text);
	if (r < 0)
		return r;
	return find_addresses(c, err);
}

int client_open(struct client *c, const struct cli *cli, struct err *err)
{
	int r = client_init(c, cli, err);

	if (r < 0)
		return r;
	return client_call(c, "HEAD", "/", NULL, NULL, err);
}

int client_watch(struct client *c, struct progress *p, struct err *err)
{
	c->progress = p;
	if (c->signal_fd < 0)
		c->signal_fd = interrupt_open(err);
	return c->signal_fd < 0 ? c->signal_fd : 0;
}

void client_close(struct client *c)
{
	host_finish(&c->host);
	if (c->addresses)
		freeaddrinfo(c->addresses);
	if (c->signal_fd >= 0)
		close(c->signal_fd);
	*c = (struct client){ .signal_fd = -1 };
}

void client_limit(struct client *c, unsigned ms)
{
	c->deadline_ns = time_monotonic_ns() + ms * INT64_C(1000000);
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;

		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return false;
}

bool client_is_local(const struct client *c)
{
	for (const struct addrinfo *a = c->addresses; a; a = a->ai_next)
		if (!is_loopback(a->ai_addr))
			return false;
	return c->addresses != NULL;
}

/* ---- one exchange ---- */

struct request {
	const char *method, *path;
	const json_t *body;             /* NULL: none */
	const struct client_upload *upload;     /* in its place; NULL: none */
	bool lines;                     /* the answer is lines of JSON */
};

/* What one request is doing; body bytes collect in text. */
struct exchange {
	struct response response;
	struct buf text;                /* the answer, or the line so far */
	client_line_fn fn;              /* NULL: collect the whole answer */
	void *ctx;
};

/* Until the next frame is due or the time is up; -1: for as long as it takes. */
static int wait_ms(const struct client *c)
{
	int frame = c->progress ? progress_timeout(c->progress) : -1;
	int64_t left;

	if (!c->deadline_ns)
		return frame;
	left = (c->deadline_ns - time_monotonic_ns()) / 1000000 + 1;
	left = left > 0 ? left : 0;
	return frame >= 0 && frame < left ? frame : (int)left;
}

int client_breathe(struct client *c, struct err *err)
{
	struct pollfd p = { .fd = c->signal_fd, .events = POLLIN };

	if (c->progress && progress_timeout(c->progress) == 0)
		progress_draw(c->progress);
	if (c->signal_fd >= 0 && poll(&p, 1, 0) > 0)
		return err_set(err, -ECANCELED, "interrupted");
	return 0;
}

static int client_wait(void *ctx, int fd, short events, struct err *err)
{
	struct client *c = ctx;
	struct pollfd fds[2] = { { .fd = fd, .events = events },
				 { .fd = c->signal_fd, .events = POLLIN } };

	for (;;) {
		int n;

		/* Before waiting: answers that come fast must not starve the display. */
		if (c->progress && progress_timeout(c->progress) == 0)
			progress_draw(c->progress);
		n = poll(fds, 2, wait_ms(c));
		if (n < 0 && errno != EINTR)
			return err_errno(err, errno, "cannot wait for the server");
		if (n > 0 && fds[1].revents)
			return err_set(err, -ECANCELED, "interrupted");
		if (n > 0 && fds[0].revents)
			return 0;
		if (c->deadline_ns && time_monotonic_ns() >= c->deadline_ns)
			return err_set(err, -ETIMEDOUT, "the server does not answer");
	}
}

static void put_authority(const struct client *c, struct buf *out)
{
	const char *name = reachable_name(c->host.name);

	buf_printf(out, strchr(name, ':') ? "Host: [%s]:%u\r\n" : "Host: %s:%u\r\n", name,
		   c->host.port);
}

static void put_agent(const struct client *c, struct buf *out)
{
	struct utsname system;

	if (uname(&system) < 0)
		return;
	for (char *at = system.sysname; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	buf_printf(out, "User-Agent: %s/" EASEL_VERSION " (%s %s)\r\n", c->cli->program,
		   system.machine, system.sysname);
}

/* The head but for the length of the body and the line that ends it. */
static void put_head(const struct client *c, const struct request *q, struct buf *out)
{
	buf_printf(out, "%s %s%s HTTP/1.1\r\n", q->method, c->host.prefix, q->path);
	put_authority(c, out);
	put_agent(c, out);
	buf_printf(out, "Accept: application/%s\r\nConnection: close\r\n",
		   q->lines ? "x-ndjson" : "json");
	buf_printf(out, "Content-Type: application/%s\r\n",
		   q->upload ? "octet-stream" : "json");
}

/* The whole request, but for a file that is sent. */
static int put_request(const struct client *c, const struct request *q, struct buf *out,
		       struct err *err)
{
	char *text = q->body ? json_dumps(q->body, JSON_COMPACT) : NULL;

	if (q->body && !text)
		return err_errno(err, ENOMEM, "writing the request");
	put_head(c, q, out);
	if (text)
		buf_printf(out, "Content-Length: %zu\r\n", strlen(text));
	else if (q->upload)
		buf_printf(out, "Content-Length: %" PRIu64 "\r\n", q->upload->size);
	buf_puts(out, "\r\n");
	if (text)
		buf_puts(out, text);
	free(text);
	return buf_failed(out) ? err_set(err, -EMSGSIZE, "the request is too large") : 0;
}

static int read_answer(struct conn *conn, struct response *r, struct err *err)
{
	char data[65536];

	while (!response_done(r)) {
		ssize_t n = conn_read(conn, data, sizeof data, err);
		int e;

		if (n < 0)
			return (int)n;
		if (n == 0)
			return response_end(r, err);
		e = response_feed(r, data, (size_t)n, err);
		if (e < 0)
			return e;
	}
	return 0;
}

static int send_file(struct client *c, struct conn *conn, const struct client_upload *u,
		     struct err *err)
{
	char *data = malloc(UPLOAD_PIECE);
	uint64_t sent = 0;
	int r = data ? 0 : err_errno(err, ENOMEM, "sending %s", u->name);

	while (r == 0 && sent < u->size) {
		size_t want = u->size - sent < UPLOAD_PIECE ? (size_t)(u->size - sent) : UPLOAD_PIECE;
		ssize_t n = pread(u->fd, data, want, (off_t)sent);

		if (n <= 0) {
			r = n ? err_errno(err, errno, "reading %s", u->name)
			      : err_set(err, -EIO, "%s became shorter while it was sent", u->name);
			break;
		}
		r = conn_write(conn, data, (size_t)n, err);
		sent += (uint64_t)n;
		if (r == 0 && u->sent)
			u->sent(u->ctx, sent);
		if (r == 0)
			r = client_breathe(c, err);
	}
	free(data);
	return r;
}

static int talk(struct client *c, struct conn *conn, const struct buf *head,
		const struct client_upload *upload, struct exchange *x, struct err *err)
{
	int r = conn_open(conn, c->addresses,
			  c->host.tls ? reachable_name(c->host.name) : NULL, client_wait, c, err);

	if (r == -ECANCELED)
		return r;
	if (r == -ECONNREFUSED)
		return err_set(err, r, "could not connect to %s server, run '%s serve' to start it",
			       c->cli->program, c->cli->program);
	if (r < 0)
		return err_prefix(err, "could not connect to %s server \"%s\"", c->cli->program,
				  reachable_name(c->host.name));
	r = conn_write(conn, head->data, head->len, err);
	if (r == 0 && upload)
		r = send_file(c, conn, upload, err);
	/* A server that refuses early closes its end; its answer says why. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return r;
	return read_answer(conn, &x->response, err);
}

static int exchange(struct client *c, const struct request *q, struct exchange *x,
		    struct err *err)
{
	struct buf head = BUF_INIT(LIMIT_BODY + LIMIT_HEAD);
	struct conn conn = { .fd = -1 };
	int r = put_request(c, q, &head, err);

	if (r == 0) {
		r = talk(c, &conn, &head, q->upload, x, err);
		conn_close(&conn);
	}
	buf_finish(&head);
	return r;
}

/* ---- answers ---- */

static bool is_error(const struct exchange *x)
{
	return x->response.status < 200 || x->response.status >= 300;
}

/* {"error": "..."}, and the OpenAI routes' {"error": {"message": "..."}}. */
static const char *error_member(const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");

	return json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
}

/* The sentence of an error answer; with_status: what a streaming request shows. */
static int answer_error(const struct client *c, const struct exchange *x, bool with_status,
			struct err *err)
{
	const struct response *r = &x->response;
	json_t *answer = x->text.len ? json_parse(x->text.data, x->text.len, true, NULL) : NULL;
	const char *text = answer ? error_member(answer) : x->text.data;
	int code = r->status == 404 ? -ENOENT : -EREMOTEIO;

	if (!text || !*text)
		err_set(err, code, "something went wrong, please see the %s server logs for details",
			c->cli->program);
	else if (with_status)
		err_set(err, code, "%d %s: %s", r->status, r->reason, text);
	else
		err_set(err, code, "%s", text);
	json_decref(answer);
	return code;
}

static int collect(void *ctx, const char *data, size_t len, struct err *err)
{
	struct exchange *x = ctx;

	buf_append(&x->text, data, len);
	if (buf_failed(&x->text))
		return err_set(err, -EMSGSIZE, "the server's answer is too large");
	return 0;
}

/* A request whose whole answer is *ret, one value of JSON; NULL: any will do. */
static int call(struct client *c, const struct request *q, json_t **ret, struct err *err)
{
	struct exchange x = { .text = BUF_INIT(LIMIT_BODY) };
	int r;

	response_init(&x.response, !strcmp(q->method, "HEAD"), collect, &x);
	r = exchange(c, q, &x, err);
	if (r == 0 && is_error(&x))
		r = answer_error(c, &x, false, err);
	if (r == 0 && ret) {
		*ret = json_parse(x.text.data ? x.text.data : "", x.text.len, true, err);
		r = *ret ? 0 : err_prefix(err, "the server's answer to %s", q->path);
	}
	response_finish(&x.response);
	buf_finish(&x.text);
	return r;
}

int client_call(struct client *c, const char *method, const char *path, const json_t *body,
		json_t **ret, struct err *err)
{
	const struct request q = { .method = method, .path = path, .body = body };

	return call(c, &q, ret, err);
}

int client_upload(struct client *c, const char *path, const struct client_upload *u,
		  struct err *err)
{
	const struct request q = { .method = "POST", .path = path, .upload = u };

	return call(c, &q, NULL, err);
}

static int handle_line(struct exchange *x, struct err *err)
{
	json_t *line;
	const char *error;
	int r;

	if (!x->text.len)
		return 0;
	line = json_parse(x->text.data, x->text.len, true, err);
	if (!line)
		return err_prefix(err, "the server's answer");
	error = error_member(line);
	if (error)
		r = err_set(err, -EREMOTEIO, "%s", error);
	else
		r = x->fn(x->ctx, line, err);
	json_decref(line);
	buf_consume(&x->text, x->text.len);
	return r;
}

static int split_lines(void *ctx, const char *data, size_t len, struct err *err)
{
	struct exchange *x = ctx;
	const char *end;
	int r;

	while (!is_error(x) && (end = memchr(data, '\n', len))) {
		size_t used = (size_t)(end - data);

		r = collect(x, data, used, err);
		if (r == 0)
			r = handle_line(x, err);
		if (r < 0)
			return r;
		data = end + 1;
		len -= used + 1;
	}
	return collect(x, data, len, err);
}

int client_stream(struct client *c, const char *path, const json_t *body,
		  client_line_fn fn, void *ctx, struct err *err)
{
	const struct request q = { .method = "POST", .path = path, .body = body, .lines = true };
	struct exchange x = { .text = BUF_INIT(LINE_MAX_BYTES), .fn = fn, .ctx = ctx };
	int r;

	response_init(&x.response, false, split_lines, &x);
	r = exchange(c, &q, &x, err);
	if (r == 0 && is_error(&x))
		r = answer_error(c, &x, true, err);
	else if (r == 0)
		r = handle_line(&x, err);       /* a last line may lack its newline */
	response_finish(&x.response);
	buf_finish(&x.text);
	return r;
}
