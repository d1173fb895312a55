/*
 * Reads a tokenizer: tokenizer.json, or the older vocab.json + merges.txt with the added
 * tokens of tokenizer_config.json. What this tokenizer does not implement is refused by
 * name. Any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/tokenizer/parts.h"

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "tokenizer: out of memory");
}

static int token_id(const json_t *value, const char *token, uint32_t *ret, struct err *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > BPE_MAX_ID)
		return err_set(err, -EINVAL,
			       "tokenizer: the id of '%.40s' is no number from 0 to %u",
			       token, BPE_MAX_ID);
	*ret = (uint32_t)json_integer_value(value);
	return 0;
}

/* ---- vocabulary ---- */

/* The bytes that a printed token stands for, the caller's to free; SIZE_MAX: stands for none. */
static char *token_bytes(const char *printed, size_t printed_len, size_t *ret_len)
{
	char *bytes = malloc(printed_len + 1);

	if (!bytes)
		return NULL;
	memcpy(bytes, printed, printed_len);
	*ret_len = vocab_unprintable(bytes, printed_len);
	return bytes;
}

static int add_token(struct bpe *b, const char *token, const json_t *value, struct err *err)
{
	bool ok = true;
	uint32_t id = 0;
	size_t len;
	char *bytes;
	int r;

	r = token_id(value, token, &id, err);
	if (r < 0)
		return r;
	bytes = token_bytes(token, strlen(token), &len);
	if (!bytes)
		return no_memory(err);
	/* Others cannot come out of bytes; they may still be added tokens. */
	if (len != SIZE_MAX)
		ok = vocab_add(b->vocab, bytes, len, id);
	free(bytes);
	return ok ? 0 : no_memory(err);
}

static void find_byte_ids(struct bpe *b)
{
	unsigned i;

	for (i = 0; i < 256; i++) {
		unsigned char byte = (unsigned char)i;

		if (!vocab_find(b->vocab, &byte, 1, &b->byte_ids[i]))
			b->byte_ids[i] = BPE_NO_ID;
	}
}

static int load_vocab(struct bpe *b, const json_t *vocab, struct err *err)
{
	const char *token;
	json_t *value;

	if (!json_is_object(vocab))
		return err_set(err, -EINVAL, "tokenizer: the vocabulary is not a JSON object");
	b->vocab = vocab_create(json_object_size(vocab));
	if (!b->vocab)
		return no_memory(err);
	json_object_foreach((json_t *)vocab, token, value) {
		int r = add_token(b, token, value, err);

		if (r < 0)
			return r;
	}
	find_byte_ids(b);
	return 0;
}

/* ---- merges ---- */

static int add_merge(struct bpe *b, const char *left, size_t left_len,
		     const char *right, size_t right_len, struct err *err)
{
	char *bytes = malloc(left_len + right_len + 1);
	uint32_t left_id, right_id, id;
	size_t n_left, n_right;
	bool known;

	if (!bytes)
		return no_memory(err);
	memcpy(bytes, left, left_len);
	n_left = vocab_unprintable(bytes, left_len);
	known = n_left != SIZE_MAX;
	if (known) {
		memcpy(bytes + n_left, right, right_len);
		n_right = vocab_unprintable(bytes + n_left, right_len);
		known = n_right != SIZE_MAX && vocab_find(b->vocab, bytes, n_left, &left_id) &&
			vocab_find(b->vocab, bytes + n_left, n_right, &right_id) &&
			vocab_find(b->vocab, bytes, n_left + n_right, &id);
	}
	free(bytes);
	if (!known)
		return err_set(err, -EINVAL,
			       "tokenizer: merge '%.*s %.*s' names a token that is not in the "
			       "vocabulary", (int)(left_len < 40 ? left_len : 40), left,
			       (int)(right_len < 40 ? right_len : 40), right);
	return merges_add(b->merges, left_id, right_id, id) ? 0 : no_memory(err);
}

/* "a b" */
static int add_merge_line(struct bpe *b, const char *line, size_t len, struct err *err)
{
	const char *space = memchr(line, ' ', len);

	if (!space)
		return err_set(err, -EINVAL, "tokenizer: merge '%.*s' is not a pair",
			       (int)(len < 40 ? len : 40), line);
	return add_merge(b, line, (size_t)(space - line), space + 1,
			 len - (size_t)(space - line) - 1, err);
}

