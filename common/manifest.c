/*
 * Manifests: JSON of a tag <-> struct. A struct manifest owns its layers; one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/manifest.h"

struct layer_fields {
	char *mediaType, *digest, *name, *from, *dtype;
	uint64_t size;
	json_t *shape;
};

/* 64 TiB: sums over LIMIT_LAYERS stay within 64 bits. */
#define MAX_LAYER_BYTES 0x1p46

/* In the order that the reference writes. */
static const struct field layer_fields[] = {
	FIELD(struct layer_fields, mediaType, STR, .required = true, .max = 4096),
	FIELD(struct layer_fields, digest, STR, .required = true, .max = 4096),
	FIELD(struct layer_fields, size, U64, .required = true, .max = MAX_LAYER_BYTES),
	FIELD(struct layer_fields, from, STR, .max = 4096),
	FIELD(struct layer_fields, name, STR, .max = 4096),
	FIELD(struct layer_fields, dtype, STR, .max = 64),
	FIELD(struct layer_fields, shape, JSON),
	{ 0 }
};

struct manifest *manifest_create(void)
{
	return calloc(1, sizeof(struct manifest));
}

static void layer_finish(struct layer *l)
{
	free(l->media_type);
	free(l->name);
	free(l->from);
	free(l->dtype);
	json_decref(l->shape);
	*l = (struct layer){ 0 };
}

struct manifest *manifest_share(struct manifest *m)
{
	m->shares++;
	return m;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	if (m->shares) {
		m->shares--;
		return;
	}
	for (size_t i = 0; i < m->n_layers; i++)
		layer_finish(&m->layers[i]);
	layer_finish(&m->config);
	free(m->layers);
	free(m);
}

/* One more, zeroed, layer; the array doubles at powers of two. */
static struct layer *grow(struct manifest *m)
{
	struct layer *layers;

	if ((m->n_layers & (m->n_layers - 1)) == 0) {
		layers = realloc(m->layers, (m->n_layers ? 2 * m->n_layers : 1) * sizeof *layers);
		if (!layers)
			return NULL;
		m->layers = layers;
	}
	m->layers[m->n_layers] = (struct layer){ 0 };
	return &m->layers[m->n_layers++];
}

struct layer *manifest_add(struct manifest *m, const char *media_type, const char *digest,
			   uint64_t size, const char *name)
{
	struct layer *l = grow(m);

	if (!l)
		return NULL;
	l->size = size;
	l->media_type = strdup(media_type);
	l->name = name ? strdup(name) : NULL;
	if (!l->media_type || (name && !l->name) || digest_parse(digest, l->digest, NULL) < 0) {
		layer_finish(l);
		m->n_layers--;
		return NULL;
	}
	return l;
}

/* A name is a path in the source folder; it is never used as one, and still must not climb. */
static bool name_fits(const char *name)
{
	const char *part = name;

	if (!name)
		return true;
	if (*name == '/')
		return false;
	for (; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2]))
			return false;
	}
	return true;
}

/* Empty members count as absent. */
static char *nonempty(char *text)
{
	if (text && *text)
		return text;
	free(text);
	return NULL;
}

static int read_layer(const json_t *object, struct layer *ret, struct err *err)
{
	struct layer_fields f = { 0 };
	int r = fields_read(layer_fields, object, 0, &f, NULL, err);

	if (r < 0)
		return -EBADMSG;
	r = digest_parse(f.digest, ret->digest, err);
	if (r == 0 && !name_fits(f.name))
		r = err_set(err, -EBADMSG, "invalid layer name \"%s\"", f.name);
	if (r < 0) {
		fields_clear(layer_fields, &f);
		return -EBADMSG;
	}
	free(f.digest);
	ret->size = f.size;
	ret->media_type = f.mediaType;
	ret->name = nonempty(f.name);
	ret->from = nonempty(f.from);
	ret->dtype = nonempty(f.dtype);
	ret->shape = f.shape;
	return 0;
}

