/*
 * Forms: text parts become JSON values, files become pictures. Pure functions; they own
 * nothing but what they return.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "gateway/forms.h"
#include "gateway/multipart.h"

#define LITERAL_MAX 64u                 /* bytes of a number, true or false */

static json_t *string_of(struct piece text)
{
	size_t len;
	char *valid = utf8_sanitize(text.data, text.len, &len);
	json_t *value = valid ? json_stringn_nocheck(valid, len) : NULL;

	free(valid);
	return value;
}

/* A number or a truth value where the row wants no text; NULL when it is none. */
static json_t *literal_of(struct piece text)
{
	json_t *value = text.len <= LITERAL_MAX ? json_parse(text.data, text.len, false, NULL) :
			NULL;

	if (json_is_number(value) || json_is_boolean(value))
		return value;
	json_decref(value);
	return NULL;
}

static int add_text(json_t *members, const struct field *row, struct piece text, struct err *err)
{
	json_t *value = row->type == FIELD_STR ? NULL : literal_of(text);

	/* What a browser sends for a number that nobody filled in. */
	if (!text.len && row->type != FIELD_STR)
		return 0;
	if (!value)
		value = string_of(text);
	if (json_object_set_new(members, row->name, value) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int add_part(const struct multipart_part *part, const struct field *table, json_t *members,
		    struct picture_sources *sources, struct err *err)
{
	const struct field *row;
	int r = picture_sources_add_part(sources, part->name, part->is_file, part->body, err);

	if (r)
		return r < 0 ? r : 0;
	row = fields_find(table, part->name);
	if (row)
		return add_text(members, row, part->body, err);
	/* Only so that it can be named; a name that is no text is not worth it. */
	json_object_set_new(members, part->name, json_true());
	return 0;
}

int form_read(const char *content_type, struct upload *body, const struct field *table,
	      json_t **ret_members, struct picture_sources *ret_sources, struct err *err)
{
	json_t *members = json_object();
	struct multipart_part part;
	struct multipart m;
	int r = members ? multipart_begin(&m, content_type, body->data, body->len, err) :
		err_set(err, -ENOMEM, "out of memory");

	while (r == 0 && (r = multipart_next(&m, &part, err)) > 0)
		r = add_part(&part, table, members, ret_sources, err);
	if (r < 0)
		json_decref(members);
	else
		*ret_members = members;
	return r;
}