/* "a b", or in newer files ["a", "b"] */
static int add_merge_json(struct bpe *b, const json_t *merge, struct err *err)
{
	const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);

	if (json_is_string(merge))
		return add_merge_line(b, json_string_value(merge), json_string_length(merge), err);
	if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
		return add_merge(b, json_string_value(left), json_string_length(left),
				 json_string_value(right), json_string_length(right), err);
	return err_set(err, -EINVAL, "tokenizer: a merge is neither \"a b\" nor [\"a\", \"b\"]");
}

static int load_merges(struct bpe *b, const json_t *merges, struct err *err)
{
	size_t i, n = json_array_size(merges);
	int r = 0;

	if (!json_is_array(merges))
		return err_set(err, -EINVAL, "tokenizer: model.merges is not an array");
	b->merges = merges_create(n);
	if (!b->merges)
		return no_memory(err);
	for (i = 0; i < n && r == 0; i++)
		r = add_merge_json(b, json_array_get(merges, i), err);
	return r;
}

static int load_merges_text(struct bpe *b, const char *text, size_t len, struct err *err)
{
	const char *end = text + len;
	int r = 0;

	b->merges = merges_create(len / 8);
	if (!b->merges)
		return no_memory(err);
	while (text < end && r == 0) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((newline ? newline : end) - text);
		size_t line = n && text[n - 1] == '\r' ? n - 1 : n;

		/* "#version" can only head the file: '#' begins merges too. */
		if (line && !(line >= 8 && !memcmp(text, "#version", 8)))
			r = add_merge_line(b, text, line, err);
		text += n + 1;
	}
	return r;
}

/* ---- added tokens ---- */

