#ifndef EASEL_COMMON_FRAME_H
#define EASEL_COMMON_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/*
 * Frames on the socket between gateway and runner: u32 little-endian length of the
 * payload, one byte kind, payload. Does no I/O. JSON is bounded by LIMIT_FRAME,
 * binary by LIMIT_IMAGE, both before anything is allocated.
 */
enum frame_kind { FRAME_JSON = 'J', FRAME_BINARY = 'B' };
#define FRAME_HEADER 5

struct frame {
	enum frame_kind kind;
	const char *data;               /* inside the reader; valid until the next call */
	size_t len;
};

struct frame_reader {
	struct buf in;
	size_t consumed;                /* the frame handed out last */
};

void frame_reader_init(struct frame_reader *r);
void frame_reader_finish(struct frame_reader *r);
/* Adds received bytes; -EMSGSIZE or -ENOMEM. */
int frame_reader_feed(struct frame_reader *r, const void *data, size_t len, struct err *err);
/* 1 and a frame, 0 when more bytes are needed, -EBADMSG for an unknown kind or length over the bound. */
int frame_reader_next(struct frame_reader *r, struct frame *ret, struct err *err);
/* The FRAME_HEADER bytes in front of a payload of len bytes. */
void frame_header(enum frame_kind kind, uint32_t len, unsigned char ret[FRAME_HEADER]);

#endif
