/*
 * A diffusers folder, on the disk or sent as blobs, becomes a model: plan, check, write.
 * Runs on the importer's one thread and blocks on the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"
#include "common/timefmt.h"
#include "runner/family.h"
#include "runner/import/check.h"
#include "runner/import/config.h"
#include "runner/import/folder.h"
#include "runner/import/modelfile.h"
#include "runner/import/output.h"
#include "runner/import/plan.h"
#include "runner/import/tensors.h"
#include "runner/import/uploaded.h"

static int write_text(struct output *o, const char *name, const void *bytes, size_t len,
		      struct err *err)
{
	if (output_cancelled(o))
		return err_set(err, -ECANCELED, "the import was cancelled");
	output_status(o, "importing config %s", name);
	return output_add(o, MEDIA_JSON, name, bytes, len, err);
}

static int write_texts(struct output *o, const struct plan *p, struct err *err)
{
	size_t len;
	char *index = config_model_index(p, &len);
	int r;

	if (!index)
		return err_set(err, -ENOMEM, "out of memory");
	r = write_text(o, "model_index.json", index, len, err);
	free(index);
	for (size_t i = 0; r == 0 && i < p->n_texts; i++)
		r = write_text(o, p->texts[i].name, p->texts[i].bytes, p->texts[i].len, err);
	return r;
}

/* The source's own licenses count when the request brings none. */
static int write_licenses(struct output *o, const struct plan *p, const struct msg_import *request,
			  struct err *err)
{
	int r = 0;

	if (json_array_size(request->licenses) > 0)
		return 0;
	for (size_t i = 0; r == 0 && i < p->n_licenses; i++)
		r = output_add(o, MEDIA_LICENSE, NULL, p->licenses[i].bytes, p->licenses[i].len, err);
	return r;
}

/* The blobs, then the layers in the plan's order. */
static int write_tensors(struct output *o, struct plan *p, struct err *err)
{
	int r = tensors_write(o, p, err);

	for (size_t i = 0; r == 0 && i < p->n_tensors; i++)
		r = tensors_layer(o, &p->tensors[i], err);
	if (r == 0 && p->n_odd)
		output_status(o, "kept %zu tensors as they are: their rows are no multiple of %s's group", p->n_odd,
			      p->quantize);
	return r;
}

static int write_layers(struct output *o, struct plan *p, const struct msg_import *request,
			const struct options *options, struct err *err)
{
	int r = tensors_find(o, p, err);

	if (r == 0)
		r = check_space(p, o->store, err);
	if (r == 0)
		r = write_tensors(o, p, err);
	if (r == 0)
		r = write_texts(o, p, err);
	if (r == 0)
		r = write_licenses(o, p, request, err);
	if (r == 0)
		r = modelfile_write(o, request, options->parameters, err);
	return r;
}

static int write_tag(struct output *o, const struct plan *p, const struct msg_import *request,
		     const struct options *options, struct import_result *ret, struct err *err)
{
	const struct config_wishes wishes = { request->requires, p->quantize, request->info };
	size_t len;
	char *config;
	int r;

	if (output_cancelled(o))
		return err_set(err, -ECANCELED, "the import was cancelled");
	config = config_of_folder(p->edits, &wishes, &len);
	if (!config)
		return err_set(err, -ENOMEM, "out of memory");
	output_status(o, "writing manifest for %s", options->short_name);
	r = output_write(o, options, config, len, ret, err);
	free(config);
	if (r == 0)
		output_status(o, "successfully imported %s with %llu layers", options->short_name,
			      (unsigned long long)ret->layers);
	return r;
}

static int write_model(struct store *s, struct plan *p, const struct msg_import *request,
		       const struct options *options, const struct import_hooks *hooks,
		       struct import_result *ret, struct err *err)
{
	struct output o;
	int r = output_init(&o, s, hooks, err);

