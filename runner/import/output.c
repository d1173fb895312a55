/*
 * The model being put together: adds blobs and layers, writes the tag last, and gives
 * the disk back when that fails. Owns the manifest under construction. Runs on the
 * importer's one thread and blocks on the disk.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "runner/import/output.h"

int output_init(struct output *o, struct store *s, const struct import_hooks *hooks,
		struct err *err)
{
	*o = (struct output){
		.store = s, .hooks = hooks,
		.manifest = manifest_create(), .fresh = manifest_create(),
	};
	store_batch(s);
	if (o->manifest && o->fresh)
		return 0;
	output_finish(o);
	return err_set(err, -ENOMEM, "out of memory");
}

void output_finish(struct output *o)
{
	manifest_free(o->manifest);
	manifest_free(o->fresh);
	o->manifest = o->fresh = NULL;
}

void output_discard(struct output *o)
{
	struct err err;

	if (store_release(o->store, o->fresh, &err) < 0)
		log_warn("new blobs stay until the next start: %s", err.text);
}

bool output_cancelled(const struct output *o)
{
	return o->hooks->cancelled && o->hooks->cancelled(o->hooks->context);
}

void output_status(const struct output *o, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (o->hooks->status)
		o->hooks->status(o->hooks->context, &(struct msg_status){ .status = text });
}

struct layer *output_layer(struct output *o, const char *media_type, const char *digest,
			   uint64_t size, const char *name, bool is_new)
{
	if (is_new && !manifest_add(o->fresh, media_type, digest, size, name))
		return NULL;
	return manifest_add(o->manifest, media_type, digest, size, name);
}

int output_add(struct output *o, const char *media_type, const char *name,
	       const void *data, size_t len, struct err *err)
{
	char digest[DIGEST_SIZE];
	bool is_new;
	int r = store_blob_add(o->store, data, len, digest, &is_new, err);

	if (r < 0)
		return r;
	if (o->announce)
		output_status(o, "%s layer %s", is_new ? "creating new" : "using existing", digest);
	if (!output_layer(o, media_type, digest, len, name, is_new))
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

int output_add_json(struct output *o, const char *media_type, const json_t *value, struct err *err)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = output_add(o, media_type, NULL, text, strlen(text), err);
	free(text);
	return r;
}

int output_copy(struct output *o, const struct layer *layer, const char *from, struct err *err)
{
	struct layer *copy = manifest_add(o->manifest, layer->media_type, layer->digest,
					  layer->size, layer->name);

	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	copy->from = strdup(from);
	copy->dtype = layer->dtype ? strdup(layer->dtype) : NULL;
	copy->shape = json_incref(layer->shape);
	if (!copy->from || (layer->dtype && !copy->dtype))
		return err_set(err, -ENOMEM, "out of memory");
	output_status(o, "using existing layer %s", layer->digest);
	return 0;
}

static int write_config(struct output *o, const char *config, size_t len, struct err *err)
{
	struct layer *layer = &o->manifest->config;
	bool is_new;
	int r;

	layer->media_type = strdup(MEDIA_CONFIG);
	if (!layer->media_type)
		return err_set(err, -ENOMEM, "out of memory");
	r = store_blob_add(o->store, config, len, layer->digest, &is_new, err);
	if (r < 0)
		return r;
	layer->size = len;
	if (is_new && !manifest_add(o->fresh, MEDIA_CONFIG, layer->digest, len, NULL))
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* The manifest that the tag pointed to before, or NULL: absent or damaged. */
static struct manifest *replaced(struct store *s, const struct model_name *name)
{
	struct manifest *old = NULL;
	struct err err;
	int r = store_read(s, name, &old, &err);

	if (r < 0 && r != -ENOENT)
		log_warn("the replaced model cannot be read: %s", err.text);
	return r < 0 ? NULL : old;
}

static void release(struct store *s, struct manifest *old)
{
	struct err err;

	if (old && !settings_bool("NOPRUNE", false) && store_release(s, old, &err) < 0)
		log_warn("blobs of the replaced model stay: %s", err.text);
	manifest_free(old);
}

static int write_tag(struct output *o, const struct model_name *name, struct import_result *ret,
		     struct err *err)
{
	struct manifest *old;
	char *bytes;
	size_t len;
	int r;

	bytes = manifest_print(o->manifest, &len);
	if (!bytes)
		return err_set(err, -ENOMEM, "out of memory");
	old = replaced(o->store, name);
	r = store_write(o->store, name, bytes, len, err);
	if (r < 0) {
		manifest_free(old);
	} else {
		release(o->store, old);
		digest_bytes(bytes, len, ret->digest);
		ret->layers = o->manifest->n_layers;
	}
	free(bytes);
	return r;
}

int output_write(struct output *o, const struct options *options, const char *config,
		 size_t config_len, struct import_result *ret, struct err *err)
{
	struct model_name name;
	int r = write_config(o, config, config_len, err);

	if (r < 0)
		return r;
	r = store_resolve(o->store, &options->name, &name, err);
	if (r < 0)
		return r;
	return write_tag(o, &name, ret, err);
}
