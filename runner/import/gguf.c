/*
 * GGUF headers, checked: every count and length against what the file holds, and the limits
 * of common/limits.h. Owns its list; any thread.
 */
#include "runner/import/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

enum { ALIGNMENT = 32, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9, TYPE_U32 = 4 };

struct reader {
	const unsigned char *at, *end;
	bool bad;                       /* ran out: what was read is zero */
};

struct text {
	const char *bytes;              /* not terminated */
	size_t len;
};

/* ---- pieces ---- */

static const unsigned char *take(struct reader *r, uint64_t n)
{
	const unsigned char *at = r->at;

	if (r->bad || n > (uint64_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	return at;
}

static uint64_t number(struct reader *r, unsigned bytes)
{
	const unsigned char *p = take(r, bytes);
	uint64_t n = 0;

	for (unsigned i = bytes; p && i-- > 0; )
		n = n << 8 | p[i];
	return n;
}

static struct text string(struct reader *r)
{
	const uint64_t len = number(r, 8);
	const unsigned char *p = take(r, len);

	return (struct text){ (const char *)p, p ? (size_t)len : 0 };
}

static bool text_is(struct text t, const char *want)
{
	return t.len == strlen(want) && !memcmp(t.bytes, want, t.len);
}

/* ---- metadata ---- */

/* Bytes of a value of a type that has a size; 0: none. */
static unsigned value_bytes(uint64_t type)
{
	static const unsigned char sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

	return type < sizeof sizes ? sizes[type] : 0;
}

static void skip_array(struct reader *r)
{
	const uint64_t type = number(r, 4), n = number(r, 8);
	const unsigned bytes = value_bytes(type);

	/* Every item takes a byte at least; arrays of arrays are nobody's. */
	if ((!bytes && type != TYPE_STRING) || n > (uint64_t)(r->end - r->at))
		r->bad = true;
	else if (bytes)
		take(r, n * bytes);
	for (uint64_t i = 0; type == TYPE_STRING && i < n && !r->bad; i++)
		string(r);
}

static void read_value(struct reader *r, struct text key, uint32_t *alignment)
{
	const uint64_t type = number(r, 4);

	if (type == TYPE_STRING)
		string(r);
	else if (type == TYPE_ARRAY)
		skip_array(r);
	else if (type == TYPE_U32 && text_is(key, "general.alignment"))
		*alignment = (uint32_t)number(r, 4);
	else if (value_bytes(type))
		take(r, value_bytes(type));
	else
		r->bad = true;
}

/* ---- tensors ---- */

static int read_type(uint64_t type, struct gguf_tensor *t, struct err *err)
{
	static const struct {
		unsigned type;
		enum dtype dtype;
		enum quant_format format;
	} types[] = {
		{ 0, DTYPE_F32, QUANT_NONE }, { 1, DTYPE_F16, QUANT_NONE }, { 30, DTYPE_BF16, QUANT_NONE },
		{ 2, DTYPE_U8, QUANT_Q4_0 }, { 8, DTYPE_U8, QUANT_Q8_0 }, { 12, DTYPE_U8, QUANT_Q4_K },
		{ 13, DTYPE_U8, QUANT_Q5_K }, { 14, DTYPE_U8, QUANT_Q6_K },
	};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type) {
			t->dtype = types[i].dtype;
			t->quant.format = types[i].format;
			return 0;
		}
	return err_set(err, -EINVAL, "tensor %s is stored as type %" PRIu64 ": only F32, F16, BF16, Q8_0, Q4_0, Q4_K, "
		       "Q5_K and Q6_K are supported", t->name, type);
}

/* bytes, from the shape. */
static int measure(struct gguf_tensor *t, struct err *err)
{
	const struct quant_form *f = &quant_forms[t->quant.format];
	const uint64_t cols = t->rank ? t->shape[t->rank - 1] : 1;
	uint64_t bytes = dtype_size(t->dtype);

	if (t->quant.format != QUANT_NONE) {
		if (t->rank == 0 || cols % f->block)
			return err_set(err, -EBADMSG, "tensor %s: rows of %" PRIu64 " are no whole blocks of %s", t->name,
				       cols, f->name);
		bytes = f->block_bytes;
	}
	for (unsigned i = 0; i < t->rank; i++) {
		const uint64_t n = i + 1 == t->rank && t->quant.format ? cols / f->block : t->shape[i];

		if (t->shape[i] == 0 || __builtin_mul_overflow(bytes, n, &bytes))
			return err_set(err, -EBADMSG, "tensor %s: impossible shape", t->name);
	}
	t->bytes = bytes;
	return 0;
}

static int read_tensor(struct reader *r, struct gguf_tensor *t, struct err *err)
{
	const struct text name = string(r);
	const uint64_t rank = number(r, 4);
	uint64_t type;
	int code;

	if (r->bad || name.len == 0 || name.len > LIMIT_GGUF_NAME || memchr(name.bytes, 0, name.len) || rank > GGUF_RANK)
		return err_set(err, -EBADMSG, "a tensor's name or rank is impossible, or the file is truncated");
	t->name = strndup(name.bytes, name.len);
	if (!t->name)
		return err_set(err, -ENOMEM, "out of memory");
	t->rank = (unsigned)rank;
	for (unsigned i = t->rank; i-- > 0; )
		t->shape[i] = number(r, 8);
	type = number(r, 4);
	t->at = number(r, 8);
	if (r->bad)
		return err_set(err, -EBADMSG, "the file is truncated in the list of tensors");
	code = read_type(type, t, err);
	return code < 0 ? code : measure(t, err);
}

/* at, from the file's start; inside of it. */
static int place(struct gguf *g, uint64_t start, uint64_t file_size, struct err *err)
{
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct gguf_tensor *t = &g->tensors[i];

		if (__builtin_add_overflow(t->at, start, &t->at) || t->at > file_size || t->bytes > file_size - t->at)
			return err_set(err, -EBADMSG, "tensor %s: its data lies beyond the file's end (truncated?)", t->name);
	}
	return 0;
}

