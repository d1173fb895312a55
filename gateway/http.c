/*
 * The reading half of HTTP: connections, and requests out of them by http-parser.
 * Owns every connection; runs on the event loop. Reading goes on while a request is
 * being answered, so that a client that leaves is noticed; what it pipelines meanwhile
 * stays in the input buffer up to a watermark.
 */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/address.h"
#include "gateway/http_server.h"
#include "gateway/sched.h"

#define INPUT_MAX (64u << 10)           /* unparsed bytes held per connection */
#define OUTPUT_MAX (1u << 20)           /* more unsent than this: no further request is read */
#define IDLE_S 120                      /* silence while a request is awaited or read */
#define STALL_NS (300 * INT64_C(1000000000))    /* a client that takes nothing of its answer */
#define STREAM_UNSENT 1024              /* bytes of lines that the kernel may hold back */
#define LINGER_S 2
#define LINGER_MAX (128u << 20)         /* bytes dropped so that the answer is not reset */

/* ---- life of a connection ---- */

static void uncount_body(struct http_conn *c)
{
	c->server->held->held -= c->held;
	c->held = 0;
}

static void request_clear(struct http_conn *c)
{
	uncount_body(c);
	buf_finish(&c->url);
	buf_finish(&c->head);
	buf_finish(&c->body);
	buf_finish(&c->reply_head);
	free((char *)(uintptr_t)c->q.path);
	c->q = (struct http_request){ 0 };
}

static void request_reset(struct http_conn *c)
{
	char peer[HTTP_ADDRESS_SIZE];
	bool local = c->q.peer_local;

	memcpy(peer, c->q.peer, sizeof(peer));
	request_clear(c);
	memcpy(c->q.peer, peer, sizeof(peer));
	c->q.peer_local = local;
	buf_init(&c->url, LIMIT_HEAD + 1);
	buf_init(&c->head, 2 * LIMIT_HEAD);
	buf_init(&c->body, LIMIT_BODY + 1);
	buf_init(&c->reply_head, LIMIT_HEAD);
	c->in_value = c->head_done = c->complete = c->early = c->chunked = false;
	c->keep_alive = true;
	c->body_mode = HTTP_BODY_DROP;
	c->refused = (struct err){ 0 };
	c->status = 0;
	c->gone = NULL;
}

static void conn_free(struct http_conn *c)
{
	LIST_REMOVE(c, link);
	c->server->n_conns--;
	request_clear(c);
	bufferevent_free(c->bev);
	free(c);
}

static void set_silence(struct http_conn *c, int read_s)
{
	struct timeval in = { .tv_sec = read_s }, out = {
		.tv_sec = c->patience_ns / 1000000000, .tv_usec = c->patience_ns % 1000000000 / 1000,
	};

	bufferevent_set_timeouts(c->bev, read_s ? &in : NULL, &out);
}

/* The life of the request ends; its owner must not touch it any more. */
static void request_done(struct http_conn *c, int status)
{
	const struct http_handler *h = c->server->handler;

	if (c->head_done)
		h->done(c->server->ctx, &c->q, status);
	c->gone = NULL;
}

/* The client is gone, or nobody is to be served any more. */
static void conn_drop(struct http_conn *c)
{
	void (*gone)(void *) = c->gone;

	c->gone = NULL;
	if (c->state == CONN_ANSWERING && gone)
		gone(c->owner);
	if (c->state == CONN_ANSWERING || c->state == CONN_READING)
		request_done(c, 499);
	conn_free(c);
}

/* ---- answering ---- */

void conn_answered(struct http_conn *c)
{
	request_done(c, c->status);
	if (!c->keep_alive) {
		c->state = CONN_FLUSHING;
		return;
	}
	request_reset(c);
	c->state = CONN_READING;
	http_parser_pause(&c->parser, 0);
	set_silence(c, IDLE_S);
	/* What was pipelined is parsed from the loop, never from inside a handler. */
	if (!c->parsing)
		bufferevent_trigger(c->bev, EV_READ,
				    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static void make_id(char ret[HTTP_ID_SIZE])
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t)time_monotonic_ns();
	snprintf(ret, HTTP_ID_SIZE, "%016llx", (unsigned long long)random);
}

