/*
 * Template, system, license and parameter layers. Runs on the importer's one thread and
 * blocks on the disk.
 */
#include <errno.h>
#include <string.h>

#include "runner/import/modelfile.h"

static int add_text(struct output *o, const char *media_type, const char *text, struct err *err)
{
	return text && *text ? output_add(o, media_type, NULL, text, strlen(text), err) : 0;
}

static bool has_license(const struct manifest *m, const char *digest)
{
	for (size_t i = 0; i < m->n_layers; i++)
		if (strcmp(m->layers[i].media_type, MEDIA_LICENSE) == 0 &&
		    strcmp(m->layers[i].digest, digest) == 0)
			return true;
	return false;
}

static int add_license(struct output *o, const json_t *license, struct err *err)
{
	const char *text = json_string_value(license);
	size_t len = json_string_length(license);
	char digest[DIGEST_SIZE];

	digest_bytes(text, len, digest);
	if (len == 0 || has_license(o->manifest, digest))
		return 0;
	return output_add(o, MEDIA_LICENSE, NULL, text, len, err);
}

int modelfile_write(struct output *o, const struct msg_import *request, const json_t *parameters,
		    struct err *err)
{
	int r = add_text(o, MEDIA_TEMPLATE, request->template, err);

	if (r == 0)
		r = add_text(o, MEDIA_SYSTEM, request->system, err);
	for (size_t i = 0; r == 0 && i < json_array_size(request->licenses); i++)
		r = add_license(o, json_array_get(request->licenses, i), err);
	if (r == 0 && json_object_size(parameters) > 0)
		r = output_add_json(o, MEDIA_PARAMS, parameters, err);
	return r;
}
