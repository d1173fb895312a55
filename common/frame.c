/*
 * Frames out of a byte stream. Owns its buffer; one thread.
 */
#include <errno.h>

#include "common/frame.h"
#include "common/limits.h"

/* A buffer that held a picture is not kept for small messages. */
#define KEEP_BYTES (1u << 20)

void frame_reader_init(struct frame_reader *r)
{
	*r = (struct frame_reader){ .consumed = 0 };
	buf_init(&r->in, (size_t)LIMIT_IMAGE + LIMIT_FRAME);
}

void frame_reader_finish(struct frame_reader *r)
{
	buf_finish(&r->in);
	r->consumed = 0;
}

int frame_reader_feed(struct frame_reader *r, const void *data, size_t len, struct err *err)
{
	/* What next() handed out is dropped here, once per read rather than once per frame. */
	buf_consume(&r->in, r->consumed);
	r->consumed = 0;
	if (!r->in.len && r->in.size > KEEP_BYTES)
		buf_finish(&r->in);
	buf_append(&r->in, data, len);
	if (buf_failed(&r->in))
		return err_set(err, -EMSGSIZE, "more than %zu bytes are waiting", r->in.max);
	return 0;
}

static uint32_t bound_of(enum frame_kind kind)
{
	return kind == FRAME_JSON ? LIMIT_FRAME : kind == FRAME_BINARY ? LIMIT_IMAGE : 0;
}

int frame_reader_next(struct frame_reader *r, struct frame *ret, struct err *err)
{
	size_t have = r->in.len - r->consumed;
	const unsigned char *head;
	uint32_t len, bound;

	if (have < FRAME_HEADER)
		return 0;
	head = (const unsigned char *)r->in.data + r->consumed;
	len = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
	bound = bound_of((enum frame_kind)head[4]);
	if (!bound)
		return err_set(err, -EBADMSG, "frame of unknown kind 0x%02x", head[4]);
	if (len > bound)
		return err_set(err, -EBADMSG, "frame of %u bytes is above the limit of %u", len, bound);
	if (have - FRAME_HEADER < len)
		return 0;
	*ret = (struct frame){
		.kind = (enum frame_kind)head[4],
		.data = r->in.data + r->consumed + FRAME_HEADER,
		.len = len,
	};
	r->consumed += FRAME_HEADER + len;
	return 1;
}

void frame_header(enum frame_kind kind, uint32_t len, unsigned char ret[FRAME_HEADER])
{
	for (int i = 0; i < 4; i++)
		ret[i] = (unsigned char)(len >> 8 * i);
	ret[4] = (unsigned char)kind;
}
