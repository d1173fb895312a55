#ifndef EASEL_RUNNER_TOKENIZER_PARTS_H
#define EASEL_RUNNER_TOKENIZER_PARTS_H

#include <stdbool.h>

#include "common/err.h"
#include "runner/tokenizer/added.h"
#include "runner/tokenizer/bpe.h"
#include "runner/tokenizer/merges.h"
#include "runner/tokenizer/split.h"
#include "runner/tokenizer/vocab.h"

/* What load.c fills and bpe.c uses. */
struct bpe {
	struct vocab *vocab;
	struct merges *merges;
	struct added *added;                    /* cut from the text as it came */
	struct added *added_normalized;         /* cut after NFC */
	struct split *split;
	bool nfc;
	uint32_t byte_ids[256];                 /* BPE_NO_ID: no such token */
};

#define BPE_NO_ID UINT32_MAX
#define BPE_MAX_ID (1u << 24)

/* From the text of tokenizer.json. */
int bpe_load_json(struct bpe *b, const char *text, size_t len, struct err *err);
/* From vocab.json, merges.txt and tokenizer_config.json (NULL: no added tokens). */
int bpe_load_files(struct bpe *b, const char *vocab, size_t vocab_len, const char *merges,
		   size_t merges_len, const char *config, size_t config_len, struct err *err);

#endif
