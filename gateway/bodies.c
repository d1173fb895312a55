/*
 * What all request bodies share, and the small ones. Pure functions over the client's
 * bytes; they own nothing but what they return.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/timefmt.h"
#include "common/utf8.h"
#include "gateway/bodies.h"

/* Go's words, which clients may know. */
static const char *go_kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT: return "object";
	case JSON_ARRAY: return "array";
	case JSON_STRING: return "string";
	case JSON_INTEGER:
	case JSON_REAL: return "number";
	default: return "bool";
	}
}

int body_read_json(const json_t *root, const char *go_type, const struct field *table, void *ret,
		   uint64_t *present, struct err *err)
{
	if (json_is_object(root))
		return fields_read(table, root, FIELDS_NOCASE, ret, present, err);
	if (json_is_null(root))
		return 0;
	return err_set(err, -EINVAL, "json: cannot unmarshal %s into Go value of type %s",
		       go_kind(root), go_type);
}

/* The reference's words for a syntax error, where it has such; the place stays behind them. */
static void reword_syntax(struct err *err)
{
	static const struct {
		const char *ours, *words;
	} rows[] = {
		{ "string or '}' expected near '", "looking for beginning of object key string" },
		{ "':' expected near '", "after object key" },
		{ "'}' expected near '", "after object key:value pair" },
		{ "']' expected near '", "after array element" },
		{ "invalid token near '", "looking for beginning of value" },
		{ "unexpected token near '", "looking for beginning of value" },
	};
	const char *place = strstr(err->text, " at line ");

	for (size_t i = 0; place && i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].ours);
		struct err old = *err;
		uint32_t code;

		if (strncmp(err->text, rows[i].ours, n))
			continue;
		err_set(err, -EINVAL, "invalid character '%.*s' %s%s",
			(int)utf8_decode(old.text + n, strlen(old.text + n), &code), old.text + n,
			rows[i].words, old.text + (place - err->text));
		return;
	}
}

static json_t *body_parse(const char *text, size_t len, const char *go_type, struct err *err)
{
	json_t *root = json_parse(text, len, true, err);

	if (!root)
		reword_syntax(err);
	if (!root && !strcmp(err->text, "EOF") && !strncmp(go_type, "api.", 4))
		err_set(err, -EINVAL, "missing request body");
	else if (!root)
		err->code = -EINVAL;
	return root;
}

int body_read(const char *text, size_t len, const char *go_type, const struct field *table,
	      void *ret, uint64_t *present, struct err *err)
{
	json_t *root = body_parse(text, len, go_type, err);
	int r;

	if (!root)
		return err->code;
	r = body_read_json(root, go_type, table, ret, present, err);
	json_decref(root);
	return r;
}

json_t *body_parse_lifted(struct upload *body, const char *go_type, struct lift *ret_lift,
			  struct err *err)
{
	int r = lift_strings(body->data, body->len, picture_members, ret_lift, err);
	json_t *root;

	if (r == -E2BIG)
		err_set(err, -EINVAL, "too many input images, maximum is %u", LIMIT_INPUT_IMAGES);
	if (r < 0)
		return NULL;
	if (ret_lift->n)
		root = body_parse(ret_lift->text.data, ret_lift->text.len, go_type, err);
	else
		root = body_parse(body->data, body->len, go_type, err);
	if (!root)
		lift_clear(ret_lift);
	return root;
}

void ignored_add(struct ignored *ignored, const char *name)
{
	size_t len = strlen(ignored->text), room = sizeof(ignored->text) - len;
	int n = snprintf(ignored->text + len, room, "%s%.60s", len ? ", " : "", name);

	/* Whole names only. */
	if (n < 0 || (size_t)n >= room)
		ignored->text[len] = '\0';
	/* A stranger's bytes must not end the header. */
	for (char *p = ignored->text + len; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-., ", *p))
			*p = '?';
}

void body_find_unknown(const json_t *root, const struct field *table, struct ignored *ignored)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)root, key, value)
		if (!json_is_null(value) && !fields_find(table, key))
			ignored_add(ignored, key);
}

