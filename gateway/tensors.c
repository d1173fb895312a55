/*
 * The tensor list of a verbose show: names, types and shapes as a person thinks of
 * them, quantised weights unpacked and their companions hidden. Reads blob headers on
 * the event loop, one mapped page each.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/safetensors.h"
#include "gateway/models.h"

/* Values per stored U32 word. */
static unsigned packing_of(const char *quant_type)
{
	static const struct {
		const char *name;
		unsigned values;
	} types[] = { { "int8", 4 }, { "mxfp8", 4 }, { "int4", 8 }, { "nvfp4", 8 },
		     { "mxfp4", 8 } };

	for (size_t i = 0; quant_type && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcasecmp(types[i].name, quant_type))
			return types[i].values;
	return 1;
}

static json_t *shape_of(const struct st_tensor *t, unsigned packing)
{
	json_t *shape = json_array();

	for (unsigned i = 0; i < t->rank; i++) {
		uint64_t n = t->shape[i] * (i + 1 == t->rank ? packing : 1);

		json_array_append_new(shape, json_integer((json_int_t)n));
	}
	return shape;
}

static void lower(const char *text, char *ret, size_t size)
{
	size_t n = 0;

	for (; *text && n < size - 1; text++)
		ret[n++] = (char)tolower((unsigned char)*text);
	ret[n] = '\0';
}

static json_t *describe(const char *name, const struct safetensors *st)
{
	const struct st_tensor *t = safetensors_pick(st, name);
	const char *quant = json_string_value(json_object_get(st->metadata, "quant_type"));
	unsigned packing = t && t->dtype == DTYPE_U32 ? packing_of(quant) : 1;
	char type[16];

	if (!t)
		return NULL;
	if (packing > 1)
		lower(quant, type, sizeof(type));
	else
		snprintf(type, sizeof(type), "%s", dtype_name(t->dtype));
	return json_pack("{s:s, s:s, s:o}", "name", name, "type", type, "shape",
			 shape_of(t, packing));
}

static json_t *read_tensor(struct store *s, const struct layer *layer)
{
	struct safetensors st;
	json_t *ret = NULL;
	int fd;

	/* The manifest may say it; "show" is all these members are good for. */
	if (layer->dtype && json_is_array(layer->shape))
		return json_pack("{s:s, s:s, s:O}", "name", layer->name, "type", layer->dtype,
				 "shape", layer->shape);
	fd = store_blob_open(s, layer->digest, NULL);
	if (fd >= 0 && safetensors_map_fd(fd, layer->digest, &st, NULL) == 0) {
		ret = describe(layer->name, &st);
		safetensors_finish(&st);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static bool is_companion(const char *name)
{
	size_t len = strlen(name);

	return (len > 6 && !strcmp(name + len - 6, "_scale")) ||
	       (len > 6 && !strcmp(name + len - 6, "_qbias"));
}

static int by_name(const void *a, const void *b)
{
	const struct layer *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

json_t *model_tensors(struct store *s, const struct manifest *m)
{
	const struct layer **sorted = calloc(m->n_layers + 1, sizeof(*sorted));
	json_t *ret = json_array();
	size_t n = 0;

	for (size_t i = 0; sorted && i < m->n_layers; i++) {
		const struct layer *layer = &m->layers[i];

		if (!strcmp(layer->media_type, MEDIA_TENSOR) && layer->name &&
		    !is_companion(layer->name))
			sorted[n++] = layer;
	}
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++) {
		json_t *tensor = read_tensor(s, sorted[i]);

		if (tensor)
			json_array_append_new(ret, tensor);
	}
	free(sorted);
	return ret;
}
