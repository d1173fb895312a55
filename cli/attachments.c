/*
 * Picture files into a request: the ones that flags and prompts name are read, checked
 * by their first bytes and kept as base64. Owns those texts.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/attachments.h"
#include "cli/image_path.h"
#include "common/base64.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"

/* What a request takes besides pictures; a longer prompt is refused when it is sent. */
#define BESIDES (1u << 20)
#define MAX_BASE64 ((size_t)LIMIT_BODY - BESIDES)
#define HEAD_BYTES 512                  /* that tell the type of a file */

void attachments_finish(struct attachments *a)
{
	json_decref(a->images);
	json_decref(a->mask);
	*a = (struct attachments){ 0 };
}

int attachments_copy(const struct attachments *from, struct attachments *ret, struct err *err)
{
	*ret = (struct attachments){
		.images = json_copy(from->images), .mask = json_incref(from->mask),
		.bytes = from->bytes, .quiet = from->quiet,
	};
	return from->images && !ret->images ? err_errno(err, ENOMEM, "keeping the pictures") : 0;
}

/* ---- one file ---- */

struct signature {
	const char *bytes;
	size_t len, at;
	const char *type;
	bool taken;
};

static const struct signature signatures[] = {
	{ "\x89PNG\r\n\x1a\n", 8, 0, "image/png", true },
	{ "\xff\xd8\xff", 3, 0, "image/jpeg", true },
	{ "WEBPVP", 6, 8, "image/webp", true },
	{ "GIF8", 4, 0, "image/gif", false },
	{ "BM", 2, 0, "image/bmp", false },
	{ "%PDF-", 5, 0, "application/pdf", false },
};

static bool is_text(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!data[i] || ((unsigned char)data[i] < 0x20 && !strchr("\t\n\f\r\x1b", data[i])))
			return false;
	return true;
}

/* 0, or the sentence with the type that the first bytes show. */
static int check_type(const char *data, size_t len, struct err *err)
{
	const char *type = NULL;

	for (size_t i = 0; i < sizeof signatures / sizeof *signatures && !type; i++) {
		const struct signature *s = &signatures[i];

		if (len < s->at + s->len || memcmp(data + s->at, s->bytes, s->len))
			continue;
		if (s->taken)
			return 0;
		type = s->type;
	}
	if (!type)
		type = is_text(data, len < HEAD_BYTES ? len : HEAD_BYTES) ?
			"text/plain; charset=utf-8" : "application/octet-stream";
	return err_set(err, -EINVAL, "invalid image type: %s", type);
}

static int encode(const char *data, size_t len, json_t **ret, struct err *err)
{
	char *text = malloc(base64_size(len) + 1);

	if (!text)
		return err_errno(err, ENOMEM, "encoding a picture");
	/* base64 is UTF-8: nothing to check. */
	*ret = json_stringn_nocheck(text, base64_encode(data, len, text));
	free(text);
	return *ret ? 0 : err_errno(err, ENOMEM, "encoding a picture");
}

static int read_file(struct attachments *a, const char *path, json_t **ret, struct err *err)
{
	char *data;
	size_t len;
	int r = file_load(path, MAX_BASE64 / 4 * 3, &data, &len, err);

	if (r < 0)
		return r;
	r = check_type(data, len, err);
	if (r == 0 && base64_size(len) > MAX_BASE64 - a->bytes)
		r = err_set(err, -EMSGSIZE, "%s is %zu bytes, more than the %zu that are left in a "
			    "request", path, len, (MAX_BASE64 - a->bytes) / 4 * 3);
	if (r == 0)
		r = encode(data, len, ret, err);
	if (r == 0)
		a->bytes += base64_size(len);
	free(data);
	return r;
}

static int add(struct attachments *a, const char *path, struct err *err)
{
	json_t *text = NULL;
	int r;

	if (json_array_size(a->images) >= LIMIT_INPUT_IMAGES)
		return err_set(err, -E2BIG, "%s is one too many: a picture is made from at most %u "
			       "images", path, LIMIT_INPUT_IMAGES);
	if (!a->images)
		a->images = json_array();
	r = read_file(a, path, &text, err);
	if (r == 0 && json_array_append_new(a->images, text) < 0)
		r = err_errno(err, ENOMEM, "keeping the pictures");
	return r;
}

