#ifndef EASEL_GATEWAY_MULTIPART_H
#define EASEL_GATEWAY_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/limits.h"
#include "gateway/upload.h"

/*
 * multipart/form-data (RFC 7578, 2046): the parts of a whole body, one after the other,
 * without copying their contents. Pure functions; errors are -EINVAL and say what is
 * wrong with the body.
 *
 * Lines end as the first boundary's line ends, CR LF or LF. What stands before the first
 * boundary and behind the last one is skipped. A boundary line holds nothing else but
 * blanks, so that a part may hold a longer one that begins alike. Transfer encodings and
 * the charset of a part are not looked at, as the standard and all clients have it.
 */
#define MULTIPART_NAME_SIZE 129         /* longest name and its NUL */

struct multipart {
	char *at, *end;                 /* what is not read yet */
	char mark[2 + 2 + LIMIT_BOUNDARY];      /* line end, "--", boundary */
	size_t mark_len, eol_len;
	unsigned n_parts;
	bool ended;
};

struct multipart_part {
	char name[MULTIPART_NAME_SIZE];
	bool is_file;                   /* it has a filename, even an empty one */
	struct piece body;
};

/* Whether a Content-Type is multipart/form-data; NULL is not. */
bool multipart_is_form(const char *content_type);
/* Begins to read body, which is to live on and may be NULL when len is 0. */
int multipart_begin(struct multipart *m, const char *content_type, char *body, size_t len,
		    struct err *err);
/* 1 and a part, 0 behind the last one. */
int multipart_next(struct multipart *m, struct multipart_part *ret, struct err *err);

#endif
