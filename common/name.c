/*
 * Model names: parsing, checking and printing. A name that passed is safe as a
 * relative path, which is all the path safety of the store. Pure functions.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/name.h"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool part_valid(const char *text, const char *further, size_t max)
{
	size_t len = strlen(text);

	if (!len || len > max || !is_alnum(text[0]))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr(further, *text))
			return false;
	return true;
}

bool name_valid(const struct model_name *name)
{
	return part_valid(name->host, "-.:", 350) && part_valid(name->namespace, "-", 80) &&
	       part_valid(name->model, "-.", 80) && part_valid(name->tag, "-.", 80);
}

/* Cuts what follows the last separator off text into part; false when there is no separator. */
static bool cut_last(char *text, char separator, char **part)
{
	char *at = strrchr(text, separator);

	if (!at) {
		*part = text;
		return false;
	}
	*at = '\0';
	*part = at + 1;
	return true;
}

/* What does not fit is longer than any valid part, and stays so when cut. */
static void set_part(char *part, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(part, text, len);
	part[len] = '\0';
}

/* text is cut up. A separator promises a part on both sides; an empty one is found by name_valid(). */
static void parse_parts(char *text, struct model_name *name)
{
	char *colon = strrchr(text, ':'), *slash = strrchr(text, '/'), *part, *scheme;
	bool more;

	if (colon && (!slash || colon > slash)) {
		*colon = '\0';
		set_part(name->tag, sizeof(name->tag), colon + 1);
	}
	more = cut_last(text, '/', &part);
	set_part(name->model, sizeof(name->model), part);
	if (!more)
		return;
	more = cut_last(text, '/', &part);
	set_part(name->namespace, sizeof(name->namespace), part);
	if (!more)
		return;
	scheme = strstr(text, "://");
	set_part(name->host, sizeof(name->host), scheme ? scheme + 3 : text);
}

static int invalid(struct err *err)
{
	return err_set(err, -EINVAL, "invalid model name");
}

int name_parse(const char *text, struct model_name *ret, struct err *err)
{
	struct model_name name = {
		.host = NAME_DEFAULT_HOST,
		.namespace = NAME_DEFAULT_NAMESPACE,
		.tag = NAME_DEFAULT_TAG,
	};
	char copy[NAME_TEXT_SIZE + 64];         /* a name and its scheme */
	size_t len = strlen(text);

	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	if (len >= sizeof(copy))
		return invalid(err);
	memcpy(copy, text, len);
	copy[len] = '\0';
	parse_parts(copy, &name);
	if (!name_valid(&name))
		return invalid(err);
	*ret = name;
	return 0;
}

void name_short(const struct model_name *name, char ret[NAME_TEXT_SIZE])
{
	bool own_host = strcasecmp(name->host, NAME_DEFAULT_HOST);
	bool own_namespace = own_host || strcasecmp(name->namespace, NAME_DEFAULT_NAMESPACE);

	snprintf(ret, NAME_TEXT_SIZE, "%s%s%s%s%s:%s", own_host ? name->host : "", own_host ? "/" : "",
		 own_namespace ? name->namespace : "", own_namespace ? "/" : "", name->model, name->tag);
}

int name_order(const void *a, const void *b)
{
	const struct model_name *x = a, *y = b;
	int r = strcmp(x->host, y->host);

	if (!r)
		r = strcmp(x->namespace, y->namespace);
	if (!r)
		r = strcmp(x->model, y->model);
	return r ? r : strcmp(x->tag, y->tag);
}

bool name_equal(const struct model_name *a, const struct model_name *b)
{
	return !strcasecmp(a->host, b->host) && !strcasecmp(a->namespace, b->namespace) &&
	       !strcasecmp(a->model, b->model) && !strcasecmp(a->tag, b->tag);
}
