/*
 * Unicode NFC over utf8proc's tables. utf8proc_map() orders runs of combining marks by
 * exchanging neighbours, which is quadratic in a hostile prompt; here a run is sorted
 * by counting. Stateless; any thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "common/utf8.h"
#include "runner/tokenizer/nfc.h"

enum {
	MAX_DECOMPOSED = 4,                     /* code points that one of them expands to */
	MAX_PER_BYTE = 2,                       /* the same per byte of UTF-8 */
	N_CLASSES = 256,                        /* combining classes */
};

static bool is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static unsigned combining_class(utf8proc_int32_t c)
{
	return (unsigned)utf8proc_get_property(c)->combining_class & (N_CLASSES - 1);
}

static size_t decompose(const char *text, size_t len, utf8proc_int32_t *out)
{
	size_t read = 0, n = 0;

	while (read < len) {
		uint32_t c;
		utf8proc_ssize_t k;

		read += utf8_decode(text + read, len - read, &c);
		k = utf8proc_decompose_char((utf8proc_int32_t)c, out + n, MAX_DECOMPOSED,
					    UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, NULL);
		if (k < 1 || k > MAX_DECOMPOSED) {
			out[n] = (utf8proc_int32_t)c;
			k = 1;
		}
		n += (size_t)k;
	}
	return n;
}

/* Stable order by combining class; scratch holds n. */
static void sort_run(utf8proc_int32_t *run, size_t n, utf8proc_int32_t *scratch)
{
	size_t start[N_CLASSES + 1] = { 0 };
	size_t i;

	for (i = 0; i < n; i++)
		start[combining_class(run[i]) + 1]++;
	for (i = 0; i < N_CLASSES; i++)
		start[i + 1] += start[i];
	for (i = 0; i < n; i++)
		scratch[start[combining_class(run[i])]++] = run[i];
	memcpy(run, scratch, n * sizeof *run);
}

static void order_marks(utf8proc_int32_t *c, size_t n, utf8proc_int32_t *scratch)
{
	size_t i = 0, end;

	while (i < n) {
		for (end = i; end < n && combining_class(c[end]) != 0; end++)
			;
		if (end - i > 1)
			sort_run(c + i, end - i, scratch);
		i = end + 1;
	}
}

static void append_utf8(const utf8proc_int32_t *c, size_t n, struct buf *out)
{
	size_t i;
	char bytes[4];

	for (i = 0; i < n; i++)
		buf_append(out, bytes, utf8_encode((uint32_t)c[i], bytes));
}

int nfc_append(const char *text, size_t len, struct buf *out)
{
	size_t room = len * MAX_PER_BYTE + MAX_DECOMPOSED;
	utf8proc_int32_t *c, *scratch;
	utf8proc_ssize_t composed;
	size_t n;

	if (is_ascii(text, len)) {
		buf_append(out, text, len);
		return buf_failed(out) ? -ENOMEM : 0;
	}
	c = calloc(room, sizeof *c);
	scratch = calloc(room, sizeof *scratch);
	if (!c || !scratch) {
		free(c);
		free(scratch);
		return -ENOMEM;
	}
	n = decompose(text, len, c);
	order_marks(c, n, scratch);
	composed = utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n,
					    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	append_utf8(c, composed < 0 ? n : (size_t)composed, out);
	free(c);
	free(scratch);
	return buf_failed(out) ? -ENOMEM : 0;
}
