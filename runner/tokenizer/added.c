/*
 * The added tokens of a tokenizer, found by their first byte. Read-only once sorted;
 * then any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "runner/tokenizer/added.h"

struct token {
	unsigned char *bytes;
	size_t len;
	uint32_t id;
};

struct added {
	struct token *tokens;                   /* by first byte, then longest first */
	size_t n, size;
	size_t first[257];                      /* where tokens of a first byte begin */
};

struct added *added_create(void)
{
	return calloc(1, sizeof(struct added));
}

void added_free(struct added *a)
{
	size_t i;

	if (!a)
		return;
	for (i = 0; i < a->n; i++)
		free(a->tokens[i].bytes);
	free(a->tokens);
	free(a);
}

static bool reserve(struct added *a)
{
	size_t size = a->size ? a->size * 2 : 64;
	struct token *grown;

	if (a->n < a->size)
		return true;
	grown = reallocarray(a->tokens, size, sizeof *grown);
	if (!grown)
		return false;
	a->tokens = grown;
	a->size = size;
	return true;
}

bool added_add(struct added *a, const char *content, size_t len, uint32_t id)
{
	struct token t = { .len = len, .id = id };

	if (!reserve(a))
		return false;
	t.bytes = malloc(len);
	if (!t.bytes)
		return false;
	memcpy(t.bytes, content, len);
	a->tokens[a->n++] = t;
	return true;
}

static int by_first_byte_then_length(const void *a, const void *b)
{
	const struct token *x = a, *y = b;

	if (x->bytes[0] != y->bytes[0])
		return x->bytes[0] < y->bytes[0] ? -1 : 1;
	return x->len > y->len ? -1 : x->len < y->len;
}

void added_sort(struct added *a)
{
	size_t i;
	unsigned b;

	if (a->n)
		qsort(a->tokens, a->n, sizeof *a->tokens, by_first_byte_then_length);
	for (i = 0, b = 0; b < 256; b++) {
		a->first[b] = i;
		while (i < a->n && a->tokens[i].bytes[0] == b)
			i++;
	}
	a->first[256] = i;
}

uint32_t added_max_id(const struct added *a)
{
	uint32_t max = 0;
	size_t i;

	for (i = 0; i < a->n; i++)
		if (a->tokens[i].id > max)
			max = a->tokens[i].id;
	return max;
}

static const struct token *match_at(const struct added *a, const char *text, size_t len)
{
	unsigned char b = (unsigned char)text[0];
	size_t i;

	for (i = a->first[b]; i < a->first[b + 1]; i++) {
		const struct token *t = &a->tokens[i];

		if (t->len <= len && !memcmp(t->bytes, text, t->len))
			return t;
	}
	return NULL;
}

bool added_find(const struct added *a, const char *text, size_t len, size_t from,
		size_t *ret_at, size_t *ret_len, uint32_t *ret_id)
{
	size_t at;

	for (at = from; at < len; at++) {
		const struct token *t = match_at(a, text + at, len - at);

		if (t) {
			*ret_at = at;
			*ret_len = t->len;
			*ret_id = t->id;
			return true;
		}
	}
	return false;
}