	if (r < 0)
		return r;
	output_status(&o, "importing image generation model");
	r = write_layers(&o, p, request, options, err);
	if (r == 0)
		r = write_tag(&o, p, request, options, ret, err);
	/* After a cancel the finished blobs stay: the next try finds them. */
	if (r < 0 && r != -ECANCELED)
		output_discard(&o);
	output_finish(&o);
	return r;
}

/* What was sent has become blobs of another kind; the next start frees what cannot be freed now. */
static void release_files(struct store *s, const json_t *files, int64_t began_ns)
{
	struct err err;

	if (!settings_bool("NOPRUNE", false) && uploaded_release(s, files, began_ns, &err) < 0)
		log_warn("uploaded files stay: %s", err.text);
}

/* ---- where it comes from ---- */

/* "folder/x.gguf" is that folder with another transformer; *ret_gguf NULL: a folder. Both the caller's. */
static int split_gguf(const char *path, char **ret_folder, char **ret_gguf, struct err *err)
{
	const char *slash = strrchr(path, '/');
	const bool is_gguf = slash && slash > path && text_ends_with(path, ".gguf");

	*ret_folder = is_gguf ? strndup(path, (size_t)(slash - path)) : strdup(path);
	*ret_gguf = is_gguf ? strdup(slash + 1) : NULL;
	if (*ret_folder && (*ret_gguf || !is_gguf))
		return 0;
	free(*ret_folder);
	free(*ret_gguf);
	return err_set(err, -ENOMEM, "out of memory");
}

/* A GGUF file beside model_index.json was sent to be the transformer. */
static int find_gguf(const json_t *files, const char **ret, struct err *err)
{
	const char *path;
	json_t *value;

	*ret = NULL;
	json_object_foreach((json_t *)(uintptr_t)files, path, value) {
		if (strchr(path, '/') || !text_ends_with(path, ".gguf"))
			continue;
		if (*ret)
			return err_set(err, -EINVAL, "cannot tell which GGUF file to take: %.100s, %.100s", *ret, path);
		*ret = path;
	}
	return 0;
}

static int plan_directory(const char *directory, const struct options *options, struct plan **ret, struct err *err)
{
	struct source *s;
	char *folder, *gguf;
	int r = split_gguf(directory, &folder, &gguf, err);

	if (r < 0)
		return r;
	r = source_open(folder, &s, err);
	if (r == 0) {
		r = plan_create(s, gguf, options, ret, err);
		source_close(s);
	}
	free(folder);
	free(gguf);
	return r;
}

/* From here on the blobs stay until the tag is written. */
static int plan_files(struct store *store, const json_t *files, const struct options *options, struct plan **ret,
		      struct err *err)
{
	const char *gguf;
	struct source *s;
	int r = find_gguf(files, &gguf, err);

	if (r < 0)
		return r;
	store_hold(store);
	r = source_of_blobs(store, files, &s, err);
	if (r == 0) {
		r = plan_create(s, gguf, options, ret, err);
		source_close(s);
	}
	return r;
}

/* Everything about the source that can be wrong is found here. */
static int make_plan(struct store *s, const struct msg_import *request, const struct options *options,
		     struct plan **ret, struct err *err)
{
	int r = request->directory ? plan_directory(request->directory, options, ret, err) :
				     plan_files(s, request->files, options, ret, err);

	if (r < 0)
		return r == -ENOENT ? -EINVAL : r;
	r = check_model(*ret, err);
	if (r < 0)
		plan_free(*ret);
	return r;
}

int folder_import(const struct msg_import *request, const struct options *options,
		  const struct import_hooks *hooks, struct import_result *ret, struct err *err)
{
	const int64_t began_ns = time_now_ns();
	struct store *s;
	struct plan *p;
	int r = store_open(request->root, &s, err);

	if (r < 0)
		return r;
	r = make_plan(s, request, options, &p, err);
	if (r == 0) {
		r = write_model(s, p, request, options, hooks, ret, err);
		plan_free(p);
	}
	if (r == 0 && !request->directory)
		release_files(s, request->files, began_ns);
	store_close(s);
	return r;
}
