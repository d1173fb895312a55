/*
 * Bodies that are being received count among all that the server holds: a real server on
 * loopback with a small bound, its loop turned by hand.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/http.h"
#include "gateway/reply.h"

#define MAX_HELD 200000u
#define PATIENCE_NS INT64_C(20000000000)

struct world {
	struct event_base *base;
	struct uploads held;
	struct http_server *server;
	struct sockaddr_in address;
	unsigned n_requests;
};

static enum http_body on_head(void *ctx, struct http_request *q)
{
	(void)ctx;
	(void)q;
	return HTTP_BODY_KEEP;
}

static void on_request(void *ctx, struct http_request *q)
{
	struct world *w = ctx;

	w->n_requests++;
	http_reply_text(q, 200, "text/plain", "thanks");
}

static void on_refused(void *ctx, struct http_request *q, const struct err *err)
{
	(void)ctx;
	reply_error(q, err);
}

static void on_done(void *ctx, struct http_request *q, int status)
{
	(void)ctx;
	(void)q;
	(void)status;
}

static const struct http_handler handler = { on_head, NULL, on_request, on_refused, on_done };

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct host host = { .name = strdup("127.0.0.1") };
	char address[HTTP_ADDRESS_SIZE];
	bool loopback;
	struct err err;

	log_open("test", LOG_ERROR);
	w->base = event_base_new();
	w->held.max = MAX_HELD;
	assert_int_equal(http_server_create(w->base, &handler, w, &w->held, &w->server), 0);
	assert_int_equal(http_server_listen(w->server, &host, address, &loopback, &err), 0);
	host_finish(&host);
	w->address.sin_family = AF_INET;
	w->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	w->address.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	http_server_destroy(w->server);
	event_base_free(w->base);
	free(w);
	return 0;
}

/* A request whose body says it has length bytes, of which sent come. */
static int ask(struct world *w, const char *length, size_t sent)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *data = calloc(1, sent + 256);
	size_t n = (size_t)sprintf(data, "POST /x HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", length);
	int64_t ends_ns = time_monotonic_ns() + PATIENCE_NS;

	assert_int_equal(connect(fd, (struct sockaddr *)&w->address, sizeof(w->address)), 0);
	memset(data + n, ' ', sent);
	n += sent;
	for (size_t at = 0; at < n && time_monotonic_ns() < ends_ns;) {
		ssize_t r = send(fd, data + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		at += r > 0 ? (size_t)r : 0;
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	free(data);
	return fd;
}

static void turn_until_held(struct world *w, size_t wanted)
{
	int64_t ends_ns = time_monotonic_ns() + PATIENCE_NS;

	while (w->held.held != wanted && time_monotonic_ns() < ends_ns)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	assert_int_equal(w->held.held, wanted);
}

static void expect_answer(struct world *w, int fd, const char *wanted)
{
	int64_t ends_ns = time_monotonic_ns() + PATIENCE_NS;
	char data[64] = "";
	ssize_t n = 0;

	while (n <= 0 && time_monotonic_ns() < ends_ns) {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		n = recv(fd, data, sizeof(data) - 1, MSG_DONTWAIT);
	}
	assert_int_equal(strncmp(data, wanted, strlen(wanted)), 0);
}

static void test_received_bodies_count(void **state)
{
	struct world *w = *state;
	int first = ask(w, "Content-Length: 150000", 100000), second, third;

	turn_until_held(w, 100000);
	/* Refused by what it says, before it is sent. */
	second = ask(w, "Content-Length: 150000", 0);
	expect_answer(w, second, "HTTP/1.1 503 ");
	/* A small one is always taken. */
	third = ask(w, "Content-Length: 20", 20);
	expect_answer(w, third, "HTTP/1.1 200 ");
	turn_until_held(w, 100000);
	close(first);
	turn_until_held(w, 0);
	close(second);
	second = ask(w, "Content-Length: 150000", 150000);
	expect_answer(w, second, "HTTP/1.1 200 ");
	turn_until_held(w, 0);
	close(second);
	close(third);
}

/* Without an announced length it ends in the middle. */
static void test_chunks_count(void **state)
{
	struct world *w = *state;
	int first = ask(w, "Content-Length: 199999", 150000), second;

	turn_until_held(w, 150000);
	second = ask(w, "Transfer-Encoding: chunked\r\n\r\n30000", 100000);
	expect_answer(w, second, "HTTP/1.1 503 ");
	close(second);
	close(first);
	turn_until_held(w, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_received_bodies_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chunks_count, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