static void conn_refuse(struct http_conn *c, int code, const char *text)
{
	const struct http_handler *h = c->server->handler;

	err_set(&c->refused, code, "%s", text);
	c->keep_alive = false;
	c->state = CONN_ANSWERING;
	if (c->head_done) {
		h->refused(c->server->ctx, &c->q, &c->refused);
		return;
	}
	/* No head, no dialect. */
	c->q.method = "";
	if (!*c->q.id)
		make_id(c->q.id);
	http_reply_text(&c->q, code == -E2BIG ? 431 : 400, "text/plain; charset=utf-8", text);
}

static void conn_dispatch(struct http_conn *c)
{
	const struct http_handler *h = c->server->handler;

	c->q.body = c->body.data ? c->body.data : "";
	c->q.body_len = c->body.len;
	c->state = CONN_ANSWERING;
	set_silence(c, 0);
	h->request(c->server->ctx, &c->q);
}

/* ---- parser callbacks ---- */

static struct http_conn *conn_of_parser(http_parser *p)
{
	return p->data;
}

static int on_begin(http_parser *p)
{
	conn_of_parser(p)->q.began_ns = time_monotonic_ns();
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
	buf_append(&conn_of_parser(p)->url, at, len);
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of_parser(p);

	if (c->in_value)
		buf_append(&c->head, "", 1);
	c->in_value = false;
	buf_append(&c->head, at, len);
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of_parser(p);

	/* Chunk trailers come after the head was read and mean nothing here. */
	if (!c->in_value)
		buf_append(&c->head, "", 1);
	c->in_value = true;
	buf_append(&c->head, at, len);
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX; NULL for a bad escape, a NUL, or without memory. */
static char *decode_path(const char *text)
{
	char *ret = malloc(strlen(text) + 1), *out = ret;

	if (!ret)
		return NULL;
	for (; *text; text++) {
		int high, low;

		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		high = hex_value(text[1]);
		low = high < 0 ? -1 : hex_value(text[2]);
		if (low < 0 || high * 16 + low == 0) {
			free(ret);
			return NULL;
		}
		*out++ = (char)(high * 16 + low);
		text += 2;
	}
	*out = '\0';
	return ret;
}

/* "/path?query", "http://host/path", "*" -> target, query, path. */
static int split_url(struct http_conn *c)
{
	char *url = c->url.data, *query;

	if (buf_failed(&c->url) || !url)
		return -1;
	if (!strncasecmp(url, "http://", 7)) {
		url = strchr(url + 7, '/');
		if (!url)
			return -1;
	}
	query = strpbrk(url, "?#");
	c->q.query = query && *query == '?' ? query + 1 : "";
	if (query)
		*query = '\0';
	c->q.target = url;
	c->q.path = decode_path(url);
	return c->q.path ? 0 : -1;
}

static bool sane_id(const char *text)
{
	size_t len = strlen(text);

	return len && len < HTTP_ID_SIZE &&
	       strspn(text,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static void choose_id(struct http_request *q)
{
	const char *given = http_header(q, "X-Request-Id");

	if (given && sane_id(given))
		snprintf(q->id, sizeof(q->id), "%s", given);
	else
		make_id(q->id);
}

static bool expects_continue(const struct http_conn *c)
{
	const char *expect = http_header(&c->q, "Expect");

	return expect && !strcasecmp(expect, "100-continue") && c->parser.http_minor >= 1;
}

static bool announces_too_much(const http_parser *p)
{
	return p->content_length != UINT64_MAX && p->content_length > LIMIT_BODY;
}

static bool announces_body(const http_parser *p)
{
	return p->flags & F_CHUNKED || (p->content_length && p->content_length != UINT64_MAX);
}

static int head_error(struct http_conn *c, int code, const char *text)
{
	err_set(&c->refused, code, "%s", text);
	return -1;
}

static int on_head(http_parser *p)
{
	struct http_conn *c = conn_of_parser(p);

	buf_append(&c->head, "", 1);
	p->upgrade = 0;                 /* an offer that is not taken */
	c->keep_alive = http_should_keep_alive(p);
	c->q.method = http_method_str((enum http_method)p->method);
	c->q.body = "";
	choose_id(&c->q);
	if (p->http_major != 1)
		return head_error(c, -EPROTONOSUPPORT, "HTTP version not supported");
	if (buf_failed(&c->head))
		return head_error(c, -E2BIG, "431 Request Header Fields Too Large");
	if (split_url(c) < 0)
		return head_error(c, -EINVAL, "400 Bad Request");
	c->head_done = true;
	c->body_mode = c->server->handler->head(c->server->ctx, &c->q);
	if (c->body_mode == HTTP_BODY_KEEP && announces_too_much(p))
		return head_error(c, -EMSGSIZE, "http: request body too large");
	if (c->body_mode == HTTP_BODY_KEEP && announces_body(p) && !(p->flags & F_CHUNKED) &&
	    !uploads_have_room(c->server->held, 0, p->content_length))
		return sched_busy(&c->refused);
	if (!expects_continue(c))
		return 0;
	/* A body that nobody wants need not be sent at all. */
	c->early = c->body_mode == HTTP_BODY_DROP && announces_body(p);
	if (!c->early)
		evbuffer_add_printf(bufferevent_get_output(c->bev),
				    "HTTP/1.1 100 Continue\r\n\r\n");
	return c->early ? -1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
	struct http_conn *c = conn_of_parser(p);

	if (c->body_mode == HTTP_BODY_DROP)
		return 0;
	if (c->body_mode == HTTP_BODY_STREAM)
		return c->server->handler->body(c->server->ctx, &c->q, at, len, &c->refused);
	if (c->body.len + len > LIMIT_BODY)
		return head_error(c, -EMSGSIZE, "http: request body too large");
	if (!uploads_have_room(c->server->held, c->held, len))
		return sched_busy(&c->refused);
	c->held += len;
	c->server->held->held += len;
	buf_append(&c->body, at, len);
	return buf_failed(&c->body) ? head_error(c, -ENOMEM, "out of memory") : 0;
}

static int on_complete(http_parser *p)
{
	conn_of_parser(p)->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings parser_settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- reading ---- */

static void conn_bad(struct http_conn *c)
{
	enum http_errno e = HTTP_PARSER_ERRNO(&c->parser);

	if (c->refused.code) {
		struct err err = c->refused;

		conn_refuse(c, err.code, err.text);
	} else if (e == HPE_HEADER_OVERFLOW) {
		conn_refuse(c, -E2BIG, "431 Request Header Fields Too Large");
	} else {
		conn_refuse(c, -EINVAL, "400 Bad Request");
	}
}

/* Parses one contiguous piece of input; false when no more should be parsed now. */
static bool conn_parse_piece(struct http_conn *c, struct evbuffer *in)
{
	struct evbuffer_iovec piece;
	size_t used;

	if (evbuffer_peek(in, -1, NULL, &piece, 1) < 1)
		return false;
	used = http_parser_execute(&c->parser, &parser_settings, piece.iov_base, piece.iov_len);
	evbuffer_drain(in, used);
	if (c->complete || c->early)
		conn_dispatch(c);
	else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK)
		conn_bad(c);
	return true;
}

/* A client that pipelines but takes no answers must not fill the memory with them. */
static bool is_crowded(const struct http_conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev)) > OUTPUT_MAX;
}

static void conn_parse(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (c->parsing)
		return;
	c->parsing = true;
	while (c->state == CONN_READING && evbuffer_get_length(in) && !is_crowded(c))
		if (!conn_parse_piece(c, in))
			break;
	c->parsing = false;
}

static void conn_drop_input(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->lingered += evbuffer_get_length(in);
	evbuffer_drain(in, evbuffer_get_length(in));
	if (c->lingered > LINGER_MAX)
		conn_free(c);
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	(void)bev;
	if (c->state == CONN_READING)
		conn_parse(c);
	if (c->state == CONN_FLUSHING || c->state == CONN_LINGERING)
		conn_drop_input(c);
}

/* A connection that is ending has sent all: stops sending, then waits a little. */
static void conn_linger(struct http_conn *c)
{
	c->state = CONN_LINGERING;
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	set_silence(c, LINGER_S);
	bufferevent_enable(c->bev, EV_READ);
	conn_drop_input(c);
}

/* The output is empty. */
static void on_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	(void)bev;
	if (c->state == CONN_READING)
		conn_parse(c);          /* what waited because it was crowded */
	else if (c->state == CONN_FLUSHING)
		conn_linger(c);
}

