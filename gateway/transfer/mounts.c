/*
 * Where a registry may have a blob already. Owns nothing; blocks on the disk, any thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/transfer/mounts.h"

#define MAX_MODELS 64u                  /* others that are looked through */

struct search {
	struct store *store;
	const struct model_name *name;
	const struct image *image;
	char **found;
	size_t n_missing;
};

static bool is_other_repository(const struct search *s, const struct model_name *name)
{
	return !strcasecmp(name->host, s->name->host) &&
	       (strcasecmp(name->namespace, s->name->namespace) || strcasecmp(name->model, s->name->model));
}

static void keep(struct search *s, size_t i, const struct model_name *name)
{
	char *text;

	if (s->found[i] || asprintf(&text, "%s/%s", name->namespace, name->model) < 0)
		return;
	s->found[i] = text;
	s->n_missing--;
}

static void read_from(struct search *s)
{
	struct model_name name;

	for (size_t i = 0; i < s->image->n_blobs; i++) {
		const char *from = s->image->blobs[i].from;

		if (from && name_parse(from, &name, NULL) == 0 && is_other_repository(s, &name))
			keep(s, i, &name);
	}
}

static void match(struct search *s, const struct model_name *name, const struct image *other)
{
	/* Both are sorted alike. */
	for (size_t i = 0, k = 0; i < s->image->n_blobs && k < other->n_blobs;) {
		int order = image_blob_compare(&s->image->blobs[i], &other->blobs[k]);

		if (order == 0)
			keep(s, i, name);
		i += order <= 0;
		k += order >= 0;
	}
}

static void read_models(struct search *s)
{
	struct model_name *names;
	size_t n, n_read = 0;
	struct err ignored;

	if (store_names(s->store, &names, &n, &ignored) < 0)
		return;
	for (size_t i = 0; i < n && s->n_missing && n_read < MAX_MODELS; i++) {
		struct manifest *m;
		struct image other;

		if (!is_other_repository(s, &names[i]) || store_read(s->store, &names[i], &m, &ignored) < 0)
			continue;
		n_read++;
		if (image_make(m, &other, &ignored) < 0)
			continue;
		match(s, &names[i], &other);
		image_clear(&other);
	}
	free(names);
}

char **mounts_find(struct store *store, const struct model_name *name, const struct image *image, bool guess)
{
	struct search s = { store, name, image, calloc(image->n_blobs + 1, sizeof(char *)), image->n_blobs };

	if (!s.found)
		return NULL;
	read_from(&s);
	if (guess)
		read_models(&s);
	return s.found;
}

void mounts_free(char **mounts, size_t n)
{
	for (size_t i = 0; mounts && i < n; i++)
		free(mounts[i]);
	free(mounts);
}
