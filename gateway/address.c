/*
 * What kind of address a text is: decides who may name folders on this machine and
 * which Host headers are believed. Owns nothing; runs on the event loop.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/address.h"

static bool parse_v4(const char *text, uint32_t *ret)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ret = ntohl(v4.s_addr);
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_V4MAPPED(&v6)) {
		memcpy(&v4, v6.s6_addr + 12, sizeof(v4));
		*ret = ntohl(v4.s_addr);
		return true;
	}
	return false;
}

static bool in_net(uint32_t address, uint32_t net, unsigned bits)
{
	return bits == 0 || (address ^ net) >> (32 - bits) == 0;
}

bool address_is_loopback(const char *text)
{
	struct in6_addr v6;
	uint32_t v4;

	if (parse_v4(text, &v4))
		return in_net(v4, 0x7f000000, 8);
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool address_is_private(const char *text)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} nets[] = {
		{ 0x00000000, 32 }, { 0x0a000000, 8 }, { 0x7f000000, 8 },
		{ 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0a80000, 16 },
	};
	struct in6_addr v6;
	uint32_t v4;

	if (parse_v4(text, &v4)) {
		for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
			if (in_net(v4, nets[i].net, nets[i].bits))
				return true;
		return false;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) ||
	       IN6_IS_ADDR_LINKLOCAL(&v6) || (v6.s6_addr[0] & 0xfe) == 0xfc;
}

static size_t sockaddr_size(const struct sockaddr *address)
{
	return address->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
	       address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
}

bool address_is_own(const char *text)
{
	struct ifaddrs *list;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		char own[NI_MAXHOST];
		size_t size = i->ifa_addr ? sockaddr_size(i->ifa_addr) : 0;

		found = size && !getnameinfo(i->ifa_addr, (socklen_t)size, own, sizeof(own),
					     NULL, 0, NI_NUMERICHOST) && !strcmp(own, text);
	}
	freeifaddrs(list);
	return found;
}