char *body_take_first(char **a, char **b)
{
	char **from = *a && **a ? a : b;
	char *ret = *from;

	if (!ret)
		return strdup("");
	*from = NULL;
	return ret;
}

static int unsupported(const json_t *value, struct err *err)
{
	const char *kind = json_is_array(value) ? "[]interface {}" :
			   json_is_object(value) ? "map[string]interface {}" : "bool";

	return err_set(err, -EINVAL, "Unsupported type: '%s'", kind);
}

int keep_alive_read(const json_t *value, int64_t *ret_ns, struct err *err)
{
	double seconds;
	int64_t ns;

	if (json_is_string(value)) {
		if (duration_parse(json_string_value(value), &ns, err) < 0)
			return -EINVAL;
		*ret_ns = ns < 0 ? DURATION_FOREVER : ns;
		return 0;
	}
	if (!json_is_number(value))
		return unsupported(value, err);
	seconds = json_number_value(value);
	*ret_ns = seconds < 0 || seconds >= 9.2e9 ? DURATION_FOREVER : (int64_t)(seconds * 1e9);
	return 0;
}

int picture_check(const struct picture_params *p, struct err *err)
{
	if (p->width > LIMIT_SIDE || p->height > LIMIT_SIDE)
		return err_set(err, -EINVAL, "width and height must be <= %u", LIMIT_SIDE);
	if (p->steps > LIMIT_STEPS)
		return err_set(err, -EINVAL, "steps must be <= %u", LIMIT_STEPS);
	return 0;
}

void picture_params_clear(struct picture_params *p)
{
	free(p->prompt);
	free(p->negative);
	picture_inputs_clear(&p->inputs);
	*p = (struct picture_params){ 0 };
}

/* ---- names ---- */

struct raw_name {
	char *model, *name, *source, *destination, *system, *template;
	json_t *options;
	bool verbose;
};

static const struct field name_fields[] = {
	FIELD(struct raw_name, model, STR),
	FIELD(struct raw_name, name, STR),
	FIELD(struct raw_name, source, STR),
	FIELD(struct raw_name, destination, STR),
	FIELD(struct raw_name, system, STR),
	FIELD(struct raw_name, template, STR),
	FIELD(struct raw_name, options, JSON),
	FIELD(struct raw_name, verbose, BOOL),
	{ 0 }
};

int name_body_read(const char *text, size_t len, const char *go_type, struct name_body *ret,
		   struct err *err)
{
	struct raw_name raw = { 0 };
	int r = body_read(text, len, go_type, name_fields, &raw, NULL, err);

	if (r < 0)
		return r;
	*ret = (struct name_body){
		.model = body_take_first(&raw.model, &raw.name),
		.source = raw.source ? raw.source : strdup(""),
		.destination = raw.destination ? raw.destination : strdup(""),
		.verbose = raw.verbose,
	};
	raw.source = raw.destination = NULL;
	fields_clear(name_fields, &raw);
	if (ret->model && ret->source && ret->destination)
		return 0;
	name_body_clear(ret);
	return err_set(err, -ENOMEM, "out of memory");
}

void name_body_clear(struct name_body *b)
{
	free(b->model);
	free(b->source);
	free(b->destination);
	*b = (struct name_body){ 0 };
}

/* ---- create ---- */

struct raw_create {
	char *model, *name, *from, *quantize, *system, *template, *requires;
	json_t *files, *parameters, *license, *info;
	bool stream, insecure;
};

static const struct field create_fields[] = {
	FIELD(struct raw_create, model, STR),
	FIELD(struct raw_create, name, STR),
	FIELD(struct raw_create, from, STR),
	FIELD(struct raw_create, files, JSON),
	FIELD(struct raw_create, quantize, STR, .alias = "quantization"),
	FIELD(struct raw_create, parameters, JSON),
	FIELD(struct raw_create, license, JSON),
	FIELD(struct raw_create, info, JSON),
	FIELD(struct raw_create, system, STR),
	FIELD(struct raw_create, template, STR),
	FIELD(struct raw_create, requires, STR),
	FIELD(struct raw_create, stream, BOOL),
	FIELD(struct raw_create, insecure, BOOL),
	{ 0 }
};

