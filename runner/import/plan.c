/*
 * What an import of a folder will write: model_index.json first, then the weight files
 * of each component and their headers, then the small files. Owns the open files and
 * parsed configs of one import. Runs on the importer's one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/text.h"
#include "runner/family.h"
#include "runner/import/layers.h"
#include "runner/import/plan.h"
#include "runner/import/shards.h"
#include "runner/import/texts.h"

/* Room for the header and padding in front of a tensor's data. */
#define BLOB_HEADER 1024u

const char *const plan_components[PLAN_COMPONENTS] = { "text_encoder", "transformer", "vae" };

static int check_class(const json_t *model_index, struct err *err)
{
	const char *const *supported = family_supported();
	const char *name = family_class_name(model_index);
	struct buf list = BUF_INIT(4096);
	int r;

	if (!name)
		return err_set(err, -EINVAL, "model_index.json has no \"_class_name\"");
	for (size_t i = 0; supported[i]; i++) {
		if (strcmp(supported[i], name) == 0) {
			buf_finish(&list);
			return 0;
		}
		buf_printf(&list, "%s%s", i ? ", " : "", supported[i]);
	}
	r = err_set(err, -EINVAL, "model_index.json: pipeline class \"%s\" is not supported (only %s)",
		    name, buf_failed(&list) ? "" : list.data);
	buf_finish(&list);
	return r;
}

static int read_model_index(const struct source *s, struct plan *p, struct err *err)
{
	char *text;
	size_t len;
	int r = source_read(s, "model_index.json", LIMIT_CONFIG_FILE, &text, &len, err);

	if (r == -ENOENT)
		return err_set(err, -EINVAL, "%s is not a supported model directory (needs config.json "
			       "+ *.safetensors or model_index.json)", source_path(s));
	if (r < 0)
		return r;
	p->model_index = json_parse(text, len, false, err);
	free(text);
	if (!p->model_index) {
		err_prefix(err, "failed to parse model_index.json");
		return -EINVAL;
	}
	return check_class(p->model_index, err);
}

/* [library, class]; a part the pipeline goes without is [null, null]. */
static bool is_listed(const json_t *entry)
{
	return json_is_array(entry) && json_is_string(json_array_get(entry, 0)) &&
	       json_is_string(json_array_get(entry, 1));
}

static int check_component(const struct source *s, const char *name, struct err *err)
{
	if (name[0] == '.' || strchr(name, '/'))
		return err_set(err, -EINVAL, "model_index.json: bad component name \"%s\"", name);
	if (!source_has_folder(s, name))
		return err_set(err, -EINVAL, "model_index.json lists \"%s\", but there is no folder %s/%s",
			       name, source_path(s), name);
	return 0;
}

