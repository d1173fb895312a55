/*
 * The options of a picture: one table for the flags of easel run, the members of its
 * request, a PNG's metadata and the settings of a session. Owns nothing.
 */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/picture_options.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/step_cache.h"

_Static_assert(FLAG_LIST_MAX >= LIMIT_INPUT_IMAGES, "--image cannot be given often enough");

const struct picture_flags picture_defaults = {
	.width = PICTURE_UNSET, .height = PICTURE_UNSET, .steps = PICTURE_UNSET,
	.seed = PICTURE_UNSET, .guidance = NAN, .strength = NAN,
};

static const struct picture_option width = {
	.request = "width", .metadata = "width", .title = "image width", .aliases = "w",
	.wanted = "a positive integer", .min = 1,
};
static const struct picture_option height = {
	.request = "height", .metadata = "height", .title = "image height", .aliases = "h",
	.wanted = "a positive integer", .min = 1,
};
static const struct picture_option steps = {
	.request = "steps", .metadata = "steps", .title = "denoising steps", .aliases = "s",
	.wanted = "a positive integer",
};
static const struct picture_option seed = {
	.request = "seed", .in_options = true, .metadata = "seed", .title = "random seed",
	.wanted = "an integer", .min = (double)INT64_MIN,
};
static const struct picture_option negative = {
	.request = "negative", .metadata = "negative_prompt", .title = "negative prompt",
	.aliases = "neg n", .label = "negative prompt",
};
static const struct picture_option guidance = {
	.request = "guidance", .metadata = "guidance", .title = "guidance scale", .aliases = "g",
	.wanted = "a number from 0 to 100", .max = LIMIT_GUIDANCE,
};
static const struct picture_option strength = {
	.request = "strength", .metadata = "strength", .title = "how much an image changes",
	.wanted = "a number from 0 to 1", .max = 1,
};

static bool is_step_cache(const char *text)
{
	struct step_cache_setting ignored;
	struct err err;

	return step_cache_parse(text, &ignored, &err) == 0;
}

static const struct picture_option step_cache = {
	.request = "step_cache", .in_options = true, .metadata = "step_cache",
	.title = "how steps reuse work", .aliases = "step_cache", .label = "step_cache", .word = "how",
	.wanted = "off, teacache or reference, also with a threshold as in teacache:0.2",
	.check = is_step_cache,
};

