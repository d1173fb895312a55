/*
 * JSON object <-> C struct by a table of rows. Strings and JSON values read are
 * owned by the struct until fields_clear(). Any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/fields.h"
#include "common/utf8.h"

#define MAX_ROWS 64u

static void *member(const struct field *f, void *values)
{
	return (char *)values + f->offset;
}

static const char *kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT: return "object";
	case JSON_ARRAY: return "array";
	case JSON_STRING: return "string";
	case JSON_INTEGER: return "integer";
	case JSON_REAL: return "number";
	case JSON_NULL: return "null";
	default: return "bool";
	}
}

static const char *wanted(enum field_type type)
{
	switch (type) {
	case FIELD_BOOL: return "bool";
	case FIELD_STR: return "string";
	case FIELD_F64: return "number";
	default: return "integer";
	}
}

static int wrong_type(const struct field *f, const json_t *value, struct err *err)
{
	char *literal = json_is_number(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	err_set(err, -EINVAL, "cannot read %s%s%s as member '%s' of type %s", kind_of(value),
		literal ? " " : "", literal ? literal : "", f->name, wanted(f->type));
	free(literal);
	return -EINVAL;
}

static int out_of_range(const struct field *f, const json_t *value, double min, double max,
			struct err *err)
{
	char *literal = json_dumps(value, JSON_ENCODE_ANY);

	err_set(err, -EINVAL, "member '%s' is %s, must be %.17g to %.17g", f->name,
		literal ? literal : "out of range", min, max);
	free(literal);
	return -EINVAL;
}

static bool has_range(const struct field *f)
{
	return f->min < 0 || f->min > 0 || f->max < 0 || f->max > 0;
}

static int check_range(const struct field *f, const json_t *value, double number, struct err *err)
{
	if (has_range(f) && (number < f->min || number > f->max))
		return out_of_range(f, value, f->min, f->max, err);
	return 0;
}

static int read_bool(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	if (!json_is_boolean(value))
		return wrong_type(f, value, err);
	*(bool *)ret = json_is_true(value);
	return 0;
}

static int read_u32(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(f, value, err);
	if (number < 0 || number > UINT32_MAX)
		return out_of_range(f, value, f->min, has_range(f) ? f->max : UINT32_MAX, err);
	*(uint32_t *)ret = (uint32_t)number;
	return check_range(f, value, (double)number, err);
}

static int read_i64(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	if (!json_is_integer(value))
		return wrong_type(f, value, err);
	*(int64_t *)ret = json_integer_value(value);
	return check_range(f, value, (double)json_integer_value(value), err);
}

static bool parse_decimal(const char *text, uint64_t *ret)
{
	uint64_t number = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return false;
	}
	*ret = number;
	return true;
}

static int read_u64(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	uint64_t number = 0;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		number = (uint64_t)json_integer_value(value);
	else if (json_is_integer(value))
		return out_of_range(f, value, 0, has_range(f) ? f->max : 0x1p64, err);
	else if (!json_is_string(value) || !parse_decimal(json_string_value(value), &number))
		return wrong_type(f, value, err);
	*(uint64_t *)ret = number;
	return check_range(f, value, (double)number, err);
}

static int read_f64(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	if (!json_is_number(value))
		return wrong_type(f, value, err);
	*(double *)ret = json_number_value(value);
	return check_range(f, value, json_number_value(value), err);
}

static int read_str(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	char **text = ret, *copy;
	size_t len = json_string_length(value);

	if (!json_is_string(value))
		return wrong_type(f, value, err);
	if (f->max > 0 && (double)len > f->max)
		return err_set(err, -EINVAL, "member '%s' is %zu bytes long, at most %.0f are allowed",
			       f->name, len, f->max);
	if (strlen(json_string_value(value)) != len)
		return err_set(err, -EINVAL, "member '%s' holds a NUL character", f->name);
	copy = strdup(json_string_value(value));
	if (!copy)
		return err_set(err, -ENOMEM, "out of memory for member '%s'", f->name);
	free(*text);
	*text = copy;
	return 0;
}

static int read_json(const struct field *f, const json_t *value, void *ret, struct err *err)
{
	json_t **slot = ret;

	(void)f;
	(void)err;
	json_decref(*slot);
	*slot = json_incref((json_t *)value);
	return 0;
}

static int (*const readers[])(const struct field *, const json_t *, void *, struct err *) = {
	[FIELD_BOOL] = read_bool,
	[FIELD_U32] = read_u32,
	[FIELD_I64] = read_i64,
	[FIELD_U64] = read_u64,
	[FIELD_F64] = read_f64,
	[FIELD_STR] = read_str,
	[FIELD_JSON] = read_json,
};

/* The member's value, or NULL when absent or null. */
static const json_t *find(const json_t *object, const char *name, bool nocase)
{
	const json_t *value = json_object_get(object, name), *each;
	const char *key;

	if (value || !nocase)
		return json_is_null(value) ? NULL : value;
	json_object_foreach((json_t *)object, key, each)
		if (!strcasecmp(key, name) && !json_is_null(each))
			value = each;           /* the last one wins */
	return value;
}