/* A string or an array of strings -> a new array; NULL for nothing. */
static int read_licenses(const json_t *value, json_t **ret, struct err *err)
{
	const json_t *each;
	size_t i;

	*ret = NULL;
	if (!value)
		return 0;
	if (json_is_string(value)) {
		*ret = json_pack("[O]", value);
		return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	json_array_foreach(value, i, each)
		if (!json_is_string(each))
			return err_set(err, -EINVAL,
				       "member 'license' holds something that is no string");
	if (!json_is_array(value))
		return err_set(err, -EINVAL,
			       "member 'license' must be a string or an array of strings");
	*ret = json_incref((json_t *)(uintptr_t)value);
	return 0;
}

static int check_object(const json_t *value, const char *name, struct err *err)
{
	if (!value || json_is_object(value))
		return 0;
	return err_set(err, -EINVAL, "json: cannot unmarshal %s into Go struct field "
		       "CreateRequest.%s of type map", go_kind(value), name);
}

/* The config's fields that a client may set. */
static int check_info(const json_t *info, struct err *err)
{
	static const char *const texts[] = { "model_family", "parameter_size",
					     "quantization_level", "base_name" };
	static const char *const numbers[] = { "context_length", "embedding_length" };
	const json_t *value = json_object_get(info, "capabilities"), *each;
	size_t i;

	if (check_object(info, "info", err) < 0)
		return -EINVAL;
	if (value && !json_is_array(value))
		return err_set(err, -EINVAL, "info field \"capabilities\" must be an array");
	json_array_foreach(value, i, each)
		if (!json_is_string(each))
			return err_set(err, -EINVAL,
				       "info field \"capabilities\" must hold strings");
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		value = json_object_get(info, texts[i]);
		if (value && !json_is_string(value))
			return err_set(err, -EINVAL, "info field \"%s\" must be a string",
				       texts[i]);
	}
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		value = json_object_get(info, numbers[i]);
		if (value && !json_is_number(value))
			return err_set(err, -EINVAL, "info field \"%s\" must be a number", numbers[i]);
		if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
			return err_set(err, -EINVAL, "info field \"%s\" must be a non-negative integer",
				       numbers[i]);
	}
	return 0;
}

static char *move(char **text)
{
	char *ret = *text;

	*text = NULL;
	return ret;
}

static int finish_create(struct raw_create *raw, struct create_body *ret, struct err *err)
{
	int r = check_object(raw->files, "files", err);

	if (r == 0)
		r = check_object(raw->parameters, "parameters", err);
	if (r == 0)
		r = check_info(raw->info, err);
	if (r == 0)
		r = read_licenses(raw->license, &ret->licenses, err);
	if (r < 0)
		return r;
	ret->model = body_take_first(&raw->model, &raw->name);
	ret->from = move(&raw->from);
	ret->quantize = move(&raw->quantize);
	ret->system = move(&raw->system);
	ret->template = move(&raw->template);
	ret->requires = move(&raw->requires);
	ret->files = json_incref(raw->files);
	ret->parameters = json_incref(raw->parameters);
	ret->info = json_incref(raw->info);
	ret->stream = raw->stream;
	ret->insecure = raw->insecure;
	return ret->model ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int create_body_read(const char *text, size_t len, struct create_body *ret, struct err *err)
{
	struct raw_create raw = { .stream = true };
	int r = body_read(text, len, "api.CreateRequest", create_fields, &raw, NULL, err);

	if (r < 0)
		return r;
	*ret = (struct create_body){ 0 };
	r = finish_create(&raw, ret, err);
	fields_clear(create_fields, &raw);
	if (r < 0)
		create_body_clear(ret);
	return r;
}

void create_body_clear(struct create_body *b)
{
	free(b->model);
	free(b->from);
	free(b->quantize);
	free(b->system);
	free(b->template);
	free(b->requires);
	json_decref(b->files);
	json_decref(b->parameters);
	json_decref(b->licenses);
	json_decref(b->info);
	*b = (struct create_body){ 0 };
}