static int read_all(struct reader *r, const unsigned char *begin, uint64_t file_size, struct gguf *g, struct err *err)
{
	const unsigned char *magic = take(r, 4);
	const uint64_t version = number(r, 4), n_tensors = number(r, 8), n_values = number(r, 8);
	uint32_t alignment = ALIGNMENT;
	int code = 0;

	if (!magic || memcmp(magic, "GGUF", 4) || r->bad)
		return err_set(err, -EBADMSG, "not a GGUF file");
	if (version != 2 && version != 3)
		return err_set(err, -EBADMSG, "GGUF version %" PRIu64 " is not read", version);
	if (n_tensors > LIMIT_GGUF_TENSORS || n_values > LIMIT_GGUF_VALUES)
		return err_set(err, -EBADMSG, "%" PRIu64 " tensors and %" PRIu64 " values are too many", n_tensors, n_values);
	for (uint64_t i = 0; i < n_values && !r->bad; i++)
		read_value(r, string(r), &alignment);
	if (r->bad || !alignment || (alignment & (alignment - 1)))
		return err_set(err, -EBADMSG, "the metadata is damaged or truncated");
	g->tensors = calloc(n_tensors + 1, sizeof *g->tensors);
	if (!g->tensors)
		return err_set(err, -ENOMEM, "out of memory");
	while (g->n_tensors < n_tensors && code == 0)
		code = read_tensor(r, &g->tensors[g->n_tensors++], err);
	if (code < 0)
		return code;
	return place(g, ((uint64_t)(r->at - begin) + alignment - 1) / alignment * alignment, file_size, err);
}

int gguf_parse(const void *data, size_t len, uint64_t file_size, struct gguf *ret, struct err *err)
{
	struct reader r = { .at = data, .end = (const unsigned char *)data + len };
	int code;

	*ret = (struct gguf){ 0 };
	code = read_all(&r, data, file_size, ret, err);
	if (code < 0)
		gguf_finish(ret);
	return code;
}

void gguf_finish(struct gguf *g)
{
	for (size_t i = 0; i < g->n_tensors; i++)
		free(g->tensors[i].name);
	free(g->tensors);
	*g = (struct gguf){ 0 };
}