/* What the pipeline lists must be there; what every pipeline needs must be listed. */
static int check_components(const struct source *s, const struct plan *p, struct err *err)
{
	static const char *const needed[] = {
		"text_encoder", "transformer", "vae", "tokenizer", "scheduler",
	};
	const char *name;
	json_t *entry;
	int r = 0;

	json_object_foreach(p->model_index, name, entry) {
		if (is_listed(entry))
			r = check_component(s, name, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
		if (!is_listed(json_object_get(p->model_index, needed[i])))
			return err_set(err, -EINVAL, "model_index.json does not list \"%s\"", needed[i]);
	return 0;
}

static int open_weights(const struct source *s, const char *component, const char *folder, const char *file,
			struct plan *p, struct err *err)
{
	struct plan_file *files = realloc(p->files, (p->n_files + 1) * sizeof *files);
	struct plan_file *f;
	int r;

	if (!files)
		return err_set(err, -ENOMEM, "out of memory");
	p->files = files;
	f = &files[p->n_files];
	*f = (struct plan_file){ .component = component, .fd = -1 };
	if (asprintf(&f->name, "%s%s%s", folder, *folder ? "/" : "", file) < 0) {
		f->name = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	p->n_files++;
	f->fd = source_file(s, f->name, err);
	if (f->fd < 0)
		return f->fd;
	if (text_ends_with(f->name, ".gguf")) {
		f->gguf = true;
		return 0;
	}
	r = safetensors_map_fd(f->fd, f->name, &f->st, err);
	return r == -EBADMSG ? -EINVAL : r;
}

static const struct plan_file *find_tensor(const struct plan *p, size_t first, const char *tensor)
{
	for (size_t i = first; i < p->n_files; i++)
		if (safetensors_find(&p->files[i].st, tensor))
			return &p->files[i];
	return NULL;
}

/* A tensor may be in one file only; only the files from first on are looked at. */
static int check_duplicates(const struct plan *p, size_t first, struct err *err)
{
	for (size_t i = first; i + 1 < p->n_files; i++) {
		const struct plan_file *f = &p->files[i];

		for (size_t t = 0; t < f->st.n_tensors; t++) {
			const struct plan_file *other = find_tensor(p, i + 1, f->st.tensors[t].name);

			if (other)
				return err_set(err, -EINVAL, "duplicate tensor %s: found in both %s and %s",
					       f->st.tensors[t].name, f->name, other->name);
		}
	}
	return 0;
}

static int check_indexed(const struct plan *p, size_t first, const json_t *weight_map,
			 struct err *err)
{
	const char *tensor;
	json_t *value;

	json_object_foreach((json_t *)weight_map, tensor, value) {
		const struct plan_file *f = find_tensor(p, first, tensor);
		const char *file = json_string_value(value);

		if (!f || strcmp(strrchr(f->name, '/') + 1, file) != 0)
			return err_set(err, -EINVAL, "source model is incomplete: tensor %s "
				       "(indexed in \"%s\") was not found", tensor, file);
	}
	return 0;
}

static int add_component(const struct source *s, const char *component, struct plan *p,
			 struct err *err)
{
	struct shards shards;
	size_t first = p->n_files;
	int r = shards_find(s, component, &shards, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && shards.files[i]; i++)
		r = open_weights(s, component, component, shards.files[i], p, err);
	if (r == 0)
		r = check_duplicates(p, first, err);
	if (r == 0 && shards.weight_map)
		r = check_indexed(p, first, shards.weight_map, err);
	shards_finish(&shards);
	return r;
}

static int fill(const struct source *s, const char *gguf, const struct options *options, struct plan *p, struct err *err)
{
	int r = read_model_index(s, p, err);

	if (r == 0)
		r = check_components(s, p, err);
	for (size_t i = 0; r == 0 && i < PLAN_COMPONENTS; i++)
		r = gguf && !strcmp(plan_components[i], "transformer") ?
			open_weights(s, plan_components[i], "", gguf, p, err) :
			add_component(s, plan_components[i], p, err);
	if (r == 0)
		r = texts_find(s, &p->texts, &p->n_texts, err);
	if (r == 0)
		r = layers_of_files(p, options, err);
	if (r == 0)
		r = texts_find_licenses(s, &p->licenses, &p->n_licenses, err);
	return r;
}

int plan_create(const struct source *s, const char *gguf, const struct options *options, struct plan **ret, struct err *err)
{
	struct plan *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->quantize = options->quantize;
	r = fill(s, gguf, options, p, err);
	if (r < 0) {
		plan_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_files; i++) {
		safetensors_finish(&p->files[i].st);
		free(p->files[i].name);
		if (p->files[i].fd >= 0)
			close(p->files[i].fd);
	}
	for (size_t i = 0; i < p->n_tensors; i++)
		free(p->tensors[i].name);
	free(p->tensors);
	free(p->files);
	texts_free(p->texts, p->n_texts);
	texts_free(p->licenses, p->n_licenses);
	json_decref(p->model_index);
	free(p);
}

const json_t *plan_json(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->n_texts; i++)
		if (strcmp(p->texts[i].name, name) == 0)
			return p->texts[i].json;
	return NULL;
}

uint64_t plan_parameters(const struct plan *p, const char *component)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->n_tensors; i++) {
		const struct plan_tensor *t = &p->tensors[i];
		uint64_t elements = 1;

		if (component && (strncmp(t->name, component, strlen(component)) != 0 ||
				  t->name[strlen(component)] != '/'))
			continue;
		for (unsigned k = 0; k < t->rank; k++)
			elements *= t->shape[k];
		n += elements;
	}
	return n;
}

static uint64_t missing_bytes(const struct plan_tensor *t)
{
	uint64_t n = BLOB_HEADER;

	for (unsigned i = 0; i < t->n_parts; i++)
		n += t->parts[i].bytes;
	return t->digest[0] ? 0 : n;
}

uint64_t plan_bytes(const struct plan *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->n_tensors; i++)
		n += missing_bytes(&p->tensors[i]);
	for (size_t i = 0; i < p->n_texts; i++)
		n += p->texts[i].len;
	for (size_t i = 0; i < p->n_licenses; i++)
		n += p->licenses[i].len;
	return n;
}
