/*
 * Model names. Owns nothing; any thread.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/name.h"

/* What each part may hold: length, and characters beyond letters, digits and '_'. */
static const struct part {
	size_t max;
	const char *further;
} parts[] = { { 350, "-.:" }, { 80, "-" }, { 80, "-." }, { 80, "-." } };
enum { HOST, NAMESPACE, MODEL, TAG };

static bool word_char(char c)
{
	return c == '_' || (c > 0 && isalnum((unsigned char)c));
}

static bool part_valid(const char *text, const struct part *part)
{
	size_t len = strlen(text);

	if (!len || len > part->max || !word_char(text[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!word_char(text[i]) && !strchr(part->further, text[i]))
			return false;
	return true;
}

bool name_valid(const struct model_name *name)
{
	return part_valid(name->host, &parts[HOST]) && part_valid(name->namespace, &parts[NAMESPACE]) &&
	       part_valid(name->model, &parts[MODEL]) && part_valid(name->tag, &parts[TAG]);
}

/* Copies [begin, end) into a part; one too long becomes empty, hence invalid. */
static void set_part(char *ret, size_t size, const char *begin, const char *end)
{
	size_t len = (size_t)(end - begin);

	if (len >= size || memchr(begin, '\0', len))
		len = 0;
	memcpy(ret, begin, len);
	ret[len] = '\0';
}

/* What follows the last '/' of [begin, *end); *end moves in front of it (NULL: nothing is left). */
static const char *cut_last(const char *begin, const char **end)
{
	const char *slash = memrchr(begin, '/', (size_t)(*end - begin));

	*end = slash;
	return slash ? slash + 1 : begin;
}

static void split(const char *begin, const char *end, struct model_name *ret)
{
	const char *slash = memrchr(begin, '/', (size_t)(end - begin));
	const char *colon = memrchr(begin, ':', (size_t)(end - begin)), *scheme, *part, *stop;

	*ret = (struct model_name){ NAME_DEFAULT_HOST, NAME_DEFAULT_NAMESPACE, "", NAME_DEFAULT_TAG };
	if (colon && (!slash || colon > slash)) {
		set_part(ret->tag, sizeof ret->tag, colon + 1, end);
		end = colon;
	}
	stop = end;
	part = cut_last(begin, &end);
	set_part(ret->model, sizeof ret->model, part, stop);
	if (!end)
		return;
	stop = end;
	part = cut_last(begin, &end);
	set_part(ret->namespace, sizeof ret->namespace, part, stop);
	if (!end)
		return;
	scheme = memmem(begin, (size_t)(end - begin), "://", 3);
	set_part(ret->host, sizeof ret->host, scheme ? scheme + 3 : begin, end);
}

int name_parse(const char *text, struct model_name *ret, struct err *err)
{
	const char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	split(text, end, ret);
	if (!name_valid(ret))
		return err_set(err, -EINVAL, "invalid model name");
	return 0;
}

void name_short(const struct model_name *name, char ret[NAME_TEXT_SIZE])
{
	bool host = strcasecmp(name->host, NAME_DEFAULT_HOST) != 0;
	bool namespace = host || strcasecmp(name->namespace, NAME_DEFAULT_NAMESPACE) != 0;

	snprintf(ret, NAME_TEXT_SIZE, "%s%s%s%s%s:%s", host ? name->host : "", host ? "/" : "",
		 namespace ? name->namespace : "", namespace ? "/" : "", name->model, name->tag);
}

void name_path(const struct model_name *name, char ret[NAME_TEXT_SIZE])
{
	snprintf(ret, NAME_TEXT_SIZE, "%s/%s/%s/%s", name->host, name->namespace, name->model, name->tag);
}

bool name_equal(const struct model_name *a, const struct model_name *b)
{
	return !strcasecmp(a->host, b->host) && !strcasecmp(a->namespace, b->namespace) &&
	       !strcasecmp(a->model, b->model) && !strcasecmp(a->tag, b->tag);
}
