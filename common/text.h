#ifndef EASEL_COMMON_TEXT_H
#define EASEL_COMMON_TEXT_H

#include <stdbool.h>
#include <string.h>

static inline bool text_ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && memcmp(text + len - n, end, n) == 0;
}

#endif