int attachments_add(struct attachments *a, const char *path, struct err *err)
{
	int r = add(a, path, err);

	return r == -EINVAL ? err_prefix(err, "%s", path) : r;
}

int attachments_set_mask(struct attachments *a, const char *path, struct err *err)
{
	int r = read_file(a, path, &a->mask, err);

	return r == -EINVAL ? err_prefix(err, "%s", path) : r;
}

/* ---- texts ---- */

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static struct image_path_world world(void)
{
	return (struct image_path_world){ .exists = is_file, .home = getenv("HOME") };
}

static int add_named(struct attachments *a, const char *path, struct err *err)
{
	int r = add(a, path, err);

	if (r == 0 && !a->quiet)
		fprintf(stderr, "Added image '%s'\n", path);
	return r;
}

/* Adds the pictures of text; the rest of it goes to out. */
static int split(struct attachments *a, const char *text, struct buf *out, struct err *err)
{
	const struct image_path_world here = world();
	struct image_path found;
	size_t at = 0;
	int r;

	while ((r = image_path_next(text, at, &here, &found)) > 0) {
		r = add_named(a, found.path, err);
		free(found.path);
		if (r < 0)
			return r;
		buf_append(out, text + at, found.start - at);
		at = found.end;
	}
	buf_puts(out, text + at);
	return r < 0 ? err_errno(err, -r, "reading the prompt") : 0;
}

/* out, without blanks around it, as a text of the caller's. */
static int take_trimmed(struct buf *out, char **ret, struct err *err)
{
	static const char blanks[] = " \t\r\n\v\f";
	size_t len;

	buf_puts(out, "");
	if (buf_failed(out)) {
		buf_finish(out);
		return err_set(err, -EMSGSIZE, "the prompt is larger than %u bytes", LIMIT_PROMPT);
	}
	while (out->len && strchr(blanks, out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	buf_consume(out, strspn(out->data, blanks));
	buf_puts(out, "");
	*ret = buf_take(out, &len);
	return *ret ? 0 : err_errno(err, ENOMEM, "reading the prompt");
}

int attachments_take(struct attachments *a, const char *text, char **ret, struct err *err)
{
	struct buf out = BUF_INIT(LIMIT_PROMPT);
	int r = split(a, text, &out, err);

	if (r < 0) {
		buf_finish(&out);
		return r;
	}
	return take_trimmed(&out, ret, err);
}

static void put_word(struct buf *out, const char *word)
{
	buf_puts(out, out->len ? " " : "");
	buf_puts(out, word);
}

/* What was joined so far, less the pictures it names, goes behind the prompt. */
static int flush(struct attachments *a, struct buf *joined, struct buf *prompt, struct err *err)
{
	char *text, *rest = NULL;
	size_t len;
	int r;

	buf_puts(joined, "");
	text = buf_take(joined, &len);
	if (!text)
		return err_set(err, -EMSGSIZE, "the prompt is larger than %u bytes", LIMIT_PROMPT);
	r = attachments_take(a, text, &rest, err);
	if (r == 0 && *rest)
		put_word(prompt, rest);
	free(rest);
	free(text);
	buf_init(joined, LIMIT_PROMPT);
	return r;
}

static int take_words(struct attachments *a, char *const *words, size_t n, struct buf *joined,
		      struct buf *prompt, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (!image_path_has_type(words[i]) || !is_file(words[i])) {
			put_word(joined, words[i]);
			continue;
		}
		r = flush(a, joined, prompt, err);
		if (r == 0)
			r = add_named(a, words[i], err);
	}
	return r < 0 ? r : flush(a, joined, prompt, err);
}

int attachments_take_words(struct attachments *a, const char *first, char *const *words, size_t n,
			   char **ret, struct err *err)
{
	struct buf joined = BUF_INIT(LIMIT_PROMPT), prompt = BUF_INIT(LIMIT_PROMPT);
	int r;

	buf_puts(&joined, first ? first : "");
	r = take_words(a, words, n, &joined, &prompt, err);
	buf_finish(&joined);
	if (r < 0) {
		buf_finish(&prompt);
		return r;
	}
	return take_trimmed(&prompt, ret, err);
}

bool attachments_begin(const char *text)
{
	const struct image_path_world here = world();
	struct image_path found;

	if (image_path_next(text, 0, &here, &found) <= 0)
		return false;
	free(found.path);
	return found.start == 0;
}