#define AT(member) offsetof(struct picture_flags, member)
const struct flag picture_options[] = {
	{ "output", 'o', FLAG_TEXT, AT(output), "string",
	  "Save to this file or folder, or - for standard output", .completion = COMPLETE_FILE },
	{ "from", 0, FLAG_TEXT, AT(from), "file",
	  "Draw the picture of this file again", .completion = COMPLETE_IMAGE },
	{ "keepalive", 0, FLAG_TEXT, AT(keepalive), "string",
	  "Duration to keep the model loaded (e.g. 5m)" },
	{ "verbose", 0, FLAG_BOOL, AT(verbose), NULL, "Show timings for the picture" },
	{ "quiet", 'q', FLAG_BOOL, AT(quiet), NULL, "Print the name of the file and errors only" },
	{ "json", 0, FLAG_BOOL, AT(json), NULL, "Print the server's answer as JSON" },
	{ "insecure", 0, FLAG_BOOL, AT(insecure), NULL,
	  "Pull a missing model over plain HTTP" },
	{ "width", 0, FLAG_INT, AT(width), "int", "Image width", FLAGS_IMAGE, .picture = &width },
	{ "height", 0, FLAG_INT, AT(height), "int", "Image height", FLAGS_IMAGE,
	  .picture = &height },
	{ "steps", 0, FLAG_INT, AT(steps), "int", "Denoising steps", FLAGS_IMAGE,
	  .picture = &steps },
	{ "seed", 0, FLAG_INT, AT(seed), "int", "Random seed", FLAGS_IMAGE, .picture = &seed },
	{ "negative", 0, FLAG_TEXT, AT(negative), "str", "Negative prompt", FLAGS_IMAGE,
	  .picture = &negative },
	{ "guidance", 0, FLAG_FLOAT, AT(guidance), "num", "Guidance scale (0 = off)", FLAGS_IMAGE,
	  .picture = &guidance },
	{ "step-cache", 0, FLAG_TEXT, AT(step_cache), "how",
	  "Reuse work between steps: off, teacache[:threshold], reference[:threshold]", FLAGS_IMAGE,
	  .offers = "off teacache reference", .picture = &step_cache },
	{ "image", 0, FLAG_LIST, AT(images), "file",
	  "Image to start from or to refer to (repeatable)", FLAGS_IMAGE, COMPLETE_IMAGE },
	{ "strength", 0, FLAG_FLOAT, AT(strength), "num",
	  "How much the image changes, 0 to 1", FLAGS_IMAGE, .picture = &strength },
	{ "mask", 0, FLAG_TEXT, AT(mask), "file", "Image of what is drawn anew", FLAGS_IMAGE,
	  COMPLETE_IMAGE },
	{ "mask-mode", 0, FLAG_TEXT, AT(mask_mode), "by",
	  "What marks that in the mask: alpha (transparent) or white", FLAGS_IMAGE,
	  .choices = "alpha white" },
	{ "format", 0, FLAG_TEXT, AT(ignored_text), .group = FLAGS_IGNORED },
	{ "think", 0, FLAG_OPTIONAL, AT(ignored_text), .group = FLAGS_IGNORED },
	{ "hidethinking", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "nowordwrap", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "truncate", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "dimensions", 0, FLAG_INT, AT(ignored_int), .group = FLAGS_IGNORED },
	{ "imagegen", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ 0 }
};
#undef AT
_Static_assert(sizeof picture_options / sizeof *picture_options <= PICTURE_OPTIONS_MAX,
	       "PICTURE_OPTIONS_MAX is too small");

static const void *value_of(const struct picture_flags *f, const struct flag *o)
{
	return (const char *)f + o->offset;
}

static bool is_given(const struct picture_flags *f, const struct flag *o)
{
	const void *value = value_of(f, o);

	switch (o->type) {
	case FLAG_INT:
		return *(const int64_t *)value != PICTURE_UNSET;
	case FLAG_FLOAT:
		return !isnan(*(const double *)value);
	case FLAG_TEXT:
		return *(const char *const *)value != NULL;
	default:
		return false;
	}
}

/* ---- requests ---- */

/* NULL for what says nothing: numbers up to 0 and empty texts are the model's own. */
static json_t *request_value(const struct picture_flags *f, const struct flag *o)
{
	const void *value = value_of(f, o);

	if (o->type == FLAG_FLOAT)
		return json_real(*(const double *)value);
	if (o->type == FLAG_TEXT)
		return **(const char *const *)value ? text_json(*(const char *const *)value) : NULL;
	return *(const int64_t *)value > 0 ? json_integer(*(const int64_t *)value) : NULL;
}

static void put_option(json_t *body, const struct picture_option *o, json_t *value)
{
	if (o->in_options && !json_object_get(body, "options"))
		json_object_set_new(body, "options", json_object());
	json_object_set_new(o->in_options ? json_object_get(body, "options") : body, o->request,
			    value);
}

void picture_options_request(const struct picture_flags *f, json_t *body)
{
	for (const struct flag *o = picture_options; o->name; o++) {
		json_t *value;

		if (!o->picture || !o->picture->request || !is_given(f, o))
			continue;
		value = request_value(f, o);
		if (value)
			put_option(body, o->picture, value);
	}
}

/* ---- metadata ---- */

static bool fill(struct picture_flags *f, const struct flag *o, const json_t *value)
{
	void *to = (char *)f + o->offset;

	if (o->type == FLAG_INT && json_is_integer(value))
		*(int64_t *)to = json_integer_value(value);
	else if (o->type == FLAG_FLOAT && json_is_number(value))
		*(double *)to = json_number_value(value);
	else if (o->type == FLAG_TEXT && json_is_string(value))
		*(const char **)to = json_string_value(value);
	else
		return false;
	return true;
}

