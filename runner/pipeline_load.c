/*
 * A manifest's configs, tokenizer and weights into a pipeline. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/limits.h"
#include "runner/load_check.h"
#include "runner/pipeline_private.h"

/* ---- configs ---- */

/* Bytes of a JSON layer, the caller's to free; *ret NULL when the manifest has none. */
static int read_layer(const struct store *s, const struct manifest *m, const char *name,
		      char **ret, size_t *ret_len, struct err *err)
{
	const struct layer *layer = manifest_find(m, MEDIA_JSON, name);
	int r;

	*ret = NULL;
	*ret_len = 0;
	if (!layer)
		return 0;
	r = store_blob_read(s, layer->digest, LIMIT_CONFIG_FILE, ret, ret_len, err);
	return r < 0 ? err_prefix(err, "%s", name) : 0;
}

static int read_json(const struct store *s, const struct manifest *m, const char *name,
		     json_t **ret, struct err *err)
{
	char *text;
	size_t len;
	int r;

	*ret = NULL;
	r = read_layer(s, m, name, &text, &len, err);
	if (r < 0 || !text)
		return r;
	*ret = json_parse(text, len, false, err);
	free(text);
	return *ret ? 0 : err_prefix(err, "%s", name);
}

static int load_parts(struct pipeline *p, const struct store *s, const struct manifest *m,
		      struct err *err)
{
	static const char *const names[] = {
		"model_index.json", "transformer/config.json", "text_encoder/config.json",
		"vae/config.json", "scheduler/scheduler_config.json", "transformer/step_cache.json",
		"vae/latent_rgb.json",
	};
	enum { N = sizeof names / sizeof names[0] };
	json_t *json[N] = { 0 };
	int i, r = 0;

	for (i = 0; i < N && r == 0; i++)
		r = read_json(s, m, names[i], &json[i], err);
	if (r == 0)
		r = family_create(&(struct family_configs){
			.model_index = json[0], .transformer = json[1], .text_encoder = json[2],
			.vae = json[3], .scheduler = json[4], .step_cache = json[5],
			.latent_rgb = json[6],
		}, &p->parts, err);
	for (i = 0; i < N; i++)
		json_decref(json[i]);
	return r;
}

/* ---- tokenizer ---- */

static int load_tokenizer(struct pipeline *p, const struct store *s, const struct manifest *m,
			  struct err *err)
{
	static const char *const names[] = {
		"tokenizer/tokenizer.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
		"tokenizer/tokenizer_config.json",
	};
	enum { N = sizeof names / sizeof names[0] };
	char *text[N] = { 0 };
	size_t len[N];
	int i, r = 0;

	for (i = 0; i < N && r == 0; i++)
		r = read_layer(s, m, names[i], &text[i], &len[i], err);
	if (r == 0)
		r = bpe_create(text[0], len[0], text[1], len[1], text[2], len[2], text[3], len[3],
			       &p->tokenizer, err);
	for (i = 0; i < N; i++)
		free(text[i]);
	return r;
}

/* Every id must have a row in the embedding table. */
static int check_vocabulary(const struct pipeline *p, struct err *err)
{
	uint32_t rows = p->parts.family->text_encoder->vocab(p->parts.text_encoder);

	if (bpe_max_id(p->tokenizer) < rows)
		return 0;
	return err_set(err, -EINVAL,
		       "tokenizer: id %u is beyond vocab_size %u of text_encoder/config.json",
		       bpe_max_id(p->tokenizer), rows);
}

/* Bytes of all that is loaded, and hashed, before the first picture. */
struct loaded {
	const struct pipeline_loading *loading;
	struct load_check *check;
	uint64_t before, total;
};

static void on_part(void *context, uint64_t completed, uint64_t total)
{
	const struct loaded *l = context;

	(void)total;
	if (l->loading->progress)
		l->loading->progress(l->loading->context,
				     l->before + completed + load_check_done(l->check), l->total);
}

/* Whoever waits for us takes silence for a hang. */
static void wait_for_check(struct loaded *l)
{
	while (!load_check_wait(l->check))
		on_part(l, 0, 0);
}

/* Where weights stay in place there is nothing to read ahead: it would only delay the load. */
static void encode_ahead(struct pipeline *p, const char *prompt)
{
	if (!prompt || vk_limits(p->shop.vk)->shares_memory)
		return;
	weights_read_ahead(p->weights, WEIGHTS_PICTURE);
	caption_prepare(p, prompt);
}

static int load_weights(struct pipeline *p, struct loaded *l, struct err *err)
{
	const uint64_t caption = weights_part_bytes(p->weights, WEIGHTS_CAPTION);
	const uint64_t picture = weights_part_bytes(p->weights, WEIGHTS_PICTURE);
	int r;

	l->total += caption + picture;
	r = weights_load(p->weights, p->shop.vk, WEIGHTS_CAPTION, on_part, l, err);
	if (r < 0)
		return r;
	encode_ahead(p, l->loading->prompt);
	l->before = caption;
	r = weights_load(p->weights, p->shop.vk, WEIGHTS_PICTURE, on_part, l, err);
	l->before += picture;
	if (r == 0)
		wait_for_check(l);
	return r;
}

static int load_parts_and_weights(struct pipeline *p, const struct store *s, const struct manifest *m,
				  struct loaded *l, struct err *err)
{
	int r;

	r = load_parts(p, s, m, err);
	if (r == 0)
		r = load_tokenizer(p, s, m, err);
	if (r == 0)
		r = check_vocabulary(p, err);
	if (r == 0)
		r = weights_open(s, m, &p->weights, err);
	if (r < 0)
		return r;
	family_bind(&p->parts, p->weights);
	r = weights_check(p->weights, err);
	if (kernel_sets[p->shop.kernels.set].host)
		weights_use_stored_kernels(p->weights);
	if (kernel_sets[p->shop.kernels.set].int8_rows)
		weights_use_int8_rows(p->weights);
	return r < 0 ? r : load_weights(p, l, err);
}

int pipeline_load(struct pipeline *p, struct store *s, const struct manifest *m,
		  const struct pipeline_loading *loading, struct err *err)
{
	struct loaded l = { .loading = loading };
	struct err damage;
	int r = load_check_begin(s, m, &l.check, err);

	if (r < 0)
		return r;
	l.total = load_check_bytes(l.check);
	r = load_parts_and_weights(p, s, m, &l, err);
	/* A damaged blob explains whatever else went wrong. */
	if (r == -EBADMSG)
		wait_for_check(&l);
	if (load_check_end(l.check, &damage) == 0)
		return r;
	if (err)
		*err = damage;
	return damage.code;
}
