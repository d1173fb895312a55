/*
 * Opens the listening socket: names to addresses, IPv4 before IPv6, all addresses as
 * one dual-stack socket. Runs once before the loop, so it may block on a name look-up.
 */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/address.h"
#include "gateway/http_server.h"

#define BACKLOG 512

static int open_socket(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, saved;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	return -saved;
}

/* The first address of the preferred family that works, else of the other. */
static int open_any(const struct addrinfo *list, int preferred)
{
	int fd = -EADDRNOTAVAIL;

	for (int pass = 0; pass < 2; pass++)
		for (const struct addrinfo *a = list; a; a = a->ai_next) {
			if ((a->ai_family == preferred) != (pass == 0))
				continue;
			fd = open_socket(a);
			if (fd >= 0)
				return fd;
		}
	return fd;
}

/* The wording that scripts know: in lower case, as Go prints it. */
static int listen_error(struct err *err, const struct host *host, int code)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "%s", strerror(-code));
	reason[0] = (char)tolower((unsigned char)reason[0]);
	return err_set(err, code, strchr(host->name, ':') ? "listen tcp [%s]:%u: bind: %s" :
		       "listen tcp %s:%u: bind: %s", host->name, host->port, reason);
}

static void print_address(int fd, char ret[HTTP_ADDRESS_SIZE], bool *ret_loopback)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[48], port[8];

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV)) {
		snprintf(host, sizeof(host), "?");
		snprintf(port, sizeof(port), "0");
	}
	*ret_loopback = address_is_loopback(host);
	snprintf(ret, HTTP_ADDRESS_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int http_server_listen(struct http_server *s, const struct host *host,
		       char ret_address[HTTP_ADDRESS_SIZE], bool *ret_loopback, struct err *err)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list;
	bool all = !host->name[0];
	char port[8];
	int fd, r;

	snprintf(port, sizeof(port), "%u", host->port);
	r = getaddrinfo(all ? NULL : host->name, port, &hints, &list);
	if (r)
		return err_set(err, -EADDRNOTAVAIL, "listen tcp: lookup %s: %s", host->name,
			       gai_strerror(r));
	fd = open_any(list, all ? AF_INET6 : AF_INET);
	freeaddrinfo(list);
	if (fd < 0)
		return listen_error(err, host, fd);
	print_address(fd, ret_address, ret_loopback);
	http_server_attach(s, fd);
	return 0;
}
