#ifndef EASEL_CLI_CONN_H
#define EASEL_CLI_CONN_H

#include <netdb.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

/*
 * Called instead of blocking: returns 0 when fd is ready for events (poll's), or a
 * negative code that ends the call that waited.
 */
typedef int (*conn_wait_fn)(void *ctx, int fd, short events, struct err *err);

/* One TCP connection, with TLS on top or not. */
struct conn {
	int fd;
	SSL_CTX *tls;
	SSL *ssl;
	conn_wait_fn wait;
	void *ctx;
};

/*
 * Connects to the first address that answers. tls_name is the name that the
 * certificate must be for, NULL for plain HTTP. -ECONNREFUSED when nobody listens.
 * conn_close() in any case.
 */
int conn_open(struct conn *c, const struct addrinfo *addresses, const char *tls_name,
	      conn_wait_fn wait, void *ctx, struct err *err);
int conn_write(struct conn *c, const void *data, size_t len, struct err *err);  /* all of it */
ssize_t conn_read(struct conn *c, void *data, size_t size, struct err *err);    /* 0: the end */
void conn_close(struct conn *c);

#endif
