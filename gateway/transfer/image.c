/*
 * Manifests checked for transfer. An image owns its manifest and its list of blobs; pure
 * functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "gateway/transfer/image.h"

#define MAX_BYTES (UINT64_C(1) << 40)
#define MAX_LAYERS (1u << 16)
#define MAX_NAME 512u

static int by_digest(const void *a, const void *b)
{
	const struct image_blob *x = a, *y = b;

	return strcmp(x->digest, y->digest);
}

int image_blob_compare(const void *a, const void *b)
{
	const struct image_blob *x = a, *y = b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return strcmp(x->digest, y->digest);
}

static void add(struct image *i, const struct layer *l)
{
	struct image_blob *b = &i->blobs[i->n_blobs++];

	*b = (struct image_blob){ .size = l->size, .copies = 1, .from = l->from };
	memcpy(b->digest, l->digest, sizeof(b->digest));
	i->total += l->size;
}

/* -EBADMSG when one digest has two sizes. */
static int merge(struct image *i, struct err *err)
{
	size_t n = 0;

	qsort(i->blobs, i->n_blobs, sizeof(*i->blobs), by_digest);
	for (size_t k = 0; k < i->n_blobs; k++) {
		struct image_blob *b = &i->blobs[k], *last = n ? &i->blobs[n - 1] : NULL;

		if (!last || strcmp(last->digest, b->digest)) {
			i->blobs[n++] = *b;
			continue;
		}
		if (last->size != b->size)
			return err_set(err, -EBADMSG, "blob %s has two sizes", b->digest);
		last->copies += b->copies;
		last->from = last->from ? last->from : b->from;
	}
	i->n_blobs = n;
	qsort(i->blobs, i->n_blobs, sizeof(*i->blobs), image_blob_compare);
	return 0;
}

static int check(const struct manifest *m, struct err *err)
{
	uint64_t total = m->config.size;

	if (!m->n_layers)
		return err_set(err, -EBADMSG, "the manifest has no layers");
	if (m->n_layers > MAX_LAYERS)
		return err_set(err, -EBADMSG, "the manifest has %zu layers, more than %u", m->n_layers,
			       MAX_LAYERS);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct layer *l = &m->layers[i];

		if (l->name && strlen(l->name) > MAX_NAME)
			return err_set(err, -EBADMSG, "a layer's name is longer than %u bytes", MAX_NAME);
		if (l->size >= MAX_BYTES || total + l->size >= MAX_BYTES)
			return err_set(err, -EBADMSG, "the manifest's blobs are more than a terabyte");
		total += l->size;
	}
	return 0;
}

int image_make(struct manifest *m, struct image *ret, struct err *err)
{
	struct image i = { .manifest = m };
	int r = check(m, err);

	if (r == 0) {
		i.blobs = calloc(m->n_layers + 1, sizeof(*i.blobs));
		if (!i.blobs)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0) {
		for (size_t k = 0; k < m->n_layers; k++)
			add(&i, &m->layers[k]);
		if (m->config.digest[0])
			add(&i, &m->config);
		r = merge(&i, err);
	}
	if (r < 0) {
		image_clear(&i);
		return r;
	}
	*ret = i;
	return 0;
}

static int check_schema(const char *bytes, size_t len, struct err *err)
{
	json_t *document = json_parse(bytes, len, false, NULL);
	json_int_t version = json_integer_value(json_object_get(document, "schemaVersion"));

	json_decref(document);
	if (version != 2)
		return err_set(err, -EBADMSG, "the registry's answer is no manifest of schema version 2");
	return 0;
}

int image_parse(const char *bytes, size_t len, struct image *ret, struct err *err)
{
	struct manifest *m;
	int r;

	if (len > IMAGE_MANIFEST_MAX)
		return err_set(err, -EBADMSG, "the manifest is larger than %u bytes", IMAGE_MANIFEST_MAX);
	r = check_schema(bytes, len, err);
	if (r == 0)
		r = manifest_parse(bytes, len, &m, err);
	return r < 0 ? r : image_make(m, ret, err);
}

void image_clear(struct image *i)
{
	manifest_free(i->manifest);
	free(i->blobs);
	*i = (struct image){ 0 };
}
