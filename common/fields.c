/*
 * JSON objects to C structs and back, by tables. Owns nothing; any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/fields.h"

static void *member(const struct field *f, void *values)
{
	return (char *)values + f->offset;
}

static const char *kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT: return "object";
	case JSON_ARRAY: return "array";
	case JSON_STRING: return "string";
	case JSON_INTEGER:
	case JSON_REAL: return "number";
	case JSON_TRUE:
	case JSON_FALSE: return "bool";
	default: return "null";
	}
}

static const char *type_name(enum field_type t)
{
	static const char *const names[] = {
		[FIELD_BOOL] = "bool", [FIELD_U32] = "uint32", [FIELD_I64] = "int64",
		[FIELD_U64] = "uint64", [FIELD_F64] = "float64", [FIELD_STR] = "string",
	};

	return names[t];
}

static int wrong_type(const struct field *f, const json_t *value, struct err *err)
{
	char *text = json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
	int r = err_set(err, -EINVAL, "json: cannot unmarshal %s%s%s into member %s of type %s",
			kind(value), text ? " " : "", text ? text : "", f->name, type_name(f->type));

	free(text);
	return r;
}

static int out_of_range(const struct field *f, struct err *err)
{
	if (f->type == FIELD_STR)
		return err_set(err, -EINVAL, "%s is longer than %.0f bytes", f->name, f->max);
	return err_set(err, -EINVAL, "%s must be between %.15g and %.15g", f->name, f->min, f->max);
}

static bool in_range(const struct field *f, double value)
{
	return (f->min == 0 && f->max == 0) || (value >= f->min && value <= f->max);
}

static int read_integer(const struct field *f, const json_t *value, void *p, struct err *err)
{
	json_int_t n = json_integer_value(value);
	char *end;

	if (f->type == FIELD_U64 && json_is_string(value)) {
		const char *text = json_string_value(value);

		errno = 0;
		*(uint64_t *)p = strtoull(text, &end, 10);
		if (errno || *end || text[0] < '0' || text[0] > '9')
			return wrong_type(f, value, err);
		return in_range(f, (double)*(uint64_t *)p) ? 0 : out_of_range(f, err);
	}
	if (!json_is_integer(value) || (f->type == FIELD_U32 && (n < 0 || n > UINT32_MAX)) ||
	    (f->type == FIELD_U64 && n < 0))
		return wrong_type(f, value, err);
	if (!in_range(f, (double)n))
		return out_of_range(f, err);
	if (f->type == FIELD_U32)
		*(uint32_t *)p = (uint32_t)n;
	else if (f->type == FIELD_U64)
		*(uint64_t *)p = (uint64_t)n;
	else
		*(int64_t *)p = n;
	return 0;
}

static int read_string(const struct field *f, const json_t *value, char **p, struct err *err)
{
	char *copy;

	if (!json_is_string(value))
		return wrong_type(f, value, err);
	if (f->max > 0 && (double)json_string_length(value) > f->max)
		return out_of_range(f, err);
	copy = strdup(json_string_value(value));
	if (!copy)
		return err_set(err, -ENOMEM, "out of memory for %s", f->name);
	free(*p);
	*p = copy;
	return 0;
}

static int read_value(const struct field *f, json_t *value, void *p, struct err *err)
{
	switch (f->type) {
	case FIELD_BOOL:
		if (!json_is_boolean(value))
			return wrong_type(f, value, err);
		*(bool *)p = json_is_true(value);
		return 0;
	case FIELD_U32:
	case FIELD_I64:
	case FIELD_U64:
		return read_integer(f, value, p, err);
	case FIELD_F64:
		if (!json_is_number(value))
			return wrong_type(f, value, err);
		if (!in_range(f, json_number_value(value)))
			return out_of_range(f, err);
		*(double *)p = json_number_value(value);
		return 0;
	case FIELD_STR:
		return read_string(f, value, p, err);
	case FIELD_JSON:
		json_decref(*(json_t **)p);
		*(json_t **)p = json_incref(value);
		return 0;
	default:
		return err_set(err, -EINVAL, "%s has no type", f->name);
	}
}

/* The member of that name: exactly, else in any case when nocase. */
static json_t *lookup(const json_t *object, const char *name, bool nocase)
{
	json_t *value = json_object_get(object, name), *other;
	const char *key;

	if (value || !nocase)
		return value;
	json_object_foreach((json_t *)object, key, other)
		if (!strcasecmp(key, name))
			value = other;
	return value;
}