int picture_options_fill(struct picture_flags *f, const json_t *metadata, struct err *err)
{
	for (const struct flag *o = picture_options; o->name; o++) {
		const char *name = o->picture ? o->picture->metadata : NULL;
		const json_t *value = name ? json_object_get(metadata, name) : NULL;

		if (!value || json_is_null(value) || is_given(f, o))
			continue;
		if (!fill(f, o, value))
			return err_set(err, -EINVAL, "its metadata is damaged: '%s' has the wrong "
				       "type", name);
	}
	return 0;
}

/* ---- sessions ---- */

static bool is_alias(const char *aliases, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = aliases ? aliases : ""; *at; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (n == len && !strncasecmp(at, name, len))
			return true;
		at += n;
	}
	return false;
}

const struct flag *picture_option_find(const char *name)
{
	for (const struct flag *o = picture_options; o->name; o++)
		if (o->picture && o->picture->title &&
		    (!strcasecmp(o->name, name) || is_alias(o->picture->aliases, name)))
			return o;
	return NULL;
}

static bool set_whole(const struct flag *o, const char *text, int64_t *ret)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || (double)value < o->picture->min)
		return false;
	*ret = value;
	return true;
}

static bool set_real(const struct flag *o, const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= o->picture->min && value <= o->picture->max))
		return false;
	*ret = value;
	return true;
}

static const char *label_of(const struct flag *o)
{
	return o->picture->label ? o->picture->label : o->name;
}

static void clear(const struct flag *o, struct picture_flags *f, FILE *out)
{
	if (o->type == FLAG_INT) {
		fprintf(out, "Error: usage: /set <option> <value>\n");
		return;
	}
	if (o->type == FLAG_FLOAT)
		*(double *)((char *)f + o->offset) = NAN;
	else
		*(const char **)((char *)f + o->offset) = NULL;
	fprintf(out, "Cleared %s\n", label_of(o));
}

static bool set_text(const struct flag *o, const char *value, const char **ret, char **text)
{
	char *copy;

	if (o->picture->check && !o->picture->check(value))
		return false;
	copy = strdup(value);
	if (!copy)
		return false;
	free(*text);
	*text = copy;
	*ret = copy;
	return true;
}

void picture_option_set(const struct flag *o, const char *value, struct picture_flags *f,
			char **text, FILE *out)
{
	void *to = (char *)f + o->offset;
	bool good;

	if (!*value) {
		clear(o, f, out);
		return;
	}
	if (o->type == FLAG_TEXT)
		good = set_text(o, value, to, text);
	else
		good = o->type == FLAG_INT ? set_whole(o, value, to) : set_real(o, value, to);
	if (!good)
		fprintf(out, "Error: %s must be %s\n", label_of(o),
			o->picture->wanted ? o->picture->wanted : "shorter");
	else if (o->type == FLAG_INT)
		fprintf(out, "Set %s to %lld\n", label_of(o), (long long)*(int64_t *)to);
	else if (o->type == FLAG_FLOAT)
		fprintf(out, "Set %s to %g\n", label_of(o), *(double *)to);
	else
		fprintf(out, "Set %s to: %s\n", label_of(o), value);
}

void picture_option_print(const struct flag *o, const struct picture_flags *f, FILE *out)
{
	const void *value = value_of(f, o);
	char label[32];

	if (!is_given(f, o))
		return;
	snprintf(label, sizeof label, "%s:", o->name);
	fprintf(out, "  %-9s ", label);
	if (o->type == FLAG_INT)
		fprintf(out, "%lld\n", (long long)*(const int64_t *)value);
	else if (o->type == FLAG_FLOAT)
		fprintf(out, "%g\n", *(const double *)value);
	else
		fprintf(out, "%s\n", *(const char *const *)value);
}
