/*
 * The config blob and the rewritten model_index.json, as other programs that read the
 * store expect them (members in a fixed order, present even when empty). Pure; any thread.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/limits.h"
#include "runner/family.h"
#include "runner/import/config.h"

#define REQUIRES "0.19.0"               /* the first version that runs such models */

/* Members in the order they are written; an empty one is left out unless always. */
static const struct member {
	const char *name;
	bool always;
} members[] = {
	{ "model_format", true }, { "model_family", true }, { "model_families", true },
	{ "model_type", true }, { "file_type", true }, { "renderer", false }, { "parser", false },
	{ "requires", false }, { "remote_host", false }, { "remote_model", false },
	{ "capabilities", false }, { "context_length", false }, { "embedding_length", false },
	{ "base_name", false }, { "draft", false }, { "architecture", true }, { "os", true },
	{ "rootfs", true },
};

/* Takes over values; the text with the members in order. */
static char *print(json_t *values, const char *end, size_t *ret_len)
{
	json_t *ordered = json_object();
	struct buf out = BUF_INIT(LIMIT_MANIFEST);
	char *text;

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		json_t *value = json_object_get(values, members[i].name);

		if (!value && members[i].always)
			value = json_null();
		if (value)
			json_object_set(ordered, members[i].name, value);
	}
	text = json_dumps(ordered, JSON_COMPACT);
	if (text) {
		buf_puts(&out, text);
		buf_puts(&out, end);
	}
	free(text);
	json_decref(ordered);
	json_decref(values);
	return out.len ? buf_take(&out, ret_len) : NULL;
}

/* ---- what a request says ---- */

static bool has_text(const json_t *array, const json_t *text)
{
	const json_t *each;
	size_t i;

	json_array_foreach(array, i, each)
		if (json_equal(each, text))
			return true;
	return false;
}

static int add_capabilities(json_t *values, const json_t *more)
{
	json_t *old = json_object_get(values, "capabilities");
	json_t *all = json_is_array(old) ? json_copy(old) : json_array(), *each;
	size_t i;
	int r = all ? 0 : -1;

	json_array_foreach((json_t *)(uintptr_t)more, i, each)
		if (r == 0 && !has_text(all, each))
			r = json_array_append(all, each);
	if (r == 0)
		r = json_object_set(values, "capabilities", all);
	json_decref(all);
	return r;
}

/* The members of "info" and what they are called in a config. */
static int add_info(json_t *values, const json_t *info)
{
	static const struct {
		const char *said, *written;
	} fields[] = {
		{ "model_family", "model_family" }, { "base_name", "base_name" }, { "quantization_level", "file_type" },
		{ "parameter_size", "model_type" }, { "context_length", "context_length" },
		{ "embedding_length", "embedding_length" },
	};
	json_t *family = json_object_get(info, "model_family"), *capabilities = json_object_get(info, "capabilities");
	int r = 0;

	for (size_t i = 0; i < sizeof fields / sizeof fields[0] && r == 0; i++) {
		json_t *value = json_object_get(info, fields[i].said);

		if (value && !json_is_null(value))
			r = json_object_set(values, fields[i].written, value);
	}
	if (r == 0 && json_string_length(family))
		r = json_object_set_new(values, "model_families", json_pack("[O]", family));
	return r == 0 && json_array_size(capabilities) ? add_capabilities(values, capabilities) : r;
}

static char *print_with_info(json_t *values, const json_t *info, const char *end, size_t *ret_len)
{
	if (values && add_info(values, info) == 0)
		return print(values, end, ret_len);
	json_decref(values);
	return NULL;
}

/* ---- configs ---- */

char *config_of_folder(bool edits, const struct config_wishes *w, size_t *ret_len)
{
	json_t *values = json_pack("{ss ss sn ss ss ss s[ss*] ss ss s{ss sn}}",
				   "model_format", "safetensors", "model_family", "",
				   "model_families", "model_type", "", "file_type", w->quantize ? w->quantize : "",
				   "requires", w->requires && *w->requires ? w->requires : REQUIRES,
				   "capabilities", "image", edits ? "vision" : NULL,
				   "architecture", "", "os", "", "rootfs", "type", "", "diff_ids");

	return print_with_info(values, w->info, "", ret_len);
}

static json_t *diff_ids(const struct manifest *m)
{
	json_t *ids = json_array();

	for (size_t i = 0; ids && i < m->n_layers; i++)
		if (json_array_append_new(ids, json_string(m->layers[i].digest)) < 0) {
			json_decref(ids);
			return NULL;
		}
	return ids;
}

char *config_of_model(const json_t *base, const struct config_wishes *w, const struct manifest *m, size_t *ret_len)
{
	json_t *values = json_copy((json_t *)base);
	json_t *ids = diff_ids(m);
	json_t *own = json_pack("{ss* ss* ss ss s{ss so}}", "requires",
				w->requires && *w->requires ? w->requires : NULL, "file_type", w->quantize,
				"architecture", "amd64",
				"os", "linux", "rootfs", "type", "layers", "diff_ids", ids);

	if (!values || !own || json_object_update(values, own) < 0) {
		json_decref(values);
		json_decref(own);
		return NULL;
	}
	json_decref(own);
	return print_with_info(values, w->info, "\n", ret_len);
}

static json_t *upper(const char *text)
{
	char name[32];
	size_t n;

	for (n = 0; text[n] && n < sizeof name - 1; n++)
		name[n] = (char)toupper((unsigned char)text[n]);
	name[n] = '\0';
	return json_string(name);
}

/* What the text encoder's weights are said to be stored as; newer files say "dtype". */
static const char *stored_type(const struct plan *p)
{
	const json_t *config = plan_json(p, "text_encoder/config.json");
	const char *type = json_string_value(json_object_get(config, "torch_dtype"));

	if (!type)
		type = json_string_value(json_object_get(config, "dtype"));
	return type ? type : "";
}

static json_t *component_counts(const struct plan *p)
{
	json_t *counts = json_object();

	for (size_t i = 0; i < PLAN_COMPONENTS; i++)
		json_object_set_new(counts, plan_components[i],
				    json_integer((json_int_t)plan_parameters(p, plan_components[i])));
	return counts;
}

char *config_model_index(const struct plan *p, size_t *ret_len)
{
	json_t *index = json_copy(p->model_index);
	json_t *own = json_pack("{ss sI so so}", "architecture", family_class_name(p->model_index),
				"parameter_count", (json_int_t)plan_parameters(p, NULL),
				"quantization", p->quantize ? upper(p->quantize) : json_string(stored_type(p)),
				"parameter_counts", component_counts(p));
	char *text = NULL;

	if (index && own && json_object_update(index, own) == 0) {
		json_object_del(index, "_class_name");
		json_object_del(index, "_diffusers_version");
		text = json_dumps(index, JSON_INDENT(4) | JSON_SORT_KEYS);
	}
	json_decref(index);
	json_decref(own);
	if (text)
		*ret_len = strlen(text);
	return text;
}

char *config_requantized_index(const json_t *base, const char *quantize, size_t *ret_len)
{
	json_t *index = json_copy((json_t *)(uintptr_t)base);
	char *text = NULL;

	if (index && json_object_set_new(index, "quantization", upper(quantize)) == 0)
		text = json_dumps(index, JSON_INDENT(4) | JSON_SORT_KEYS);
	json_decref(index);
	if (text)
		*ret_len = strlen(text);
	return text;
}
