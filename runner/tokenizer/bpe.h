#ifndef EASEL_RUNNER_TOKENIZER_BPE_H
#define EASEL_RUNNER_TOKENIZER_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Byte-level BPE as Qwen2/Qwen3 use it. */
struct bpe;

/*
 * tokenizer_json: text of tokenizer.json, or NULL; then vocab (vocab.json), merges
 * (merges.txt) and config (tokenizer_config.json, may be NULL) are used.
 * -EBADMSG or -EINVAL with what is wrong.
 */
int bpe_create(const char *tokenizer_json, size_t tokenizer_len, const char *vocab,
	       size_t vocab_len,
	       const char *merges, size_t merges_len, const char *config, size_t config_len,
	       struct bpe **ret, struct err *err);
void bpe_free(struct bpe *b);
uint32_t bpe_max_id(const struct bpe *b);       /* of all tokens */
/*
 * Valid UTF-8 -> at most max ids (the rest is cut; work stops soon after, also for a
 * prompt of megabytes). Returns the count, or a negative code.
 */
int bpe_encode(const struct bpe *b, const char *text, size_t len, uint32_t *ids, size_t max,
	       struct err *err);

#endif
