/*
 * A model made from another one of the store: its layers, with the settings of the
 * request on top. Tensors are read only where they are to be quantised. Runs on the
 * importer's one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fields.h"
#include "common/limits.h"
#include "runner/import/check.h"
#include "runner/import/config.h"
#include "runner/import/derive.h"
#include "runner/import/layers.h"
#include "runner/import/modelfile.h"
#include "runner/import/output.h"
#include "runner/import/tensors.h"

/* The model a new one is made from. */
struct base {
	struct manifest *manifest;
	char name[NAME_TEXT_SIZE];      /* short */
	json_t *config, *parameters;    /* objects, empty when it has none */
};

static int read_json(struct store *s, const struct layer *layer, json_t **ret, struct err *err)
{
	char *text;
	size_t len;
	int r;

	if (!layer || !layer->digest[0]) {
		*ret = json_object();
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	r = store_blob_read(s, layer->digest, LIMIT_CONFIG_FILE, &text, &len, err);
	if (r < 0)
		return r;
	*ret = json_parse(text, len, false, err);
	free(text);
	if (json_is_object(*ret))
		return 0;
	if (*ret)
		err_set(err, -EBADMSG, "not an object");
	err_prefix(err, "blob %s", layer->digest);
	return -EBADMSG;
}

static int base_read(struct store *s, const char *from, struct base *ret, struct err *err)
{
	struct model_name name;
	int r = name_parse(from, &name, err);

	if (r == 0)
		r = store_resolve(s, &name, &name, err);
	if (r == 0)
		r = store_read(s, &name, &ret->manifest, err);
	if (r < 0)
		return r;
	name_short(&name, ret->name);
	r = read_json(s, &ret->manifest->config, &ret->config, err);
	if (r == 0)
		r = read_json(s, manifest_find(ret->manifest, MEDIA_PARAMS, NULL), &ret->parameters, err);
	return r;
}

static void base_finish(struct base *b)
{
	manifest_free(b->manifest);
	json_decref(b->config);
	json_decref(b->parameters);
}

/* Whether the request brings its own layer of this kind. */
static bool is_replaced(const struct msg_import *request, const struct options *options,
			const char *media_type)
{
	return (request->template && strcmp(media_type, MEDIA_TEMPLATE) == 0) ||
	       (request->system && strcmp(media_type, MEDIA_SYSTEM) == 0) ||
	       (json_object_size(options->parameters) && strcmp(media_type, MEDIA_PARAMS) == 0);
}

/* ---- quantising ---- */

static bool is_tensor(const struct layer *layer)
{
	return strcmp(layer->media_type, MEDIA_TENSOR) == 0;
}

static int plan_layer(struct plan *p, const struct layer *layer, const struct safetensors *st,
		      const struct options *options, struct err *err)
{
	const struct st_tensor *t = safetensors_pick(st, layer->name);
	struct plan_file *f = &p->files[0];
	struct plan_array from = { .file = p->n_files };
	char *name = strdup(layer->name);

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	if (!t || json_object_get(st->metadata, "quant_type") || t->dtype == DTYPE_U32 || t->dtype == DTYPE_U8 ||
	    t->dtype == DTYPE_F8_E4M3) {
		free(name);
		return err_set(err, -EINVAL, "cannot requantize an already-quantized source model (requested \"%s\"): "
			       "only bf16/fp16/fp32 sources can be quantized", options->quantize);
	}
	from.at = st->data_start + t->begin;
	from.bytes = t->end - t->begin;
	f->bytes += from.bytes;
	p->files[p->n_files++] = (struct plan_file){ .component = "", .name = strdup(layer->digest), .fd = -1 };
	return layers_add(p, name, t, &from, options, err);
}

/*
 * One tensor a tensor layer, in their order; the first file stands for all of them. What
 * stays as it is needs no writing.
 */
static int plan_layers(struct store *s, const struct base *b, const struct options *options, struct plan *p,
		       struct err *err)
{
	int r = 0;

	p->quantize = options->quantize;
	p->files = calloc(b->manifest->n_layers + 1, sizeof *p->files);
	if (!p->files)
		return err_set(err, -ENOMEM, "out of memory");
	p->files[p->n_files++] = (struct plan_file){ .component = "", .name = strdup(b->name), .fd = -1 };
	for (size_t i = 0; i < b->manifest->n_layers && r == 0; i++) {
		const struct layer *layer = &b->manifest->layers[i];
		struct safetensors st;
		int fd;

		if (!is_tensor(layer))
			continue;
		fd = layer->name && strchr(layer->name, '/') ? store_blob_open(s, layer->digest, err) :
			err_set(err, -EINVAL, "tensor layer %s has no name", layer->digest);
		r = fd < 0 ? fd : safetensors_map_fd(fd, layer->digest, &st, err);
		if (fd >= 0)
			close(fd);
		if (r < 0)
			return r == -ENOENT ? -EBADMSG : r;
		r = plan_layer(p, layer, &st, options, err);
		safetensors_finish(&st);
		if (r == 0 && !p->tensors[p->n_tensors - 1].encoded)
			strcpy(p->tensors[p->n_tensors - 1].digest, layer->digest);
	}
	p->files[0].n_tensors = p->n_tensors;
	return r;
}

static int write_quantised(struct output *o, const struct base *b, const struct options *options,
			   struct plan *p, struct err *err)
{
	int r = plan_layers(o->store, b, options, p, err);

	if (r == 0)
		r = check_space(p, o->store, err);
	return r == 0 ? tensors_write(o, p, err) : r;
}

static int write_index(struct output *o, const struct layer *layer, const struct options *options, struct err *err)
{
	json_t *index = NULL;
	char *text;
	size_t len;
	int r = read_json(o->store, layer, &index, err);

	text = r == 0 ? config_requantized_index(index, options->quantize, &len) : NULL;
	json_decref(index);
	if (r < 0)
		return r;
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = output_add(o, MEDIA_JSON, layer->name, text, len, err);
	free(text);
	return r;
}

/* ---- layers ---- */

static bool is_index(const struct layer *layer)
{
	return strcmp(layer->media_type, MEDIA_JSON) == 0 && layer->name && strcmp(layer->name, "model_index.json") == 0;
}

/* quantised: the plan's next tensor, where it is this layer in another form; else NULL. */
static int write_layer(struct output *o, const struct base *b, const struct layer *layer,
		       const struct plan_tensor *quantised, const struct options *options, struct err *err)
{
	uint64_t size;
	int r;

	if (quantised && quantised->encoded)
		return tensors_layer(o, quantised, err);
	if (options->quantize && is_index(layer))
		return write_index(o, layer, options, err);
	r = store_blob_stat(o->store, layer->digest, &size, err);
	if (r == 0)
		r = output_copy(o, layer, b->name, err);
	return r == -ENOENT ? -EBADMSG : r;
}

static int write_layers(struct output *o, const struct base *b, const struct msg_import *request,
			const struct options *options, struct err *err)
{
	struct plan *p = calloc(1, sizeof *p);
	size_t tensor = 0;
	int r = 0;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	if (options->quantize)
		r = write_quantised(o, b, options, p, err);
	for (size_t i = 0; i < b->manifest->n_layers && r == 0; i++) {
		const struct layer *layer = &b->manifest->layers[i];
		const bool planned = options->quantize && is_tensor(layer);

		if (!is_replaced(request, options, layer->media_type))
			r = write_layer(o, b, layer, planned ? &p->tensors[tensor++] : NULL, options, err);
	}
	plan_free(p);
	return r;
}

/* The request's parameters over the base's; nothing when the base's layer was copied. */
static int write_settings(struct output *o, const struct base *b, const struct msg_import *request,
			  const struct options *options, struct err *err)
{
	bool changed = json_object_size(options->parameters) > 0;

	if (changed && json_object_update(b->parameters, options->parameters) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return modelfile_write(o, request, changed ? b->parameters : NULL, err);
}

static int write_tag(struct output *o, const struct base *b, const struct msg_import *request,
		     const struct options *options, struct import_result *ret, struct err *err)
{
	const struct config_wishes wishes = { request->requires, options->quantize, request->info };
	size_t len;
	char *config = config_of_model(b->config, &wishes, o->manifest, &len);
	int r;

	if (!config)
		return err_set(err, -ENOMEM, "out of memory");
	output_status(o, "writing manifest");
	r = output_write(o, options, config, len, ret, err);
	free(config);
	return r;
}

static int write_model(struct store *s, const struct base *b, const struct msg_import *request,
		       const struct options *options, const struct import_hooks *hooks,
		       struct import_result *ret, struct err *err)
{
	struct output o;
	int r = output_init(&o, s, hooks, err);

	if (r < 0)
		return r;
	o.announce = true;
	r = write_layers(&o, b, request, options, err);
	if (r == 0)
		r = write_settings(&o, b, request, options, err);
	if (r == 0 && output_cancelled(&o))
		r = err_set(err, -ECANCELED, "the import was cancelled");
	if (r == 0)
		r = write_tag(&o, b, request, options, ret, err);
	/* As with a folder: after a cancel the next try goes on from there. */
	if (r < 0 && (r != -ECANCELED || !options->quantize))
		output_discard(&o);
	output_finish(&o);
	return r;
}

int derive_import(const struct msg_import *request, const struct options *options,
		  const struct import_hooks *hooks, struct import_result *ret, struct err *err)
{
	struct base b = { 0 };
	struct store *s;
	int r = store_open(request->root, &s, err);

	if (r < 0)
		return r;
	store_hold(s);                  /* the base may be deleted meanwhile: its blobs stay */
	r = base_read(s, request->from, &b, err);
	if (r == 0)
		r = write_model(s, &b, request, options, hooks, ret, err);
	base_finish(&b);
	store_close(s);
	return r;
}
