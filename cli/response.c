/*
 * HTTP/1.1 answers: status line, the two headers that say how long the body is, and
 * the body by length, by chunks or until the connection ends. Owns one line of text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/response.h"
#include "common/limits.h"

void response_init(struct response *r, bool head_only,
		   int (*body)(void *ctx, const char *data, size_t len, struct err *err), void *ctx)
{
	*r = (struct response){ .head_only = head_only, .body = body, .ctx = ctx };
	buf_init(&r->line, LIMIT_HEAD);
}

void response_finish(struct response *r)
{
	buf_finish(&r->line);
}

static int bad_answer(struct err *err, const char *what)
{
	return err_set(err, -EBADMSG, "the server's answer is not HTTP: %s", what);
}

static int read_status_line(struct response *r, const char *line, struct err *err)
{
	const char *reason;

	if (strncmp(line, "HTTP/1.", 7) || strlen(line) < 12 || line[8] != ' ')
		return bad_answer(err, "bad status line");
	for (int i = 9; i < 12; i++)
		if (line[i] < '0' || line[i] > '9')
			return bad_answer(err, "bad status");
	r->status = atoi(line + 9);
	reason = line + 12 + strspn(line + 12, " ");
	strncpy(r->reason, reason, sizeof r->reason - 1);
	return 0;
}

/* Decimal or hexadecimal digits only, up to the end or a ';' (chunk extensions). */
static int read_size(const char *text, int base, uint64_t *ret, struct err *err)
{
	const char *digits = base == 10 ? "0123456789" : "0123456789abcdefABCDEF";
	size_t n = strspn(text, digits), end = n + strspn(text + n, " \t");

	if (n == 0 || n > 15 || (text[end] && text[end] != ';'))
		return bad_answer(err, "bad length");
	*ret = strtoull(text, NULL, base);
	return 0;
}

static int read_header(struct response *r, char *line, struct err *err)
{
	char *value = strchr(line, ':');

	if (!value)
		return bad_answer(err, "bad header");
	*value++ = '\0';
	value += strspn(value, " \t");
	if (!strcasecmp(line, "Transfer-Encoding")) {
		r->chunked = !strcasecmp(value, "chunked");
		return r->chunked ? 0 : bad_answer(err, "unknown transfer encoding");
	}
	if (strcasecmp(line, "Content-Length"))
		return 0;
	r->has_length = true;
	return read_size(value, 10, &r->left, err);
}

static void head_ended(struct response *r)
{
	bool interim = r->status >= 100 && r->status < 200;

	if (interim) {
		r->status = 0;
		r->chunked = r->has_length = false;
	} else if (r->head_only || r->status == 204 || r->status == 304) {
		r->part = RESPONSE_DONE;
	} else if (r->chunked) {
		r->part = RESPONSE_CHUNK_SIZE;
	} else if (!r->has_length) {
		r->part = RESPONSE_UNTIL_CLOSE;
	} else {
		r->part = r->left ? RESPONSE_FIXED : RESPONSE_DONE;
	}
}

static int head_line(struct response *r, char *line, struct err *err)
{
	if (!r->status)
		return read_status_line(r, line, err);
	if (*line)
		return read_header(r, line, err);
	head_ended(r);
	return 0;
}

static int chunk_size_line(struct response *r, const char *line, struct err *err)
{
	int e = read_size(line, 16, &r->left, err);

	if (e == 0)
		r->part = r->left ? RESPONSE_CHUNK_DATA : RESPONSE_TRAILER;
	return e;
}

static int handle_line(struct response *r, char *line, struct err *err)
{
	switch (r->part) {
	case RESPONSE_HEAD:
		return head_line(r, line, err);
	case RESPONSE_CHUNK_SIZE:
		return chunk_size_line(r, line, err);
	case RESPONSE_CHUNK_END:
		r->part = RESPONSE_CHUNK_SIZE;
		return *line ? bad_answer(err, "bad chunk") : 0;
	default:        /* the trailer: skipped up to its empty line */
		if (!*line)
			r->part = RESPONSE_DONE;
		return 0;
	}
}

/* Takes bytes of one line; *used tells how many. */
static int feed_line(struct response *r, const char *data, size_t len, size_t *used,
		     struct err *err)
{
	const char *end = memchr(data, '\n', len);
	int e;

	*used = end ? (size_t)(end - data) + 1 : len;
	buf_append(&r->line, data, *used);
	if (buf_failed(&r->line) || memchr(data, '\0', *used))
		return bad_answer(err, "head too large or damaged");
	if (!end)
		return 0;
	r->line.data[strcspn(r->line.data, "\r\n")] = '\0';
	e = handle_line(r, r->line.data, err);
	buf_consume(&r->line, r->line.len);
	return e;
}

static int feed_body(struct response *r, const char *data, size_t len, size_t *used,
		     struct err *err)
{
	int e;

	*used = r->part != RESPONSE_UNTIL_CLOSE && len > r->left ? (size_t)r->left : len;
	e = r->body(r->ctx, data, *used, err);
	if (e < 0 || r->part == RESPONSE_UNTIL_CLOSE)
		return e;
	r->left -= *used;
	if (r->left == 0)
		r->part = r->part == RESPONSE_FIXED ? RESPONSE_DONE : RESPONSE_CHUNK_END;
	return 0;
}

static bool in_body(const struct response *r)
{
	return r->part == RESPONSE_FIXED || r->part == RESPONSE_UNTIL_CLOSE ||
	       r->part == RESPONSE_CHUNK_DATA;
}

int response_feed(struct response *r, const char *data, size_t len, struct err *err)
{
	while (len && !response_done(r)) {
		size_t used;
		int e = in_body(r) ? feed_body(r, data, len, &used, err)
				   : feed_line(r, data, len, &used, err);

		if (e < 0)
			return e;
		data += used;
		len -= used;
	}
	return 0;
}

int response_end(struct response *r, struct err *err)
{
	if (response_done(r) || r->part == RESPONSE_UNTIL_CLOSE)
		return 0;
	return err_set(err, -EBADMSG, r->status ? "the server closed the connection in mid-answer"
						: "the server closed the connection without an answer");
}
