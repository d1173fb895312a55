/*
 * Byte-level BPE: text -> ids. Added tokens are cut out first; what lies between goes
 * through NFC, the pre-tokenizer and merging. Read-only once created; any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "runner/tokenizer/nfc.h"
#include "runner/tokenizer/parts.h"

void bpe_free(struct bpe *b)
{
	if (!b)
		return;
	vocab_free(b->vocab);
	merges_free(b->merges);
	added_free(b->added);
	added_free(b->added_normalized);
	split_free(b->split);
	free(b);
}

int bpe_create(const char *tokenizer_json, size_t tokenizer_len, const char *vocab,
	       size_t vocab_len,
	       const char *merges, size_t merges_len, const char *config, size_t config_len,
	       struct bpe **ret, struct err *err)
{
	struct bpe *b = calloc(1, sizeof *b);
	int r;

	if (b) {
		b->added = added_create();
		b->added_normalized = added_create();
	}
	if (!b || !b->added || !b->added_normalized)
		r = err_set(err, -ENOMEM, "tokenizer: out of memory");
	else if (tokenizer_json)
		r = bpe_load_json(b, tokenizer_json, tokenizer_len, err);
	else if (vocab && merges)
		r = bpe_load_files(b, vocab, vocab_len, merges, merges_len, config, config_len,
				   err);
	else
		r = err_set(err, -EINVAL, "the model has no tokenizer/tokenizer.json "
			    "(nor vocab.json and merges.txt)");
	if (r < 0) {
		bpe_free(b);
		return r;
	}
	added_sort(b->added);
	added_sort(b->added_normalized);
	*ret = b;
	return 0;
}

uint32_t bpe_max_id(const struct bpe *b)
{
	uint32_t max = vocab_max_id(b->vocab);

	if (added_max_id(b->added) > max)
		max = added_max_id(b->added);
	if (added_max_id(b->added_normalized) > max)
		max = added_max_id(b->added_normalized);
	return max;
}

/* Ids going out, up to a bound. */
struct output {
	uint32_t *ids;
	size_t n, max;
	struct err *err;
};

static bool full(const struct output *out)
{
	return out->n >= out->max;
}

static void put(struct output *out, uint32_t id)
{
	if (!full(out))
		out->ids[out->n++] = id;
}

static int encode_piece(const struct bpe *b, const char *text, size_t len, struct output *out)
{
	uint32_t *ids = calloc(len, sizeof *ids);
	size_t i, n = 0;

	if (!ids)
		return err_set(out->err, -ENOMEM, "tokenizer: out of memory");
	for (i = 0; i < len; i++) {
		uint32_t id = b->byte_ids[(unsigned char)text[i]];

		/* There is no unknown token: left out, as the reference does. */
		if (id != BPE_NO_ID)
			ids[n++] = id;
	}
	n = merges_apply(b->merges, ids, n);
	for (i = 0; n != SIZE_MAX && i < n; i++)
		put(out, ids[i]);
	free(ids);
	return n == SIZE_MAX ? err_set(out->err, -ENOMEM, "tokenizer: out of memory") : 0;
}

static int encode_pieces(const struct bpe *b, const char *text, size_t len, struct output *out)
{
	struct split_run *run;
	size_t start, end;
	int r = 0;

	if (len == 0)
		return 0;
	run = split_begin(b->split, text, len);
	if (!run)
		return err_set(out->err, -ENOMEM, "tokenizer: out of memory");
	while (!full(out) && (r = split_next(run, &start, &end, out->err)) > 0) {
		r = encode_piece(b, text + start, end - start, out);
		if (r < 0)
			break;
	}
	split_end(run);
	return full(out) ? 0 : r;
}

typedef int (*encode_text)(const struct bpe *b, const char *text, size_t len, struct output *out);

/* Ids of the added tokens of one set, and what encode() makes of the text between them. */
static int encode_between(const struct bpe *b, const struct added *set, encode_text encode,
			  const char *text, size_t len, struct output *out)
{
	size_t from = 0;
	int r = 0;

	while (from < len && !full(out) && r == 0) {
		size_t at = len, token_len = 0;
		uint32_t id = BPE_NO_ID;

		added_find(set, text, len, from, &at, &token_len, &id);
		r = encode(b, text + from, at - from, out);
		if (r == 0 && id != BPE_NO_ID)
			put(out, id);
		from = at + token_len;
	}
	return r;
}

static int encode_normalized(const struct bpe *b, const char *text, size_t len, struct output *out)
{
	return encode_between(b, b->added_normalized, encode_pieces, text, len, out);
}

static int encode_raw(const struct bpe *b, const char *text, size_t len, struct output *out)
{
	struct buf normal;
	int r;

	if (!b->nfc)
		return encode_normalized(b, text, len, out);
	/* Some characters are excluded from composition: NFC can be longer, up to threefold. */
	buf_init(&normal, 3 * len + 16);
	r = nfc_append(text, len, &normal);
	if (r < 0)
		r = err_set(out->err, r, "tokenizer: out of memory");
	else if (normal.len)
		r = encode_normalized(b, normal.data, normal.len, out);
	buf_finish(&normal);
	return r;
}

int bpe_encode(const struct bpe *b, const char *text, size_t len, uint32_t *ids, size_t max,
	       struct err *err)
{
	struct output out = { .ids = ids, .max = max, .err = err };
	int r = encode_between(b, b->added, encode_raw, text, len, &out);

	return r < 0 ? r : (int)out.n;
}
