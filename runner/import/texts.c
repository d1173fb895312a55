/*
 * Configs, tokenizer files and licenses of a model folder. Runs on the importer's one
 * thread and blocks on the disk.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/limits.h"
#include "common/text.h"
#include "runner/import/texts.h"

/* Older programs look layers up in this order, so these lead. */
static const char *const leading[] = {
	"text_encoder/config.json",
	"text_encoder/generation_config.json",
	"transformer/config.json",
	"vae/config.json",
	"scheduler/scheduler_config.json",
	"tokenizer/tokenizer.json",
	"tokenizer/tokenizer_config.json",
	"tokenizer/vocab.json",
};
enum { N_LEADING = sizeof leading / sizeof leading[0] };

static const char *const folders[] = {
	"scheduler", "text_encoder", "tokenizer", "transformer", "vae",
};
enum { N_FOLDERS = sizeof folders / sizeof folders[0] };

struct list {
	struct plan_text *items;
	size_t n;
};

static bool is_wanted(const char *folder, const char *name)
{
	if (text_ends_with(name, ".json"))
		return !strstr(name, ".safetensors.index.");
	return strcmp(folder, "tokenizer") == 0 &&
	       (strcmp(name, "merges.txt") == 0 || strncmp(name, "chat_template.", 14) == 0);
}

static bool has(const struct list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].name, name) == 0)
			return true;
	return false;
}

static int parse(struct plan_text *t, struct err *err)
{
	if (!text_ends_with(t->name, ".json"))
		return 0;
	t->json = json_parse(t->bytes, t->len, false, err);
	if (t->json)
		return 0;
	err_prefix(err, "failed to parse %s", t->name);
	return -EINVAL;
}

static int add(const struct source *s, const char *name, struct list *l, struct err *err)
{
	struct plan_text *items = realloc(l->items, (l->n + 1) * sizeof *items);
	struct plan_text t = { 0 };
	int r;

	if (!items)
		return err_set(err, -ENOMEM, "out of memory");
	l->items = items;
	r = source_read(s, name, LIMIT_CONFIG_FILE, &t.bytes, &t.len, err);
	if (r < 0)
		return r == -EISDIR ? 0 : r;
	t.name = strdup(name);
	r = t.name ? parse(&t, err) : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		free(t.bytes);
		free(t.name);
		return r;
	}
	items[l->n++] = t;
	return 0;
}

static int add_leading(const struct source *s, struct list *l, struct err *err)
{
	for (size_t i = 0; i < N_LEADING; i++) {
		int r = add(s, leading[i], l, err);

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int add_folder(const struct source *s, const char *folder, struct list *l, struct err *err)
{
	char path[600];
	char **names;
	int r = source_list(s, folder, &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && names[i]; i++) {
		if (!is_wanted(folder, names[i]))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		if (!has(l, path))
			r = add(s, path, l, err);
	}
	names_free(names);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct plan_text *)a)->name, ((const struct plan_text *)b)->name);
}

static int finish(struct list *l, int r, struct plan_text **ret, size_t *ret_n)
{
	if (r < 0) {
		texts_free(l->items, l->n);
		return r;
	}
	*ret = l->items;
	*ret_n = l->n;
	return 0;
}

int texts_find(const struct source *s, struct plan_text **ret, size_t *ret_n, struct err *err)
{
	struct list l = { 0 };
	int r = add_leading(s, &l, err);
	size_t n_leading = l.n;

	for (size_t i = 0; r == 0 && i < N_FOLDERS; i++)
		r = add_folder(s, folders[i], &l, err);
	if (l.n > n_leading)
		qsort(l.items + n_leading, l.n - n_leading, sizeof *l.items, by_name);
	return finish(&l, r, ret, ret_n);
}

int texts_find_licenses(const struct source *s, struct plan_text **ret, size_t *ret_n,
			struct err *err)
{
	struct list l = { 0 };
	char **names;
	int r = source_list(s, "", &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && names[i]; i++)
		if (strncmp(names[i], "LICENSE", 7) == 0)
			r = add(s, names[i], &l, err);
	names_free(names);
	return finish(&l, r, ret, ret_n);
}

void texts_free(struct plan_text *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(texts[i].name);
		free(texts[i].bytes);
		json_decref(texts[i].json);
	}
	free(texts);
}