static void on_ended(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;
	bool unsent = evbuffer_get_length(bufferevent_get_output(bev)) > 0;

	/* Silence while a long answer is on its way; libevent has stopped reading. */
	if ((what & BEV_EVENT_TIMEOUT) && (what & BEV_EVENT_READING) && unsent) {
		bufferevent_enable(bev, EV_READ);
		return;
	}
	/* A client may end its side early and still read what it was answered. */
	if ((what & BEV_EVENT_EOF) && unsent && c->state != CONN_ANSWERING) {
		c->state = CONN_FLUSHING;
		return;
	}
	conn_drop(c);
}

/* ---- the server ---- */

static void read_peer(struct http_conn *c, const struct sockaddr *address, int len)
{
	char *text = c->q.peer;

	if (getnameinfo(address, (socklen_t)len, text, HTTP_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST))
		snprintf(text, HTTP_ADDRESS_SIZE, "?");
	if (!strncmp(text, "::ffff:", 7))
		memmove(text, text + 7, strlen(text + 7) + 1);
	c->q.peer_local = address_is_loopback(text);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
		      struct sockaddr *address, int len, void *arg)
{
	struct http_server *s = arg;
	struct http_conn *c = calloc(1, sizeof(*c));
	int on = 1;

	(void)listener;
	/* A step's line must not wait for the client's word on the one before. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c)
		c->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->bev) {
		free(c);
		evutil_closesocket(fd);
		return;
	}
	c->server = s;
	c->patience_ns = STALL_NS;
	LIST_INSERT_HEAD(&s->conns, c, link);
	s->n_conns++;
	read_peer(c, address, len);
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	request_reset(c);
	set_silence(c, IDLE_S);
	bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_setcb(c->bev, on_readable, on_written, on_ended, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(s->listener);
}

/* Out of descriptors: the listener would fire again at once, so it rests. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct http_server *s = arg;
	struct timeval rest = { .tv_usec = 100000 };

	log_warn("cannot accept a connection: %s",
		 evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
	evconnlistener_disable(listener);
	evtimer_add(s->accept_retry, &rest);
}

int http_server_create(struct event_base *base, const struct http_handler *handler, void *ctx,
		       struct uploads *held, struct http_server **ret)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->handler = handler;
	s->ctx = ctx;
	s->held = held;
	LIST_INIT(&s->conns);
	s->accept_retry = evtimer_new(base, on_accept_retry, s);
	if (!s->accept_retry) {
		free(s);
		return -ENOMEM;
	}
	http_parser_set_max_header_size(LIMIT_HEAD);
	*ret = s;
	return 0;
}

void http_server_destroy(struct http_server *s)
{
	struct http_conn *c;

	if (!s)
		return;
	if (s->listener)
		evconnlistener_free(s->listener);
	while ((c = LIST_FIRST(&s->conns)))
		conn_drop(c);
	event_free(s->accept_retry);
	free(s);
}

size_t http_connections(const struct http_server *s)
{
	return s->n_conns;
}

void http_server_attach(struct http_server *s, evutil_socket_t fd)
{
	s->listener = evconnlistener_new(s->base, on_accept, s,
					 LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, fd);
	evconnlistener_set_error_cb(s->listener, on_accept_error);
}

const char *http_header(const struct http_request *q, const char *name)
{
	const struct buf *head = &conn_of(q)->head;
	const char *at = head->data, *end = head->data + head->len;

	while (at && at < end) {
		const char *value = at + strlen(at) + 1;

		if (value >= end)
			break;
		if (!strcasecmp(at, name))
			return value;
		at = value + strlen(value) + 1;
	}
	return NULL;
}

struct upload *http_take_body(struct http_request *q)
{
	struct http_conn *c = conn_of(q);
	size_t len;
	char *data = buf_take(&c->body, &len);

	q->body = "";
	q->body_len = 0;
	uncount_body(c);
	return data ? upload_create(c->server->held, data, len) : NULL;
}

void http_set_patience(struct http_request *q, int64_t ns)
{
	struct http_conn *c = conn_of(q);
	int unsent = STREAM_UNSENT;

	/* Where that fails the kernel takes more, and it shows later. */
	setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	c->patience_ns = ns;
	set_silence(c, 0);
}

void http_on_gone(struct http_request *q, void (*gone)(void *owner), void *owner)
{
	struct http_conn *c = conn_of(q);

	c->gone = gone;
	c->owner = owner;
}