static const json_t *find_row(const json_t *object, const struct field *f, unsigned flags)
{
	bool nocase = flags & FIELDS_NOCASE;
	const json_t *value = find(object, f->name, nocase);

	return value || !f->alias ? value : find(object, f->alias, nocase);
}

static bool is_known(const struct field *table, const char *key)
{
	for (const struct field *f = table; f->type != FIELD_END; f++)
		if (!strcmp(f->name, key) || (f->alias && !strcmp(f->alias, key)))
			return true;
	return false;
}

const struct field *fields_find(const struct field *table, const char *name)
{
	for (; table->type != FIELD_END; table++)
		if (!strcasecmp(table->name, name) ||
		    (table->alias && !strcasecmp(table->alias, name)))
			return table;
	return NULL;
}

static int check_unknown(const struct field *table, const json_t *object, struct err *err)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)object, key, value)
		if (!is_known(table, key))
			return err_set(err, -EINVAL, "unknown member '%.100s'", key);
	return 0;
}

static int read_rows(const struct field *table, const json_t *object, unsigned flags, void *ret,
		     uint64_t *present, struct err *err)
{
	for (const struct field *f = table; f->type != FIELD_END; f++) {
		const json_t *value = find_row(object, f, flags);
		int r;

		if (!value && f->required)
			return err_set(err, -EINVAL, "member '%s' is missing", f->name);
		if (!value)
			continue;
		r = readers[f->type](f, value, member(f, ret), err);
		if (r < 0)
			return r;
		*present |= 1ull << (f - table) % MAX_ROWS;
	}
	return 0;
}

int fields_read(const struct field *table, const json_t *object, unsigned flags, void *ret,
		uint64_t *present, struct err *err)
{
	uint64_t given = 0;
	int r = 0;

	if (!json_is_object(object))
		r = err_set(err, -EINVAL, "cannot read %s as an object",
			    object ? kind_of(object) : "nothing");
	if (!r && flags & FIELDS_STRICT)
		r = check_unknown(table, object, err);
	if (!r)
		r = read_rows(table, object, flags, ret, &given, err);
	if (r < 0) {
		fields_clear(table, ret);
		return r;
	}
	if (present)
		*present = given;
	return 0;
}

static json_t *make_string(const char *text)
{
	size_t len = strlen(text);
	json_t *value;
	char *valid;

	if (utf8_valid(text, len))
		return json_stringn_nocheck(text, len);
	valid = utf8_sanitize(text, len, &len);
	value = valid ? json_stringn_nocheck(valid, len) : NULL;
	free(valid);
	return value;
}

static json_t *make_u64(uint64_t number)
{
	char text[24];

	if (number <= INT64_MAX)
		return json_integer((json_int_t)number);
	snprintf(text, sizeof(text), "%" PRIu64, number);
	return json_string(text);
}

static json_t *make_value(enum field_type type, const void *p)
{
	switch (type) {
	case FIELD_BOOL: return json_boolean(*(const bool *)p);
	case FIELD_U32: return json_integer(*(const uint32_t *)p);
	case FIELD_I64: return json_integer(*(const int64_t *)p);
	case FIELD_U64: return make_u64(*(const uint64_t *)p);
	case FIELD_F64: return json_real(*(const double *)p);
	case FIELD_STR: return make_string(*(char *const *)p);
	case FIELD_JSON: return json_incref(*(json_t *const *)p);
	default: return NULL;
	}
}

static bool is_left_out(enum field_type type, const void *p)
{
	return (type == FIELD_STR || type == FIELD_JSON) && !*(void *const *)p;
}

json_t *fields_write(const struct field *table, const void *values)
{
	json_t *object = json_object();

	for (const struct field *f = table; object && f->type != FIELD_END; f++) {
		const void *p = member(f, (void *)values);

		if (is_left_out(f->type, p))
			continue;
		if (json_object_set_new(object, f->name, make_value(f->type, p)) < 0) {
			json_decref(object);
			object = NULL;
		}
	}
	return object;
}

void fields_clear(const struct field *table, void *values)
{
	for (const struct field *f = table; f->type != FIELD_END; f++) {
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
