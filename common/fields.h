#ifndef EASEL_COMMON_FIELDS_H
#define EASEL_COMMON_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/*
 * JSON object <-> C struct by a table: HTTP bodies, runner messages and model
 * configs are all read this way, so type and range errors name the member.
 */
enum field_type {
	FIELD_END = 0,
	FIELD_BOOL,                     /* bool */
	FIELD_U32,                      /* uint32_t; JSON integer literal only */
	FIELD_I64,                      /* int64_t */
	FIELD_U64,                      /* uint64_t, written as integer (<= INT64_MAX) or decimal string */
	FIELD_F64,                      /* double; any JSON number */
	FIELD_STR,                      /* char *, owned */
	FIELD_JSON,                     /* json_t *, a reference; any value */
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	bool required;                  /* absent or null is an error */
	double min, max;                /* numbers; both 0: only the type's own range. STR: max length in bytes */
	const char *alias;              /* second accepted name, used when the first is absent */
};

/* FIELD(struct, member, TYPE, further designators...) */
#define FIELD(struct_, member_, ...) FIELD_AS(struct_, member_, #member_, __VA_ARGS__)
/* JSON name differs from the member's. */
#define FIELD_AS(struct_, member_, name_, ...) \
	{ .name = (name_), .offset = offsetof(struct_, member_), FIELD_TYPE_(__VA_ARGS__, ) }
#define FIELD_TYPE_(type_, ...) .type = FIELD_##type_, __VA_ARGS__

enum fields_flags {
	FIELDS_STRICT = 1,              /* an unknown member is an error (messages) */
	FIELDS_NOCASE = 2,              /* exact name first, else case-insensitively (HTTP bodies) */
};

/*
 * Fills *ret. Members that are absent or null keep the value *ret came with.
 * Bit i of *present (may be NULL) is set when row i was given; tables have at
 * most 64 rows. Returns 0 or -EINVAL with a sentence that names the member;
 * on error what was read so far is freed and zeroed.
 */
int fields_read(const struct field *table, const json_t *object, unsigned flags,
		void *ret, uint64_t *present, struct err *err);
/* A new object, or NULL without memory. NULL strings and JSON values are left out. */
json_t *fields_write(const struct field *table, const void *values);
/* The row of that name or alias, any case; NULL: none. */
const struct field *fields_find(const struct field *table, const char *name);
/* Frees owned members and zeroes them. */
void fields_clear(const struct field *table, void *values);

/*
 * Parses one JSON value. Invalid UTF-8 inside strings becomes U+FFFD; depth is
 * bounded; text after the value is ignored when trailing is true.
 * NULL with err: "EOF" for nothing but white space, "unexpected EOF" when cut
 * off, else the syntax error.
 */
json_t *json_parse(const char *text, size_t len, bool trailing, struct err *err);
/* Reads a whole file (bounded by max bytes) as JSON; errors name the path. */
json_t *json_parse_file(const char *path, size_t max, struct err *err);
/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL without memory. */
json_t *text_json(const char *text);

#endif
