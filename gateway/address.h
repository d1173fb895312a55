#ifndef EASEL_GATEWAY_ADDRESS_H
#define EASEL_GATEWAY_ADDRESS_H

#include <stdbool.h>

/* Numeric addresses as text, without brackets or port. False for anything else. */
bool address_is_loopback(const char *text);
/* Loopback, private, link-local or unspecified. */
bool address_is_private(const char *text);
/* One of this machine's interfaces has it. */
bool address_is_own(const char *text);

#endif
