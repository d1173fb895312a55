/*
 * Command-line flags by a table: long and short forms, values joined or apart, flags
 * and arguments mixed. The sentences are the ones that scripts written for Ollama
 * know. Owns nothing: values point into argv.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

struct parser {
	const struct flag *table;
	int argc, at;                   /* at: the next word to look at */
	char **argv;
	char *values;
	struct err *err;
};

static bool takes_value(const struct flag *f)
{
	return f->type != FLAG_BOOL && f->type != FLAG_OPTIONAL;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static const char *read_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True", NULL };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", NULL };

	if (!one_of(text, yes) && !one_of(text, no))
		return "invalid syntax";
	*ret = one_of(text, yes);
	return NULL;
}

static const char *read_int(const char *text, int64_t *ret)
{
	long long value;
	char *end;

	if (!strchr("+-0123456789", *text))
		return "invalid syntax";
	errno = 0;
	value = strtoll(text, &end, 0);
	if (end == text || *end)
		return "invalid syntax";
	if (errno == ERANGE)
		return "value out of range";
	*ret = value;
	return NULL;
}

static const char *read_float(const char *text, double *ret)
{
	double value;
	char *end;

	if (!strchr("+-.0123456789", *text))
		return "invalid syntax";
	value = strtod(text, &end);
	if (end == text || *end)
		return "invalid syntax";
	if (!isfinite(value))
		return "value out of range";
	*ret = value;
	return NULL;
}

/* Whether the words of choices (NULL: any) hold text. */
static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = choices; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (strcspn(at, " ") == len && !strncmp(at, text, len))
			return true;
	return !choices;
}

static const char *add_item(const char *text, struct flag_list *list)
{
	if (list->n == FLAG_LIST_MAX)
		return "given too often";
	list->items[list->n++] = text;
	return NULL;
}

/* NULL, or why the text is no such value; *ret_reader names who refused it. */
static const char *read_value(const struct flag *f, const char *text, void *ret,
			      const char **ret_reader)
{
	switch (f->type) {
	case FLAG_BOOL:
		*ret_reader = "ParseBool";
		return read_bool(text, ret);
	case FLAG_INT:
		*ret_reader = "ParseInt";
		return read_int(text, ret);
	case FLAG_FLOAT:
		*ret_reader = "ParseFloat";
		return read_float(text, ret);
	case FLAG_TEXT:
	case FLAG_OPTIONAL:
		if (!is_choice(f->choices, text))
			return "unknown value";
		*(const char **)ret = text;
		return NULL;
	case FLAG_LIST:
		return add_item(text, ret);
	}
	return "unknown type";
}

static int set_value(struct parser *p, const struct flag *f, const char *text)
{
	char shown[80];
	const char *reader = NULL, *why;

	why = read_value(f, text, p->values + f->offset, &reader);
	if (!why)
		return 0;
	if (f->letter)
		snprintf(shown, sizeof shown, "-%c, --%s", f->letter, f->name);
	else
		snprintf(shown, sizeof shown, "--%s", f->name);
	if (f->choices)
		return err_set(p->err, -EINVAL, "invalid argument \"%s\" for \"%s\" flag: must be "
			       "one of: %s", text, shown, f->choices);
	if (!reader)
		return err_set(p->err, -EINVAL, "invalid argument \"%s\" for \"%s\" flag: %s", text,
			       shown, why);
	return err_set(p->err, -EINVAL,
		       "invalid argument \"%s\" for \"%s\" flag: strconv.%s: parsing \"%s\": %s",
		       text, shown, reader, text, why);
}

static const struct flag *find_long(const struct flag *table, const char *name, size_t len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == len && !strncmp(table->name, name, len))
			return table;
	return NULL;
}

static const struct flag *find_letter(const struct flag *table, char letter)
{
	for (; table && table->name; table++)
		if (table->letter == letter)
			return table;
	return NULL;
}

/* text: what follows "--". */
static int parse_long(struct parser *p, const char *text)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;
	const struct flag *f = find_long(p->table, text, len);

	if (len == 0 || text[0] == '-')
		return err_set(p->err, -EINVAL, "bad flag syntax: --%s", text);
	if (!f && len == 4 && !strncmp(text, "help", 4))
		return OPTIONS_HELP;
	if (!f)
		return err_set(p->err, -EINVAL, "unknown flag: --%.*s",
			       len < INT_MAX ? (int)len : INT_MAX, text);
	if (value)
		return set_value(p, f, value);
	if (!takes_value(f))
		return set_value(p, f, "true");
	if (p->at == p->argc)
		return err_set(p->err, -EINVAL, "flag needs an argument: --%s", f->name);
	return set_value(p, f, p->argv[p->at++]);
}

/* text: what follows "-": letters without values, the last one may have one. */
static int parse_letters(struct parser *p, const char *text)
{
	for (; *text; text++) {
		const struct flag *f = find_letter(p->table, *text);
		int r;

		if (!f && *text == 'h')
			return OPTIONS_HELP;
		if (!f)
			return err_set(p->err, -EINVAL, "unknown shorthand flag: '%c' in -%s",
				       *text, text);
		if (text[1] == '=')
			return set_value(p, f, text + 2);
		if (takes_value(f) && text[1])
			return set_value(p, f, text + 1);
		if (takes_value(f) && p->at == p->argc)
			return err_set(p->err, -EINVAL, "flag needs an argument: '%c' in -%s",
				       *text, text);
		if (takes_value(f))
			return set_value(p, f, p->argv[p->at++]);
		r = set_value(p, f, "true");
		if (r)
			return r;
	}
	return 0;
}

int options_parse(const struct flag *table, int argc, char **argv, void *values,
		  char **args, size_t *n_args, struct err *err)
{
	struct parser p = { table, argc, 0, argv, values, err };
	bool flags_ended = false;
	int r = 0;

	*n_args = 0;
	while (p.at < argc && r == 0) {
		char *word = argv[p.at++];

		if (flags_ended || word[0] != '-' || !word[1])
			args[(*n_args)++] = word;
		else if (!strcmp(word, "--"))
			flags_ended = true;
		else if (word[1] == '-')
			r = parse_long(&p, word + 2);
		else
			r = parse_letters(&p, word + 1);
	}
	return r;
}

const struct flag quiet_flags[] = {
	{ "quiet", 'q', FLAG_BOOL, offsetof(struct quiet_values, quiet), NULL, "Print errors only" },
	{ 0 }
};

int options_check_count(unsigned min, unsigned max, size_t n, struct err *err)
{
	if (n >= min && n <= max)
		return 0;
	if (max == UINT_MAX)
		return err_set(err, -EINVAL, "requires at least %u arg(s), only received %zu",
			       min, n);
	if (min == max)
		return err_set(err, -EINVAL, "accepts %u arg(s), received %zu", min, n);
	if (min == 0)
		return err_set(err, -EINVAL, "accepts at most %u arg(s), received %zu", max, n);
	return err_set(err, -EINVAL, "accepts between %u and %u arg(s), received %zu",
		       min, max, n);
}
