/*
 * The vocabulary: a hash table from byte strings to ids, and the alphabet by which
 * byte-level BPE files write bytes as printable characters. Read-only once built; then
 * any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "runner/tokenizer/vocab.h"

struct entry {
	char *bytes;                            /* NULL: free slot */
	size_t len;
	uint32_t hash, id;
};

struct vocab {
	struct entry *slots;
	size_t n_slots, n_used;                 /* n_slots is a power of two */
	uint32_t max_id;
};

static uint32_t hash_bytes(const unsigned char *p, size_t len)
{
	uint32_t h = 2166136261u;               /* FNV-1a */

	while (len--)
		h = (h ^ *p++) * 16777619u;
	return h ^ (h >> 15);
}

struct vocab *vocab_create(size_t n_expected)
{
	struct vocab *v = calloc(1, sizeof *v);

	if (!v)
		return NULL;
	v->n_slots = 64;
	while (v->n_slots / 2 < n_expected)
		v->n_slots *= 2;
	v->slots = calloc(v->n_slots, sizeof *v->slots);
	if (!v->slots) {
		free(v);
		return NULL;
	}
	return v;
}

void vocab_free(struct vocab *v)
{
	size_t i;

	if (!v)
		return;
	for (i = 0; i < v->n_slots; i++)
		free(v->slots[i].bytes);
	free(v->slots);
	free(v);
}

/* The slot that holds the bytes, or the free one where they belong. */
static struct entry *slot_of(const struct vocab *v, const void *bytes, size_t len, uint32_t hash)
{
	size_t i = hash & (v->n_slots - 1);

	for (;; i = (i + 1) & (v->n_slots - 1)) {
		struct entry *e = &v->slots[i];

		if (!e->bytes)
			return e;
		if (e->hash == hash && e->len == len && !memcmp(e->bytes, bytes, len))
			return e;
	}
}

static bool grow(struct vocab *v)
{
	struct vocab bigger = { .n_slots = v->n_slots * 2 };
	size_t i;

	bigger.slots = calloc(bigger.n_slots, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (i = 0; i < v->n_slots; i++) {
		struct entry *e = &v->slots[i];

		if (e->bytes)
			*slot_of(&bigger, e->bytes, e->len, e->hash) = *e;
	}
	free(v->slots);
	v->slots = bigger.slots;
	v->n_slots = bigger.n_slots;
	return true;
}

bool vocab_add(struct vocab *v, const void *bytes, size_t len, uint32_t id)
{
	uint32_t hash = hash_bytes(bytes, len);
	struct entry *e;

	if (v->n_used >= v->n_slots / 2 && !grow(v))
		return false;
	e = slot_of(v, bytes, len, hash);
	if (!e->bytes) {
		e->bytes = malloc(len + 1);     /* so that an empty string has a pointer too */
		if (!e->bytes)
			return false;
		memcpy(e->bytes, bytes, len);
		e->len = len;
		e->hash = hash;
		v->n_used++;
	}
	e->id = id;
	if (id > v->max_id)
		v->max_id = id;
	return true;
}

bool vocab_find(const struct vocab *v, const void *bytes, size_t len, uint32_t *ret_id)
{
	const struct entry *e = slot_of(v, bytes, len, hash_bytes(bytes, len));

	if (!e->bytes)
		return false;
	*ret_id = e->id;
	return true;
}

uint32_t vocab_max_id(const struct vocab *v)
{
	return v->max_id;
}

static bool printable(unsigned c)
{
	return (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255);
}

/* Printable bytes stand for themselves; the others, in order, are U+0100, U+0101, ... */
static int byte_of(uint32_t code_point)
{
	unsigned byte, next = 256;

	if (code_point < 256)
		return printable(code_point) ? (int)code_point : -1;
	for (byte = 0; byte < 256; byte++)
		if (!printable(byte) && next++ == code_point)
			return (int)byte;
	return -1;
}

size_t vocab_unprintable(char *text, size_t len)
{
	size_t read = 0, written = 0;

	while (read < len) {
		uint32_t code_point;
		int byte;

		read += utf8_decode(text + read, len - read, &code_point);
		byte = byte_of(code_point);
		if (byte < 0)
			return SIZE_MAX;
		text[written++] = (char)byte;
	}
	return written;
}
