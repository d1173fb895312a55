/*
 * A client connection: plain TCP or TLS by OpenSSL. Sockets never block; whoever
 * waits does so in the caller's function, which also draws the progress and looks for
 * signals. Owns the socket and the TLS objects.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/conn.h"

static int finish_connect(struct conn *c, struct err *err)
{
	int error = 0, r;
	socklen_t len = sizeof error;

	r = c->wait(c->ctx, c->fd, POLLOUT, err);
	if (r < 0)
		return r;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	return error ? err_errno(err, error, "cannot connect") : 0;
}

static int connect_one(struct conn *c, const struct addrinfo *a, struct err *err)
{
	c->fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (c->fd < 0)
		return err_errno(err, errno, "cannot make a socket");
	if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return err_errno(err, errno, "cannot connect");
	return finish_connect(c, err);
}

static int connect_any(struct conn *c, const struct addrinfo *a, struct err *err)
{
	int r = err_set(err, -EHOSTUNREACH, "the host has no address");

	for (; a; a = a->ai_next) {
		r = connect_one(c, a, err);
		if (r == 0 || r == -ECANCELED)
			return r;
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
	}
	return r;
}

static int tls_error(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return err_set(err, -EPROTO, "%s: %s", what, reason ? reason : "the connection was closed");
}

/*
 * After an SSL call returned result <= 0: 0 when it is worth trying again, 1 when the
 * peer has closed, else the error.
 */
static int tls_again(struct conn *c, int result, const char *what, struct err *err)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return c->wait(c->ctx, c->fd, POLLIN, err);
	case SSL_ERROR_WANT_WRITE:
		return c->wait(c->ctx, c->fd, POLLOUT, err);
	case SSL_ERROR_ZERO_RETURN:
		return 1;
	default:
		return tls_error(err, what);
	}
}

static bool expect_name(SSL *ssl, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

static int tls_setup(struct conn *c, const char *name, struct err *err)
{
	c->tls = SSL_CTX_new(TLS_client_method());
	if (!c->tls || SSL_CTX_set_default_verify_paths(c->tls) != 1)
		return tls_error(err, "cannot set up TLS");
	SSL_CTX_set_verify(c->tls, SSL_VERIFY_PEER, NULL);
	c->ssl = SSL_new(c->tls);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || !expect_name(c->ssl, name))
		return tls_error(err, "cannot set up TLS");
	return 0;
}

static int tls_open(struct conn *c, const char *name, struct err *err)
{
	int r, result;

	r = tls_setup(c, name, err);
	while (r == 0) {
		result = SSL_connect(c->ssl);
		if (result == 1)
			return 0;
		r = tls_again(c, result, "TLS handshake", err);
	}
	return r < 0 ? r : tls_error(err, "TLS handshake");
}

int conn_open(struct conn *c, const struct addrinfo *addresses, const char *tls_name,
	      conn_wait_fn wait, void *ctx, struct err *err)
{
	int r;

	*c = (struct conn){ .fd = -1, .wait = wait, .ctx = ctx };
	r = connect_any(c, addresses, err);
	if (r < 0 || !tls_name)
		return r;
	return tls_open(c, tls_name, err);
}

/* Bytes written (> 0), 0 to try again, or a negative code. */
static ssize_t write_some(struct conn *c, const char *data, size_t len, struct err *err)
{
	ssize_t n;
	int r;

	if (c->ssl) {
		n = SSL_write(c->ssl, data, len < 1 << 20 ? (int)len : 1 << 20);
		if (n > 0)
			return n;
		r = tls_again(c, (int)n, "sending", err);
		return r == 1 ? err_errno(err, EPIPE, "sending") : r;
	}
	n = send(c->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return c->wait(c->ctx, c->fd, POLLOUT, err);
	return err_errno(err, errno, "sending the request");
}

int conn_write(struct conn *c, const void *data, size_t len, struct err *err)
{
	const char *at = data;

	while (len) {
		ssize_t n = write_some(c, at, len, err);

		if (n < 0)
			return (int)n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static ssize_t read_tls(struct conn *c, void *data, size_t size, struct err *err)
{
	for (;;) {
		int n = SSL_read(c->ssl, data, size < 1 << 20 ? (int)size : 1 << 20);
		int r;

		if (n > 0)
			return n;
		r = tls_again(c, n, "reading the answer", err);
		if (r != 0)
			return r == 1 ? 0 : r;
	}
}

ssize_t conn_read(struct conn *c, void *data, size_t size, struct err *err)
{
	if (c->ssl)
		return read_tls(c, data, size, err);
	for (;;) {
		ssize_t n = recv(c->fd, data, size, 0);
		int r;

		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "reading the answer");
		r = c->wait(c->ctx, c->fd, POLLIN, err);
		if (r < 0)
			return r;
	}
}

void conn_close(struct conn *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct conn){ .fd = -1 };
}