/* The reference writes a config without digest where there is none. */
static bool has_digest(const json_t *config)
{
	const char *digest = json_string_value(json_object_get(config, "digest"));

	return digest && *digest;
}

static int read_manifest(const json_t *document, struct manifest *m, struct err *err)
{
	const json_t *config = json_object_get(document, "config");
	const json_t *layers = json_object_get(document, "layers"), *value;
	size_t i;

	if (!json_is_array(layers) && !json_is_null(layers))
		return err_set(err, -EBADMSG, "it has no layers");
	if (json_array_size(layers) > LIMIT_LAYERS)
		return err_set(err, -EBADMSG, "it has more than %u layers", LIMIT_LAYERS);
	if (has_digest(config) && read_layer(config, &m->config, err) < 0)
		return -EBADMSG;
	json_array_foreach(layers, i, value) {
		struct layer *l = grow(m);

		if (!l)
			return err_set(err, -ENOMEM, "out of memory");
		if (read_layer(value, l, err) < 0)
			return -EBADMSG;
	}
	return 0;
}

int manifest_parse(const char *bytes, size_t len, struct manifest **ret, struct err *err)
{
	struct manifest *m = manifest_create();
	struct err cause = { 0 };
	json_t *document;
	int r = -EBADMSG;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	document = json_parse(bytes, len, false, &cause);
	if (document)
		r = read_manifest(document, m, &cause);
	json_decref(document);
	if (r < 0) {
		manifest_free(m);
		return err_set(err, r, "damaged manifest: %s", cause.text);
	}
	digest_bytes(bytes, len, m->digest);
	*ret = m;
	return 0;
}

static json_t *write_layer(const struct layer *l)
{
	struct layer_fields f = {
		.mediaType = l->media_type, .digest = (char *)l->digest, .name = l->name, .from = l->from,
		.dtype = l->dtype, .size = l->size, .shape = l->shape,
	};

	return fields_write(layer_fields, &f);
}

static json_t *write_manifest(const struct manifest *m)
{
	json_t *layers = json_array(), *config = m->config.media_type ? write_layer(&m->config) : json_object();

	for (size_t i = 0; i < m->n_layers; i++)
		if (json_array_append_new(layers, write_layer(&m->layers[i])) < 0) {
			json_decref(layers);
			json_decref(config);
			return NULL;
		}
	return json_pack("{s:i,s:s,s:o,s:o}", "schemaVersion", 2, "mediaType", MEDIA_MANIFEST,
			 "config", config, "layers", layers);
}

/* As the reference's encoder: these occur only inside strings, where they may be escaped. */
static int append_escaped(const char *data, size_t len, void *buf)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '<' || data[i] == '>' || data[i] == '&')
			buf_printf(buf, "\\u%04x", (unsigned)data[i]);
		else
			buf_append(buf, data + i, 1);
	}
	return buf_failed(buf) ? -1 : 0;
}

char *manifest_print(const struct manifest *m, size_t *ret_len)
{
	struct buf line = BUF_INIT(LIMIT_MANIFEST);
	json_t *document = write_manifest(m);
	int r = document ? json_dump_callback(document, append_escaped, &line, JSON_COMPACT) : -1;

	json_decref(document);
	if (r < 0) {
		buf_finish(&line);
		return NULL;
	}
	buf_puts(&line, "\n");
	return buf_take(&line, ret_len);
}

const struct layer *manifest_find(const struct manifest *m, const char *media_type, const char *name)
{
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct layer *l = &m->layers[i];

		if (!strcmp(l->media_type, media_type) && (!name || (l->name && !strcmp(l->name, name))))
			return l;
	}
	return NULL;
}

uint64_t manifest_size(const struct manifest *m)
{
	uint64_t total = m->config.size;

	for (size_t i = 0; i < m->n_layers; i++)
		total += m->layers[i].size;
	return total;
}
