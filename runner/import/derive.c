/*
 * A model made from another one of the store: its layers, with the settings of the
 * request on top. No tensor is read. Runs on the importer's one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/limits.h"
#include "runner/import/config.h"
#include "runner/import/derive.h"
#include "runner/import/modelfile.h"
#include "runner/import/output.h"

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

static int copy_layers(struct output *o, const struct base *b, const struct msg_import *request,
		       const struct options *options, struct err *err)
{
	for (size_t i = 0; i < b->manifest->n_layers; i++) {
		const struct layer *layer = &b->manifest->layers[i];
		uint64_t size;
		int r;

		if (is_replaced(request, options, layer->media_type))
			continue;
		r = store_blob_stat(o->store, layer->digest, &size, err);
		if (r == 0)
			r = output_copy(o, layer, b->name, err);
		if (r < 0)
			return r == -ENOENT ? -EBADMSG : r;
	}
	return 0;
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
	size_t len;
	char *config = config_of_model(b->config, request->requires, o->manifest, &len);
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
	r = copy_layers(&o, b, request, options, err);
	if (r == 0)
		r = write_settings(&o, b, request, options, err);
	if (r == 0 && output_cancelled(&o))
		r = err_set(err, -ECANCELED, "the import was cancelled");
	if (r == 0)
		r = write_tag(&o, b, request, options, ret, err);
	if (r < 0)
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