static json_t *find(const struct field *f, const json_t *object, unsigned flags)
{
	json_t *value = lookup(object, f->name, flags & FIELDS_NOCASE);

	if ((!value || json_is_null(value)) && f->alias)
		value = lookup(object, f->alias, flags & FIELDS_NOCASE);
	return value && !json_is_null(value) ? value : NULL;
}

static int refuse_unknown(const struct field *table, const json_t *object, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		const struct field *f = table;

		while (f->type && strcmp(f->name, key) && (!f->alias || strcmp(f->alias, key)))
			f++;
		if (!f->type)
			return err_set(err, -EINVAL, "unknown member %s", key);
	}
	return 0;
}

static int read_all(const struct field *table, const json_t *object, unsigned flags,
		    void *ret, uint64_t *present, struct err *err)
{
	int r;

	for (const struct field *f = table; f->type; f++) {
		json_t *value = find(f, object, flags);

		if (!value && f->required)
			return err_set(err, -EINVAL, "%s is required", f->name);
		if (!value)
			continue;
		r = read_value(f, value, member(f, ret), err);
		if (r < 0)
			return r;
		if (present)
			*present |= UINT64_C(1) << (f - table);
	}
	return 0;
}

int fields_read(const struct field *table, const json_t *object, unsigned flags,
		void *ret, uint64_t *present, struct err *err)
{
	int r = 0;

	if (present)
		*present = 0;
	if (!json_is_object(object))
		return err_set(err, -EINVAL, "json: cannot unmarshal %s into an object",
			       object ? kind(object) : "nothing");
	if (flags & FIELDS_STRICT)
		r = refuse_unknown(table, object, err);
	if (r == 0)
		r = read_all(table, object, flags, ret, present, err);
	if (r < 0)
		fields_clear(table, ret);
	return r;
}

static json_t *write_u64(uint64_t n)
{
	char text[24];

	if (n <= INT64_MAX)
		return json_integer((json_int_t)n);
	snprintf(text, sizeof text, "%" PRIu64, n);
	return json_string(text);
}

static json_t *write_value(const struct field *f, const void *p)
{
	switch (f->type) {
	case FIELD_BOOL: return json_boolean(*(const bool *)p);
	case FIELD_U32: return json_integer(*(const uint32_t *)p);
	case FIELD_I64: return json_integer(*(const int64_t *)p);
	case FIELD_U64: return write_u64(*(const uint64_t *)p);
	case FIELD_F64: return json_real(*(const double *)p);
	case FIELD_STR: return json_string(*(char *const *)p);
	default: return json_incref(*(json_t *const *)p);
	}
}

static bool absent(const struct field *f, const void *p)
{
	return (f->type == FIELD_STR && !*(char *const *)p) ||
	       (f->type == FIELD_JSON && !*(json_t *const *)p);
}

json_t *fields_write(const struct field *table, const void *values)
{
	json_t *object = json_object();

	for (const struct field *f = table; object && f->type; f++) {
		const void *p = (const char *)values + f->offset;

		if (absent(f, p))
			continue;
		if (json_object_set_new(object, f->name, write_value(f, p)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

void fields_clear(const struct field *table, void *values)
{
	for (const struct field *f = table; f->type; f++) {
		void *p = member(f, values);

		if (f->type == FIELD_STR) {
			free(*(char **)p);
			*(char **)p = NULL;
		} else if (f->type == FIELD_JSON) {
			json_decref(*(json_t **)p);
			*(json_t **)p = NULL;
		}
	}
}
