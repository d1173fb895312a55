/*
 * What a create request says beside its source: the name, PARAMETER, LICENSE, REQUIRES.
 * Checked before any file is looked at. Pure; any thread.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/quantise.h"
#include "common/step_cache.h"
#include "runner/import/options.h"

enum kind { INTEGER, NUMBER, TEXT, STEP_CACHE };

/* Parameters that requests take their defaults from. */
static const struct parameter {
	const char *name;
	enum kind kind;
	double min, max;                        /* TEXT: bytes */
} parameters[] = {
	{ "width",           INTEGER, LIMIT_SIDE_MIN, LIMIT_SIDE },
	{ "height",          INTEGER, LIMIT_SIDE_MIN, LIMIT_SIDE },
	{ "steps",           INTEGER, 1, LIMIT_STEPS },
	{ "seed",            INTEGER, -9007199254740992.0, 9007199254740992.0 },
	{ "guidance",        NUMBER,  0, LIMIT_GUIDANCE },
	{ "strength",        NUMBER,  0, 1 },
	{ "negative_prompt", TEXT,    0, LIMIT_PROMPT },
	{ "step_cache",      STEP_CACHE, 0, 64 },
};

/* Known from language models and without meaning here; old files carry them. */
static const char *const ignored[] = {
	"penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock",
	"mirostat", "mirostat_tau", "mirostat_eta",
	"num_keep", "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread",
	"num_predict", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "temperature",
	"repeat_penalty", "presence_penalty", "frequency_penalty", "stop",
};

static bool is_ignored(const char *name)
{
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		if (strcmp(ignored[i], name) == 0)
			return true;
	return false;
}

static const struct parameter *find(const char *name)
{
	for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
		if (strcmp(parameters[i].name, name) == 0)
			return &parameters[i];
	return NULL;
}

static json_t *check_text(const struct parameter *p, json_t *value, struct err *err)
{
	struct step_cache_setting setting;

	if (json_is_string(value) && json_string_length(value) <= (size_t)p->max) {
		if (p->kind == STEP_CACHE &&
		    step_cache_parse(json_string_value(value), &setting, err) < 0)
			return NULL;
		return json_incref(value);
	}
	err_set(err, -EINVAL, "parameter '%s' must be a string of at most %.0f bytes", p->name, p->max);
	return NULL;
}

/* 9.0 counts as the integer 9: some clients know only one kind of number. */
static json_t *check_number(const struct parameter *p, json_t *value, struct err *err)
{
	double x = json_number_value(value);
	bool whole = p->kind == INTEGER;

	if (json_is_number(value) && x >= p->min && x <= p->max && (!whole || x == floor(x)))
		return whole ? json_integer((json_int_t)x) : json_incref(value);
	err_set(err, -EINVAL, "parameter '%s' must be %s from %.0f to %.0f", p->name,
		whole ? "an integer" : "a number", p->min, p->max);
	return NULL;
}

static int read_parameters(const json_t *given, json_t *ret, struct err *err)
{
	const char *name;
	json_t *value;

	if (given && !json_is_object(given))
		return err_set(err, -EINVAL, "parameters must be an object");
	json_object_foreach((json_t *)given, name, value) {
		const struct parameter *p = find(name);
		json_t *checked;

		if (json_is_null(value) || is_ignored(name))
			continue;
		if (!p)
			return err_set(err, -EINVAL, "unknown parameter '%s'", name);
		checked = p->kind >= TEXT ? check_text(p, value, err) : check_number(p, value, err);
		if (!checked)
			return -EINVAL;
		if (json_object_set_new(ret, p->name, checked) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int check_licenses(const json_t *licenses, struct err *err)
{
	if (licenses && !json_is_array(licenses))
		return err_set(err, -EINVAL, "licenses must be an array of strings");
	for (size_t i = 0; i < json_array_size(licenses); i++)
		if (!json_is_string(json_array_get(licenses, i)))
			return err_set(err, -EINVAL, "licenses must be an array of strings");
	return 0;
}

/* One number of a version: no sign, no leading zero. NULL when there is none. */
static const char *version_number(const char *text, unsigned long *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9 || (text[0] == '0' && digits > 1))
		return NULL;
	*ret = strtoul(text, NULL, 10);
	return text + digits;
}

/* "-rc.1" and "+build" after a whole version. */
static bool is_version_tail(const char *text)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-.";

	if (*text == '-') {
		size_t len = strspn(text + 1, allowed);

		if (len == 0)
			return false;
		text += 1 + len;
	}
	if (*text == '+') {
		size_t len = strspn(text + 1, allowed);

		if (len == 0)
			return false;
		text += 1 + len;
	}
	return *text == '\0';
}

/* major[.minor[.patch]], shorter forms without a tail, as Go's semver has it. */
static bool parse_version(const char *text, unsigned long ret[3], const char **ret_tail)
{
	ret[0] = ret[1] = ret[2] = 0;
	if (*text == 'v')
		text++;
	for (int i = 0; i < 3; i++) {
		text = version_number(text, &ret[i]);
		if (!text)
			return false;
		if (*text != '.' || i == 2) {
			*ret_tail = text;
			return i == 2 ? is_version_tail(text) : *text == '\0';
		}
		text++;
	}
	return false;
}

static int check_requires(const char *requires, struct err *err)
{
	unsigned long v[3];
	const char *tail;

	if (!requires || !*requires)
		return 0;
	if (!parse_version(requires, v, &tail))
		return err_set(err, -EINVAL, "requires must be a valid semver (e.g. 0.14.0)");
	if (v[0] > 0 || v[1] > 19 || (v[1] == 19 && (v[2] > 0 || *tail != '-')))
		return 0;
	return err_set(err, -EINVAL, "requires %s is below the minimum supported version 0.19.0 "
		       "for safetensors models", requires);
}

static char *lower(const char *text)
{
	char *ret = strdup(text);

	for (char *c = ret; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return ret;
}

static int read_quantize(const char *asked, struct options *o, struct err *err)
{
	/* Of each form: elements of a group; the scales' type of floats is the tensor's later. */
	static const struct quant forms[] = {
		{ QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, { QUANT_INT4, 64, 1, DTYPE_BF16, 1 },
		{ QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 }, { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 },
		{ QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 },
	};
	int r = quantise_check(asked, err);
	enum quant_format format;

	if (r < 0 || !asked || !*asked)
		return r;
	format = quant_parse(quantise_form(asked));
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (forms[i].format == format)
			o->quant = forms[i];
	o->quantize = lower(asked);
	return o->quantize ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int check(const struct msg_import *request, struct options *o, struct err *err)
{
	int r = name_parse(request->model, &o->name, err);

	if (r < 0)
		return r;
	name_short(&o->name, o->short_name);
	r = read_quantize(request->quantize, o, err);
	if (r == 0)
		r = check_requires(request->requires, err);
	if (r == 0)
		r = check_licenses(request->licenses, err);
	if (r == 0)
		r = read_parameters(request->parameters, o->parameters, err);
	return r;
}

int options_read(const struct msg_import *request, struct options *ret, struct err *err)
{
	int r;

	*ret = (struct options){ .parameters = json_object() };
	if (!ret->parameters)
		return err_set(err, -ENOMEM, "out of memory");
	r = check(request, ret, err);
	if (r < 0)
		options_finish(ret);
	return r;
}

void options_finish(struct options *o)
{
	json_decref(o->parameters);
	o->parameters = NULL;
	free(o->quantize);
	o->quantize = NULL;
}