static int add_added(struct bpe *b, const json_t *token, uint32_t id, struct err *err)
{
	static const char *const unsupported[] = { "lstrip", "rstrip", "single_word" };
	const json_t *content = json_object_get(token, "content");
	struct added *set = json_is_true(json_object_get(token, "normalized")) ?
		b->added_normalized : b->added;
	size_t i;

	if (!json_is_string(content) || json_string_length(content) == 0)
		return err_set(err, -EINVAL, "tokenizer: an added token has no content");
	for (i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (json_is_true(json_object_get(token, unsupported[i])))
			return err_set(err, -EINVAL,
				       "tokenizer: added token '%.40s': %s is not supported",
				       json_string_value(content), unsupported[i]);
	if (!added_add(set, json_string_value(content), json_string_length(content), id))
		return no_memory(err);
	return 0;
}

/* tokenizer.json: [{ "id": n, "content": ... }] */
static int load_added(struct bpe *b, const json_t *list, struct err *err)
{
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_set(err, -EINVAL, "tokenizer: added_tokens is not an array");
	for (i = 0; i < json_array_size(list); i++) {
		const json_t *token = json_array_get(list, i);
		uint32_t id = 0;
		int r = token_id(json_object_get(token, "id"), "an added token", &id, err);

		if (r == 0)
			r = add_added(b, token, id, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* tokenizer_config.json: { "n": { "content": ... } } */
static int load_added_decoder(struct bpe *b, const json_t *decoder, struct err *err)
{
	const char *key;
	json_t *token;

	json_object_foreach((json_t *)decoder, key, token) {
		char *end;
		unsigned long id = strtoul(key, &end, 10);
		int r;

		if (end == key || *end || id > BPE_MAX_ID)
			return err_set(err, -EINVAL,
				       "tokenizer: added_tokens_decoder: bad id '%.40s'", key);
		r = add_added(b, token, (uint32_t)id, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- normaliser and pre-tokenizer ---- */

static const char *type_of(const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));

	return type ? type : "";
}

static int load_normalizer(struct bpe *b, const json_t *normalizer, struct err *err)
{
	if (!normalizer || json_is_null(normalizer))
		return 0;
	if (strcmp(type_of(normalizer), "NFC"))
		return err_set(err, -EINVAL, "tokenizer: normalizer '%.40s' is not supported",
			       type_of(normalizer));
	b->nfc = true;
	return 0;
}

static bool false_or_absent(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return !value || json_is_false(value) || json_is_null(value);
}

/* One of the sequence: a Split gives the pattern, ByteLevel only names the alphabet. */
static int load_pre_tokenizer_step(const json_t *step, const char **pattern, struct err *err)
{
	const json_t *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
	const char *behavior = json_string_value(json_object_get(step, "behavior"));

	if (!strcmp(type_of(step), "Split") && json_is_string(regex) && behavior &&
	    !strcmp(behavior, "Isolated") && false_or_absent(step, "invert") && !*pattern) {
		*pattern = json_string_value(regex);
		return 0;
	}
	if (!strcmp(type_of(step), "ByteLevel") && false_or_absent(step, "add_prefix_space") &&
	    json_is_false(json_object_get(step, "use_regex")))
		return 0;
	return err_set(err, -EINVAL,
		       "tokenizer: pre_tokenizer '%.40s' with these settings is not supported",
		       type_of(step));
}

static int load_pre_tokenizer(struct bpe *b, const json_t *pre_tokenizer, struct err *err)
{
	const json_t *steps = json_object_get(pre_tokenizer, "pretokenizers");
	const char *pattern = NULL;
	size_t i;

	if (strcmp(type_of(pre_tokenizer), "Sequence") || !json_is_array(steps))
		return err_set(err, -EINVAL, "tokenizer: pre_tokenizer '%.40s' is not supported",
			       type_of(pre_tokenizer));
	for (i = 0; i < json_array_size(steps); i++) {
		int r = load_pre_tokenizer_step(json_array_get(steps, i), &pattern, err);

		if (r < 0)
			return r;
	}
	if (!pattern)
		return err_set(err, -EINVAL, "tokenizer: pre_tokenizer has no pattern");
	return split_create(pattern, &b->split, err);
}

/* ---- the two sources ---- */

static int check_model(const json_t *model, struct err *err)
{
	static const char *const plain[] = { "continuing_subword_prefix", "end_of_word_suffix" };
	const char *type = type_of(model);
	size_t i;

	if (!json_is_object(model) || (strcmp(type, "BPE") && strcmp(type, "")))
		return err_set(err, -EINVAL,
			       "tokenizer: model type '%.40s' is not supported (only BPE)", type);
	if (!false_or_absent(model, "byte_fallback") || !false_or_absent(model, "ignore_merges"))
		return err_set(err, -EINVAL,
			       "tokenizer: byte_fallback and ignore_merges are not supported");
	for (i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if (json_string_length(json_object_get(model, plain[i])) > 0)
			return err_set(err, -EINVAL, "tokenizer: %s is not supported", plain[i]);
	return 0;
}

static json_t *parse(const char *file, const char *text, size_t len, struct err *err)
{
	json_t *root = json_parse(text, len, false, err);

	if (!root) {
		err_prefix(err, "%s", file);
		if (err)
			err->code = -EBADMSG;
	}
	return root;
}

int bpe_load_json(struct bpe *b, const char *text, size_t len, struct err *err)
{
	json_t *root = parse("tokenizer.json", text, len, err);
	const json_t *model = json_object_get(root, "model");
	int r;

	if (!root)
		return -EBADMSG;
	r = check_model(model, err);
	if (r == 0)
		r = load_vocab(b, json_object_get(model, "vocab"), err);
	if (r == 0)
		r = load_merges(b, json_object_get(model, "merges"), err);
	if (r == 0)
		r = load_added(b, json_object_get(root, "added_tokens"), err);
	if (r == 0)
		r = load_normalizer(b, json_object_get(root, "normalizer"), err);
	if (r == 0)
		r = load_pre_tokenizer(b, json_object_get(root, "pre_tokenizer"), err);
	json_decref(root);
	return r;
}

static int load_vocab_file(struct bpe *b, const char *text, size_t len, struct err *err)
{
	json_t *root = parse("vocab.json", text, len, err);
	int r;

	if (!root)
		return -EBADMSG;
	r = load_vocab(b, root, err);
	json_decref(root);
	return r;
}

static int load_config_file(struct bpe *b, const char *text, size_t len, struct err *err)
{
	json_t *root = parse("tokenizer_config.json", text, len, err);
	int r;

	if (!root)
		return -EBADMSG;
	r = load_added_decoder(b, json_object_get(root, "added_tokens_decoder"), err);
	json_decref(root);
	return r;
}

int bpe_load_files(struct bpe *b, const char *vocab, size_t vocab_len, const char *merges,
		   size_t merges_len, const char *config, size_t config_len, struct err *err)
{
	int r;

	b->nfc = true;
	r = load_vocab_file(b, vocab, vocab_len, err);
	if (r == 0)
		r = load_merges_text(b, merges, merges_len, err);
	if (r == 0 && config)
		r = load_config_file(b, config, config_len, err);
	return r < 0 ? r : split_create(split_qwen2, &b->split, err);
}
