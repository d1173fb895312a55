/*
 * HTTP requests on the event loop. Owns libcurl's multi handle, the watches on its
 * sockets and the requests under way; runs on the event loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/buf.h"
#include "common/timefmt.h"
#include "gateway/address.h"
#include "gateway/transfer/fetch.h"
#include "gateway/transfer/url.h"

#define TICK_MS 20
#define EXPECT_MS 1000L                 /* for "100 Continue", then the body is sent anyhow */
#define RECEIVE_BUFFER (256L << 10)
#define SECOND_NS INT64_C(1000000000)

struct fetch {
	TAILQ_ENTRY(fetch) link;
	struct fetcher *all;
	const struct fetch_handler *handler;
	void *owner;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *method;
	char host[URL_HOST_SIZE];       /* of url */
	bool proxied;                   /* a proxy is talked to */
	enum fetch_reach reach;
	struct buf body;
	char curl_error[CURL_ERROR_SIZE];
	struct err err;                 /* why we ended it ourselves; code 0: we did not */
	uint64_t body_size, body_sent;
	int64_t moved_ns;               /* when a byte last moved */
	bool headed, streams;           /* head() was called, and took the body */
	bool answered;                  /* the answer has begun, not only "100 Continue" */
	bool paused, throttled;         /* by the handler; by the rate */
	bool near;
	CURLcode broken;                /* it failed while it went on; the next tick ends it */
};

struct fetcher {
	struct event_base *base;
	CURLM *multi;
	struct event *timer, *tick;
	TAILQ_HEAD(fetch_list, fetch) list;
	struct fetch_limits limits;
	double credit;                  /* bytes that may move now */
	int64_t credit_ns;
};

/* ---- how fast, how long ---- */

static bool may_move(struct fetcher *x)
{
	return !x->limits.rate || x->credit > 0;
}

static void moved(struct fetch *f, size_t len)
{
	f->moved_ns = time_monotonic_ns();
	f->all->credit -= (double)len;
}

static void refill(struct fetcher *x, int64_t now_ns)
{
	double rate = (double)x->limits.rate;

	x->credit += rate * (double)(now_ns - x->credit_ns) / (double)SECOND_NS;
	if (x->credit > rate / 10)
		x->credit = rate / 10;
	x->credit_ns = now_ns;
}

static int64_t patience(const struct fetch *f)
{
	int64_t stall_ns = f->all->limits.stall_ns;

	if (f->answered || f->body_sent < f->body_size)
		return stall_ns;
	/* Whoever got gigabytes may have to look at them before answering. */
	return f->body_size ? 12 * stall_ns : 3 * stall_ns;
}

static void end(struct fetch *f, CURLcode result);

/* Whether it is over by no word of libcurl's, and how. */
static CURLcode verdict(struct fetch *f, int64_t now_ns)
{
	if (f->paused || f->throttled)
		f->moved_ns = now_ns;
	if (f->broken || now_ns - f->moved_ns <= patience(f))
		return f->broken;
	err_set(&f->err, -EIO, "%s for %.3g s", f->answered ? "no data" : "no answer",
		(double)patience(f) / (double)SECOND_NS);
	return CURLE_OPERATION_TIMEDOUT;
}

static void check_ended(struct fetcher *x, int64_t now_ns)
{
	struct fetch *f, *next;

	for (f = TAILQ_FIRST(&x->list); f; f = next) {
		CURLcode result = verdict(f, now_ns);

		next = TAILQ_NEXT(f, link);
		if (result == CURLE_OK)
			continue;
		end(f, result);
		/* Its handler may have ended others. */
		next = TAILQ_FIRST(&x->list);
	}
}

/* What was held back comes from inside, and a failure of that ends nothing by itself. */
static void resume(struct fetch *f)
{
	f->broken = curl_easy_pause(f->easy, CURLPAUSE_CONT);
}

/* Each to the end of the line, so that all get their turn. */
static void let_go_on(struct fetcher *x)
{
	struct fetch *last = TAILQ_LAST(&x->list, fetch_list), *f, *next;

	for (f = TAILQ_FIRST(&x->list); f && may_move(x); f = next) {
		next = f == last ? NULL : TAILQ_NEXT(f, link);
		if (!f->throttled || f->paused)
			continue;
		TAILQ_REMOVE(&x->list, f, link);
		TAILQ_INSERT_TAIL(&x->list, f, link);
		f->throttled = false;
		resume(f);
	}
}

