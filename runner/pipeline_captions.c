/*
 * Captions of the prompts used last, so that many seeds of one prompt, or an unchanged
 * negative prompt, are encoded once. Owns copies of the captions, at most
 * CAPTIONS_BYTES of them. GPU thread.
 */
#include <stdlib.h>
#include <string.h>

#include "runner/pipeline_private.h"

/* Four of 512 tokens in the widest transformer; some sixty of an ordinary prompt. */
#define CAPTIONS_BYTES (UINT64_C(32) << 20)

/* What determines a caption, and the caption. */
struct kept_caption {
	struct kept_caption *next;
	struct prompt_ids ids;
	struct caption caption;
};

static uint64_t floats_of(const struct caption *c)
{
	return (uint64_t)c->rows * c->cols;
}

static uint64_t bytes_of(const struct kept_caption *k)
{
	return sizeof *k + floats_of(&k->caption) * sizeof(float);
}

static void kept_free(struct kept_caption *k)
{
	caption_finish(&k->caption);
	free(k);
}

/* *ret keeps its prefix. */
static bool copy(const struct caption *c, struct caption *ret)
{
	float *refined = malloc(floats_of(c) * sizeof *refined);

	if (!refined)
		return false;
	memcpy(refined, c->refined, floats_of(c) * sizeof *refined);
	ret->refined = refined;
	ret->rows = c->rows;
	ret->cols = c->cols;
	return true;
}

static bool same(const struct prompt_ids *a, const struct prompt_ids *b)
{
	return a->n == b->n && a->n_seen == b->n_seen &&
	       !memcmp(a->id, b->id, a->n * sizeof a->id[0]);
}

bool captions_find(struct captions *c, const struct prompt_ids *ids, struct caption *ret)
{
	struct kept_caption **link = &c->first, *k;

	while (*link && !same(&(*link)->ids, ids))
		link = &(*link)->next;
	k = *link;
	if (!k || !copy(&k->caption, ret))
		return false;
	*link = k->next;
	k->next = c->first;
	c->first = k;
	return true;
}

/* Only the newest, until they fit. */
static void trim(struct captions *c)
{
	struct kept_caption **link = &c->first;
	uint64_t bytes = 0;

	while (*link) {
		struct kept_caption *k = *link;

		bytes += bytes_of(k);
		if (bytes <= CAPTIONS_BYTES) {
			link = &k->next;
			continue;
		}
		*link = k->next;
		kept_free(k);
	}
}

void captions_keep(struct captions *c, const struct prompt_ids *ids, const struct caption *caption)
{
	struct kept_caption *k = calloc(1, sizeof *k);

	/* Without memory the prompt is encoded again, that is all. */
	if (!k)
		return;
	if (!copy(caption, &k->caption)) {
		free(k);
		return;
	}
	k->ids = *ids;
	k->next = c->first;
	c->first = k;
	trim(c);
}

void captions_drop(struct captions *c)
{
	while (c->first) {
		struct kept_caption *k = c->first;

		c->first = k->next;
		kept_free(k);
	}
}
