#ifndef EASEL_CLI_RESPONSE_H
#define EASEL_CLI_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum response_part {
	RESPONSE_HEAD, RESPONSE_FIXED, RESPONSE_UNTIL_CLOSE, RESPONSE_CHUNK_SIZE,
	RESPONSE_CHUNK_DATA, RESPONSE_CHUNK_END, RESPONSE_TRAILER, RESPONSE_DONE,
};

/*
 * Reads one HTTP/1.1 answer out of bytes as they come; does no I/O itself. body gets
 * the decoded bytes; status and reason are set before its first call.
 */
struct response {
	bool head_only;                 /* answer to HEAD: no body whatever the head says */
	int (*body)(void *ctx, const char *data, size_t len, struct err *err);
	void *ctx;

	int status;                     /* 200 */
	char reason[64];                /* "Bad Request" */

	enum response_part part;
	uint64_t left;                  /* bytes of this body or chunk */
	bool chunked, has_length;
	struct buf line;
};

void response_init(struct response *r, bool head_only,
		   int (*body)(void *ctx, const char *data, size_t len, struct err *err), void *ctx);
void response_finish(struct response *r);
/* 0, -EBADMSG for what is no HTTP answer, or the code that body returned. */
int response_feed(struct response *r, const char *data, size_t len, struct err *err);
/* The connection ended: 0 when the answer is complete, else -EBADMSG. */
int response_end(struct response *r, struct err *err);
static inline bool response_done(const struct response *r) { return r->part == RESPONSE_DONE; }

#endif