static void check_done(struct fetcher *x);

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct timeval next = { .tv_usec = TICK_MS * 1000 };
	struct fetcher *x = arg;
	int64_t now_ns = time_monotonic_ns();

	(void)fd;
	(void)what;
	refill(x, now_ns);
	let_go_on(x);
	check_done(x);
	check_ended(x, now_ns);
	if (!TAILQ_EMPTY(&x->list))
		evtimer_add(x->tick, &next);
}

/* ---- libcurl on libevent ---- */

/* A handler may begin and end requests, so libcurl is asked anew each time. */
static void check_done(struct fetcher *x)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(x->multi, &left))) {
		CURLcode result = m->data.result;
		char *f;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
		end((struct fetch *)(void *)f, result);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
		     (what & EV_WRITE ? CURL_CSELECT_OUT : 0), running;
	struct fetcher *x = arg;

	curl_multi_socket_action(x->multi, fd, action, &running);
	check_done(x);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *event)
{
	short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
			       (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
	struct fetcher *x = arg;
	struct event *e = event;

	(void)easy;
	if (e)
		event_free(e);
	e = what == CURL_POLL_REMOVE ? NULL : event_new(x->base, fd, events, on_socket, x);
	curl_multi_assign(x->multi, fd, e);
	return what == CURL_POLL_REMOVE || (e && event_add(e, NULL) == 0) ? 0 : -1;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetcher *x = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(x->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	check_done(x);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct timeval after = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct fetcher *x = arg;

	(void)multi;
	if (ms < 0)
		evtimer_del(x->timer);
	else
		evtimer_add(x->timer, &after);
	return 0;
}

int fetcher_create(struct event_base *base, const struct fetch_limits *limits,
		   struct fetcher **ret, struct err *err)
{
	struct fetcher *x = calloc(1, sizeof(*x));

	if (!x || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(x);
		return err_set(err, -ENOMEM, "cannot start libcurl");
	}
	x->base = base;
	x->limits = *limits;
	x->credit_ns = time_monotonic_ns();
	TAILQ_INIT(&x->list);
	x->timer = evtimer_new(base, on_timer, x);
	x->tick = evtimer_new(base, on_tick, x);
	x->multi = curl_multi_init();
	if (!x->timer || !x->tick || !x->multi) {
		fetcher_destroy(x);
		return err_set(err, -ENOMEM, "cannot start libcurl");
	}
	curl_multi_setopt(x->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(x->multi, CURLMOPT_SOCKETDATA, x);
	curl_multi_setopt(x->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(x->multi, CURLMOPT_TIMERDATA, x);
	*ret = x;
	return 0;
}

void fetcher_destroy(struct fetcher *x)
{
	if (!x)
		return;
	if (x->multi)
		curl_multi_cleanup(x->multi);
	if (x->timer)
		event_free(x->timer);
	if (x->tick)
		event_free(x->tick);
	free(x);
	curl_global_cleanup();
}

/* ---- what libcurl asks ---- */

static bool stop(struct fetch *f, int code, const char *why)
{
	if (!f->err.code)
		err_set(&f->err, code, "%s", why);
	return false;
}

static bool call_head(struct fetch *f)
{
	if (!f->headed) {
		f->headed = true;
		f->streams = f->handler->head && f->handler->head(f->owner, f);
	}
	return f->streams;
}

static bool collect(struct fetch *f, const char *data, size_t len)
{
	buf_append(&f->body, data, len);
	return !buf_failed(&f->body) || stop(f, -EIO, "the answer is too long");
}

static size_t on_data(char *data, size_t one, size_t len, void *arg)
{
	struct fetch *f = arg;

	(void)one;
	if (!may_move(f->all)) {
		f->throttled = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (call_head(f)) {
		switch (f->handler->data(f->owner, data, len)) {
		case FETCH_PAUSE:
			f->paused = true;
			return CURL_WRITEFUNC_PAUSE;
		case FETCH_STOP:
			stop(f, -EIO, "ended early");
			return 0;
		case FETCH_ON:
			break;
		}
	} else if (!collect(f, data, len)) {
		return 0;
	}
	moved(f, len);
	return len;
}

static size_t on_header(char *data, size_t one, size_t len, void *arg)
{
	struct fetch *f = arg;

	(void)one;
	if (len > sizeof("HTTP/1.1 ") && !memcmp(data, "HTTP/", 5))
		f->answered = data[sizeof("HTTP/1.1")] != '1';
	f->moved_ns = time_monotonic_ns();
	return len;
}

static size_t on_body(char *to, size_t one, size_t max, void *arg)
{
	struct fetch *f = arg;
	ssize_t n;

	(void)one;
	if (!may_move(f->all)) {
		f->throttled = true;
		return CURL_READFUNC_PAUSE;
	}
	if (max > f->body_size - f->body_sent)
		max = f->body_size - f->body_sent;
	n = max ? f->handler->body(f->owner, f->body_sent, to, max) : 0;
	if (n < 0 || (max && !n)) {
		stop(f, -EIO, "the body cannot be read");
		return CURL_READFUNC_ABORT;
	}
	f->body_sent += (uint64_t)n;
	moved(f, (size_t)n);
	return (size_t)n;
}

/*
 * libcurl begins anew when a connection that it had used before turns out dead. Once much was
 * sent that is no use: what it was sent to, a registry's session, is lost as well.
 */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct fetch *f = arg;

	if (f->body_sent > RECEIVE_BUFFER)
		return CURL_SEEKFUNC_FAIL;
	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > f->body_size)
		return CURL_SEEKFUNC_FAIL;
	f->body_sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* What is behind a proxy is not seen: only what the address says by itself counts then. */
static bool is_near(const struct fetch *f, const char *address)
{
	if (f->proxied)
		address = f->host;
	return address_is_private(address) || !strcmp(address, "localhost");
}

/* Whether this address may be talked to. */
static bool is_allowed(struct fetch *f, const char *address)
{
	f->near = is_near(f, address);
	if (f->near && f->reach == FETCH_PUBLIC)
		return stop(f, -EPERM, "refused: a redirect to an address of this machine or its network");
	if (!f->near && f->reach == FETCH_PRIVATE)
		return stop(f, -EPERM, "refused: plain HTTP is only for this machine and its network, "
			    "or for hosts listed with \"plain\" (docs/REGISTRIES.md)");
	return true;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct fetch *f = arg;
	const struct sockaddr_in *v4 = (const void *)&a->addr;
	const struct sockaddr_in6 *v6 = (const void *)&a->addr;
	const void *address = a->family == AF_INET ? (const void *)&v4->sin_addr : &v6->sin6_addr;

	(void)purpose;
	if (!inet_ntop(a->family, address, text, sizeof(text)) || !is_allowed(f, text))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Also for connections that are used again. */
static int on_connected(void *arg, char *address, char *own, int port, int own_port)
{
	struct fetch *f = arg;

	(void)own;
	(void)port;
	(void)own_port;
	f->moved_ns = time_monotonic_ns();
	return is_allowed(f, address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- one request ---- */

static void set_body(struct fetch *f, const struct fetch_order *order)
{
	if (!order->has_body)
		return;
	curl_easy_setopt(f->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(f->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)order->body_size);
	curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, on_body);
	curl_easy_setopt(f->easy, CURLOPT_READDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(f->easy, CURLOPT_SEEKDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_UPLOAD_BUFFERSIZE, RECEIVE_BUFFER);
}

/* The first of them that is not empty, or "". */
static const char *first_variable(const char *const *names)
{
	for (; *names; names++) {
		const char *value = getenv(*names);

		if (value && *value)
			return value;
	}
	return "";
}

/* As other clients do it: HTTP_PROXY counts too, and this machine is always reached directly. */
static const char *proxy_of(const struct fetch *f)
{
	static const char *const plain[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL };
	static const char *const tls[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL };
	static const char *const none[] = { "no_proxy", "NO_PROXY", NULL };

	if (f->reach == FETCH_PRIVATE || address_is_loopback(f->host) || !strcmp(f->host, "localhost") ||
	    url_host_is_listed(f->host, first_variable(none)))
		return "";
	return first_variable(strncmp(f->url, "https:", 6) ? plain : tls);
}

/* libcurl is told all: what it finds by itself we would not know of. */
static void set_proxy(struct fetch *f)
{
	const char *proxy = proxy_of(f);

	f->proxied = *proxy;
	curl_easy_setopt(f->easy, CURLOPT_PROXY, proxy);
	curl_easy_setopt(f->easy, CURLOPT_NOPROXY, "");
}

/* Other certificates to believe, by the variable that OpenSSL's own programs read. */
static void set_certificates(struct fetch *f)
{
	const char *file = getenv("SSL_CERT_FILE");

	if (file && *file)
		curl_easy_setopt(f->easy, CURLOPT_CAINFO, file);
}

static void set_options(struct fetch *f, const struct fetch_order *order)
{
	CURL *c = f->easy;

	curl_easy_setopt(c, CURLOPT_URL, f->url);
	curl_easy_setopt(c, CURLOPT_PRIVATE, (char *)f);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	/* A resolver that hangs must not hold the loop when it is given up. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_MS);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);    /* signed addresses stay as they are */
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->curl_error);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "easel/" EASEL_VERSION);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, f->headers);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(f->all->limits.stall_ns / 1000000 * 3 / 2) + 1);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, f);
	curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(c, CURLOPT_PREREQDATA, f);
	set_body(f, order);
	if (!strcmp(f->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (strcmp(f->method, "GET"))
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->method);
	set_proxy(f);
	set_certificates(f);
}

static void fetch_free(struct fetch *f)
{
	if (f->easy)
		curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	buf_finish(&f->body);
	free(f->url);
	free(f->method);
	free(f);
}

static void detach(struct fetch *f)
{
	curl_multi_remove_handle(f->all->multi, f->easy);
	TAILQ_REMOVE(&f->all->list, f, link);
}

/* What libcurl says, as a person reads it. */
static void describe(struct fetch *f, CURLcode result)
{
	long error = 0;
	char *ip = NULL;
	int code = -EIO;

	if (f->err.code) {
		err_prefix(&f->err, "%s \"%.300s\"", f->method, f->url);
		return;
	}
	curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &error);
	curl_easy_getinfo(f->easy, CURLINFO_PRIMARY_IP, &ip);
	if (result == CURLE_COULDNT_CONNECT)
		code = -ECONNREFUSED;
	else if (result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_PEER_FAILED_VERIFICATION ||
		 result == CURLE_SSL_CONNECT_ERROR)
		code = -EHOSTUNREACH;
	if (result == CURLE_COULDNT_CONNECT && error == ECONNREFUSED)
		err_set(&f->err, code, "%s \"%.300s\": connect: connection refused", f->method, f->url);
	else
		err_set(&f->err, code, "%s \"%.300s\": %s%s", f->method, f->url,
			*f->curl_error ? f->curl_error : curl_easy_strerror(result),
			result == CURLE_SSL_CONNECT_ERROR ? " (insecure is for a registry of plain HTTP)" : "");
}

static void end(struct fetch *f, CURLcode result)
{
	bool failed = result != CURLE_OK;

	detach(f);
	if (!failed)
		call_head(f);
	else
		describe(f, result);
	f->handler->done(f->owner, f, failed ? &f->err : NULL);
	fetch_free(f);
}

int fetch_start(struct fetcher *x, const struct fetch_order *order,
		const struct fetch_handler *handler, void *owner, struct fetch **ret,
		struct err *err)
{
	struct timeval soon = { .tv_usec = TICK_MS * 1000 };
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f) {
		curl_slist_free_all(order->headers);
		return err_set(err, -ENOMEM, "out of memory");
	}
	f->all = x;
	f->handler = handler;
	f->owner = owner;
	f->headers = order->headers;
	f->reach = order->reach;
	f->body_size = order->has_body ? order->body_size : 0;
	f->moved_ns = time_monotonic_ns();
	buf_init(&f->body, FETCH_BODY_MAX);
	f->url = strdup(order->url);
	f->method = strdup(order->method);
	f->easy = curl_easy_init();
	if (!f->url || !f->method || !f->easy) {
		fetch_free(f);
		return err_set(err, -ENOMEM, "out of memory");
	}
	url_place(f->url, f->host);
	set_options(f, order);
	TAILQ_INSERT_TAIL(&x->list, f, link);
	if (curl_multi_add_handle(x->multi, f->easy) != CURLM_OK) {
		TAILQ_REMOVE(&x->list, f, link);
		fetch_free(f);
		return err_set(err, -ENOMEM, "libcurl takes no request");
	}
	if (!evtimer_pending(x->tick, NULL))
		evtimer_add(x->tick, &soon);
	*ret = f;
	return 0;
}

void fetch_cancel(struct fetch *f)
{
	if (!f)
		return;
	detach(f);
	fetch_free(f);
}

void fetch_resume(struct fetch *f)
{
	if (!f->paused)
		return;                 /* another request than the one that was paused */
	f->moved_ns = time_monotonic_ns();
	f->paused = false;
	if (!f->throttled)
		resume(f);
}

long fetch_status(const struct fetch *f)
{
	long status = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

const char *fetch_header(const struct fetch *f, const char *name)
{
	struct curl_header *h;

	return curl_easy_header(f->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

void fetch_each_header(const struct fetch *f, void (*each)(void *arg, const char *name, const char *value),
		       void *arg)
{
	struct curl_header *h = NULL;

	while ((h = curl_easy_nextheader(f->easy, CURLH_HEADER, -1, h)))
		each(arg, h->name, h->value);
}

bool fetch_is_private(const struct fetch *f)
{
	return f->near;
}

const char *fetch_body(const struct fetch *f, size_t *ret_len)
{
	if (ret_len)
		*ret_len = f->body.len;
	return f->body.data ? f->body.data : "";
}
