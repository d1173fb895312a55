/*
 * Which weight files a component of a model folder consists of, by shard index or by
 * name. Reads file names and the index only. Runs on the importer's one thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/text.h"
#include "runner/import/shards.h"

#define SUFFIX ".safetensors"
#define MAX_SHARDS 1024

static bool is_weights(const char *name)
{
	return text_ends_with(name, SUFFIX);
}

/* "model.safetensors.index.json", "model.safetensors.index.fp16.json" */
static bool is_index(const char *name)
{
	return strstr(name, SUFFIX ".index.") && text_ends_with(name, ".json");
}

/* "-00001-of-00002.safetensors" after any stem. */
static bool is_shard(const char *name)
{
	const char *of = strstr(name, "-of-");
	size_t digits = of ? strspn(of + 4, "0123456789") : 0;

	return digits > 0 && strcmp(of + 4 + digits, SUFFIX) == 0;
}

/* One whole file with no variant: a single dot, no shard number. */
static bool is_plain(const char *name)
{
	return is_weights(name) && strchr(name, '.') == name + strlen(name) - strlen(SUFFIX) &&
	       !is_shard(name);
}

static bool is_any(const char *name)
{
	return is_weights(name) || is_index(name);
}

/* How many names pass; the last of them in *ret. */
static size_t count(char **names, bool (*passes)(const char *), const char **ret)
{
	size_t n = 0;

	for (size_t i = 0; names[i]; i++) {
		if (!passes(names[i]))
			continue;
		*ret = names[i];
		n++;
	}
	return n;
}

static bool contains(char **names, const char *name)
{
	for (size_t i = 0; names && names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static int candidates(const struct source *s, const char *component, char **names, struct err *err)
{
	struct buf list = BUF_INIT(4096);
	int r;

	for (size_t i = 0; names[i]; i++)
		if (is_any(names[i]))
			buf_printf(&list, "%s%s", list.len ? ", " : "", names[i]);
	if (!list.len)
		r = err_set(err, -EINVAL,
			    "no model.safetensors or model-*.safetensors weights found in %s/%s",
			    source_path(s), component);
	else
		r = err_set(err, -EINVAL, "%s: cannot tell which weights to take; candidates: %s",
			    component, list.data);
	buf_finish(&list);
	return r;
}

static int take_single(const char *file, struct shards *ret, struct err *err)
{
	ret->files = calloc(2, sizeof *ret->files);
	if (ret->files)
		ret->files[0] = strdup(file);
	if (!ret->files || !ret->files[0])
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int read_index(const struct source *s, const char *component, struct shards *ret,
		      struct err *err)
{
	char path[600];
	char *text;
	size_t len;
	json_t *index;
	int r;

	snprintf(path, sizeof path, "%s/%s", component, ret->index);
	r = source_read(s, path, LIMIT_CONFIG_FILE, &text, &len, err);
	if (r < 0)
		return r;
	index = json_parse(text, len, false, err);
	free(text);
	if (!index) {
		err_prefix(err, "failed to parse %s", path);
		return -EINVAL;
	}
	ret->weight_map = json_incref(json_object_get(index, "weight_map"));
	json_decref(index);
	if (!json_is_object(ret->weight_map) || json_object_size(ret->weight_map) == 0)
		return err_set(err, -EINVAL, "%s has no \"weight_map\"", path);
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The index's values, checked to be plain names, each once. */
static int take_indexed(const char *component, struct shards *s, struct err *err)
{
	const char *tensor;
	json_t *value;
	size_t n = 0;

	s->files = calloc(MAX_SHARDS + 1, sizeof *s->files);
	if (!s->files)
		return err_set(err, -ENOMEM, "out of memory");
	json_object_foreach(s->weight_map, tensor, value) {
		const char *file = json_string_value(value);

		if (!file || strlen(file) != json_string_length(value) || file[0] == '.' ||
		    strchr(file, '/') || !is_weights(file))
			return err_set(err, -EINVAL,
				       "%s/%s: tensor %s is in \"%s\", which is not a plain file name",
				       component, s->index, tensor, file ? file : "");
		if (contains(s->files, file))
			continue;
		if (n == MAX_SHARDS)
			return err_set(err, -EINVAL, "%s/%s names more than %d files", component,
				       s->index, MAX_SHARDS);
		s->files[n] = strdup(file);
		if (!s->files[n++])
			return err_set(err, -ENOMEM, "out of memory");
	}
	qsort(s->files, n, sizeof *s->files, by_bytes);
	return 0;
}

/* The folder and its index must agree on the shards, both ways. */
static int check_folder(const struct source *src, const char *component, char **names,
			const struct shards *s, struct err *err)
{
	size_t stem = (size_t)(strstr(s->index, SUFFIX) - s->index);
	const char *plain = NULL;

	for (size_t i = 0; s->files[i]; i++)
		if (!contains(names, s->files[i]))
			return err_set(err, -EINVAL,
				       "source model is incomplete: %s/%s, named in \"%s\", was not found",
				       component, s->files[i], s->index);
	for (size_t i = 0; names[i]; i++)
		if (is_shard(names[i]) && strncmp(names[i], s->index, stem) == 0 &&
		    names[i][stem] == '-' && !contains(s->files, names[i]))
			return err_set(err, -EINVAL, "%s/%s is missing from the index \"%s\"",
				       component, names[i], s->index);
	if (count(names, is_plain, &plain) && !contains(s->files, plain))
		return err_set(err, -EINVAL,
			       "found both %s and sharded %.*s-*.safetensors weights in %s/%s: "
			       "ambiguous source", plain, (int)stem, s->index,
			       source_path(src), component);
	return 0;
}

static int find(const struct source *s, const char *component, char **names, struct shards *ret,
		struct err *err)
{
	const char *index = NULL, *plain = NULL;
	size_t indexes = count(names, is_index, &index);
	int r;

	if (indexes == 0 && count(names, is_plain, &plain) == 1)
		return take_single(plain, ret, err);
	if (indexes != 1)
		return candidates(s, component, names, err);
	ret->index = strdup(index);
	if (!ret->index)
		return err_set(err, -ENOMEM, "out of memory");
	r = read_index(s, component, ret, err);
	if (r == 0)
		r = take_indexed(component, ret, err);
	if (r == 0)
		r = check_folder(s, component, names, ret, err);
	return r;
}

int shards_find(const struct source *s, const char *component, struct shards *ret, struct err *err)
{
	char **names;
	int r;

	*ret = (struct shards){ 0 };
	r = source_list(s, component, &names, err);
	if (r < 0)
		return r;
	r = find(s, component, names, ret, err);
	names_free(names);
	if (r < 0)
		shards_finish(ret);
	return r;
}

void shards_finish(struct shards *s)
{
	names_free(s->files);
	free(s->index);
	json_decref(s->weight_map);
	*s = (struct shards){ 0 };
}
