/*
 * Prompt -> ids -> text encoder -> refined caption, or the one kept from the last time.
 * GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "runner/pipeline_private.h"

/* ---- ids ---- */

static int pad_ids(const struct pipeline *p, struct prompt_ids *ids, struct err *err)
{
	static const char token[] = "<|endoftext|>";
	uint32_t pad[2];
	int got = bpe_encode(p->tokenizer, token, strlen(token), pad, 2, err);

	if (got < 0)
		return got;
	if (got != 1)
		return err_set(err, -EINVAL, "tokenizer: it has no token %s", token);
	while (ids->n < LIMIT_PROMPT_TOKENS)
		ids->id[ids->n++] = pad[0];
	return 0;
}

/* Ids up to the limit. */
static int encode_ids(const struct pipeline *p, const char *prompt, struct prompt_ids *ret,
		      struct err *err)
{
	const struct transformer_class *t = p->parts.family->transformer;
	struct buf text;
	int n;

	buf_init(&text, strlen(prompt) + 1024);
	buf_puts(&text, t->prompt_prefix);
	buf_puts(&text, prompt);
	buf_puts(&text, t->prompt_suffix);
	if (buf_failed(&text))
		n = err_set(err, -ENOMEM, "prompt: out of memory");
	else
		/* Too long a prompt loses its end, template included, as in the reference. */
		n = bpe_encode(p->tokenizer, text.data, text.len, ret->id, LIMIT_PROMPT_TOKENS, err);
	buf_finish(&text);
	if (n < 0)
		return n;
	if (n == 0)
		return err_set(err, -EINVAL, "the prompt has no tokens");
	ret->n = ret->n_seen = (uint32_t)n;
	return t->pads_prompt ? pad_ids(p, ret, err) : 0;
}

/* ---- text encoder: shape { n_text, of them no padding } ---- */

static int build_text(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;

	s->out = parts->family->text_encoder->build(parts->text_encoder, s->graph, s->shape[0],
						    s->shape[1], &s->in[0], &s->in[1]);
	return 0;
}

static const struct stage_kind text_kind = { .build = build_text };

/* Hidden states [n, width], the caller's to free. */
static int run_text(struct pipeline *p, const struct prompt_ids *ids, const char *prefix,
		    float **ret, struct err *err)
{
	const struct text_encoder_class *c = p->parts.family->text_encoder;
	const bool several = p->parts.family->transformer->text_layers;
	const uint32_t shape[STAGE_DIMS] = { ids->n, ids->n_seen };
	struct stage *s;
	size_t count = (size_t)ids->n * c->width(p->parts.text_encoder);
	float *x;
	int r;

	r = stage_ready(&p->shop, &p->text, &text_kind, &p->parts, shape, &s, err);
	if (r < 0)
		return r;
	if (c->feed(p->parts.text_encoder, s->graph, s->in[0], s->in[1], ids->id, ids->n) < 0)
		return err_set(err, -ENOMEM, "prompt: out of memory");
	r = stage_run(&p->shop, s, prefix, err);
	if (r < 0)
		return r;
	x = calloc(count, sizeof *x);
	if (!x)
		return err_set(err, -ENOMEM, "prompt: out of memory");
	graph_read(s->graph, s->out, x);
	workshop_tap(&p->shop, x, count, "%s%s", prefix, several ? "embeds" : "hidden_states_-2");
	r = check_finite(x, count, "the text encoder's results", err);
	if (r < 0)
		free(x);
	else
		*ret = x;
	return r;
}

/* ---- caption refiner: shape { n_text } ---- */

static int build_cond(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;
	const struct transformer_class *t = parts->family->transformer;

	s->free_built = t->free_cond;
	s->built = t->build_cond(parts->transformer, s->graph, s->shape[0], &s->in[0], &s->out);
	return s->built ? 0 : -ENOMEM;
}

static const struct stage_kind cond_kind = { .build = build_cond };

static int run_cond(struct pipeline *p, const float *hidden, uint32_t n, const char *prefix,
		    struct caption *ret, struct err *err)
{
	const struct transformer_class *t = p->parts.family->transformer;
	const uint32_t shape[STAGE_DIMS] = { n };
	struct stage *s;
	float *refined;
	int r;

	r = stage_ready(&p->shop, &p->cond, &cond_kind, &p->parts, shape, &s, err);
	if (r < 0)
		return r;
	if (t->feed_cond(p->parts.transformer, s->graph, s->built, hidden) < 0)
		return err_set(err, -ENOMEM, "prompt: out of memory");
	r = stage_run(&p->shop, s, prefix, err);
	if (r < 0)
		return r;
	refined = calloc(s->out.rows, s->out.cols * sizeof *refined);
	if (!refined)
		return err_set(err, -ENOMEM, "prompt: out of memory");
	graph_read(s->graph, s->out, refined);
	ret->refined = refined;
	ret->rows = s->out.rows;
	ret->cols = s->out.cols;
	return 0;
}

static int encode_caption(struct pipeline *p, const struct prompt_ids *ids, struct caption *ret,
			  struct err *err)
{
	bool negative = *ret->prefix != 0;
	float *hidden = NULL;
	int r = run_text(p, ids, negative ? "negative." : "text.", &hidden, err);

	if (r < 0)
		return r;
	r = run_cond(p, hidden, ids->n, negative ? "negative.step0." : "step0.", ret, err);
	free(hidden);
	return r;
}

int caption_encode(struct pipeline *p, const char *prompt, const struct canvas *canvas,
		   struct caption *ret, struct err *err)
{
	const struct transformer_class *t = p->parts.family->transformer;
	/* A tap wants to see every intermediate. */
	const bool taps = p->shop.hooks && p->shop.hooks->tap;
	struct prompt_ids ids = { 0 };
	int r;

	r = encode_ids(p, prompt, &ids, err);
	ret->n_tokens = ids.n_seen;
	if (r == 0)
		r = t->check_size(p->parts.transformer, canvas, ids.n, err);
	if (r < 0 || (!taps && captions_find(&p->captions, &ids, ret)))
		return r;
	r = encode_caption(p, &ids, ret, err);
	if (r == 0 && !taps)
		captions_keep(&p->captions, &ids, ret);
	return r;
}

void caption_prepare(struct pipeline *p, const char *prompt)
{
	struct prompt_ids ids = { 0 };
	struct caption caption = { .prefix = "" };
	struct err err;

	if (encode_ids(p, prompt, &ids, &err) < 0 || encode_caption(p, &ids, &caption, &err) < 0) {
		log_debug("the first prompt is not encoded ahead: %s", err.text);
		return;
	}
	captions_keep(&p->captions, &ids, &caption);
	caption_finish(&caption);
}

void caption_finish(struct caption *c)
{
	free(c->refined);
	c->refined = NULL;
	c->rows = 0;
}
