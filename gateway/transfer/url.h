#ifndef EASEL_GATEWAY_TRANSFER_URL_H
#define EASEL_GATEWAY_TRANSFER_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Addresses of http and https. Pure functions; what is returned as text the caller frees. */

#define URL_ORIGIN_SIZE 300
#define URL_HOST_SIZE 260

/* "https://host:443", lower case, always with a port; -EINVAL for anything else. */
int url_origin(const char *url, char ret[URL_ORIGIN_SIZE], struct err *err);
/* The host, lower case, without brackets, numbers of four bytes as such; "" where there is none. */
void url_place(const char *url, char ret[URL_HOST_SIZE]);
/*
 * Whether a host, as of url_place(), is in a list as NO_PROXY has it: names, which stand for
 * what is below them too, addresses, networks ("10.0.0.0/8"), or "*".
 */
bool url_host_is_listed(const char *host, const char *list);
/* The host with its port, if one is said: "127.0.0.1:5000". "" where there is none. */
void url_host(const char *url, char *ret, size_t size);
/* Where a Location leads to: an absolute one stays byte for byte as it is. NULL: nowhere. */
char *url_resolve(const char *base, const char *location);
/* "a=b" behind a ? or an &. NULL without memory. */
char *url_add_query(const char *url, const char *query);
/* Form encoding, as Go's: letters, digits, - _ . ~ stay, a blank is a plus. */
char *url_encode(const char *text);
/* Seconds to wait by a Retry-After of seconds or a date; -1: none. now is Unix time. */
int64_t url_retry_after(const char *value, int64_t now);

#endif
