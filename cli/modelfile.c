/*
 * Modelfiles: a scanner for commands and their values (plain to the line's end, or in
 * one or three double quotes over several lines), and a table of what each command
 * does to an image model. Owns the values it returns.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/modelfile.h"
#include "cli/text.h"
#include "common/fields.h"
#include "common/limits.h"

struct scanner {
	const char *at, *end;
	unsigned line;                  /* of at, from 1 */
	unsigned command_line;          /* of the command being read */
	struct err *err;
};

/* ---- values ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static void advance(struct scanner *s, const char *to)
{
	for (; s->at < to; s->at++)
		s->line += *s->at == '\n';
}

static int unexpected_end(struct scanner *s)
{
	return err_set(s->err, -EINVAL, "unexpected EOF");
}

static int bad_line(struct scanner *s, const char *what, const char *detail)
{
	return err_set(s->err, -EINVAL, "(line %u): %s%s", s->command_line, what, detail);
}

static void skip_blanks(struct scanner *s)
{
	while (s->at < s->end && is_blank(*s->at))
		s->at++;
}

static const char *line_end(const struct scanner *s)
{
	const char *at = s->at;

	while (at < s->end && !is_newline(*at))
		at++;
	return at;
}

static const char *trimmed_end(const char *start, const char *end)
{
	while (end > start && (is_blank(end[-1]) || is_newline(end[-1])))
		end--;
	return end;
}

static size_t quote_size(const char *start, const char *end)
{
	size_t n = 0;

	while (n < 3 && start + n < end && start[n] == '"')
		n++;
	return n == 3 ? 3 : n > 0;
}

/* Whether what lies before end closes the quote that opened at start. */
static bool closes(const char *start, const char *end, size_t quote)
{
	return (size_t)(end - start) >= 2 * quote && !strncmp(end - quote, "\"\"\"", quote);
}

/* A quoted value goes to the first line that ends with the quote. */
static int quoted_end(struct scanner *s, const char *start, size_t quote, const char **ret)
{
	for (;;) {
		const char *end = line_end(s);

		*ret = trimmed_end(start, end);
		advance(s, end);
		if (closes(start, *ret, quote))
			return 0;
		if (s->at == s->end)
			return unexpected_end(s);
		advance(s, s->at + 1);
	}
}

/* The rest of the line, or of the quote, as the caller's string. */
static int scan_value(struct scanner *s, char **ret)
{
	const char *start, *end;
	size_t quote;

	skip_blanks(s);
	start = s->at;
	quote = quote_size(start, s->end);
	if (quote) {
		int r = quoted_end(s, start, quote, &end);

		if (r < 0)
			return r;
	} else {
		end = trimmed_end(start, line_end(s));
		advance(s, line_end(s));
	}
	*ret = strndup(start + quote, (size_t)(end - start) - 2 * quote);
	return *ret ? 0 : err_errno(s->err, ENOMEM, "reading the Modelfile");
}

/* ---- what commands do ---- */

enum command_kind { KEEP_TEXT, ADD_LICENSE, SET_PARAMETER, REFUSE, IGNORE };

static const struct modelfile_command {
	const char *name;               /* as error texts show it */
	enum command_kind kind;
	size_t offset;                  /* KEEP_TEXT: the member of struct modelfile */
	const char *why;                /* REFUSE */
} table[] = {
	{ "from", KEEP_TEXT, offsetof(struct modelfile, from) },
	{ "license", ADD_LICENSE },
	{ "template", KEEP_TEXT, offsetof(struct modelfile, template) },
	{ "system", KEEP_TEXT, offsetof(struct modelfile, system) },
	{ "adapter", REFUSE, .why = "ADAPTER is not supported for image models" },
	{ "draft", REFUSE, .why = "draft models are only supported for safetensors LLM models" },
	{ "renderer", IGNORE },
	{ "parser", IGNORE },
	{ "parameter", SET_PARAMETER },
	{ "message", REFUSE, .why = "MESSAGE is not supported for image models" },
	{ "requires", KEEP_TEXT, offsetof(struct modelfile, requires) },
};
#define N_COMMANDS (sizeof table / sizeof *table)

enum parameter_type { INTEGER, NUMBER, TEXT, DEPRECATED };

static const struct parameter {
	const char *name;
	enum parameter_type type;
} parameters[] = {
	{ "width", INTEGER }, { "height", INTEGER }, { "steps", INTEGER }, { "seed", INTEGER },
	{ "guidance", NUMBER }, { "strength", NUMBER },
	{ "negative_prompt", TEXT }, { "step_cache", TEXT },
	/* What old Modelfiles still say and no server has listened to for long. */
	{ "penalize_newline", DEPRECATED }, { "low_vram", DEPRECATED }, { "f16_kv", DEPRECATED },
	{ "logits_all", DEPRECATED }, { "vocab_only", DEPRECATED }, { "use_mlock", DEPRECATED },
	{ "mirostat", DEPRECATED }, { "mirostat_tau", DEPRECATED },
	{ "mirostat_eta", DEPRECATED },
};

static json_t *integer_value(const char *text)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	return end == text || *end || errno ? NULL : json_integer(value);
}

static json_t *number_value(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	return end == text || *end || !isfinite(value) ? NULL : json_real(value);
}

static int set_parameter(struct scanner *s, struct modelfile *m, const struct parameter *p,
			 const char *text)
{
	json_t *value = p->type == INTEGER ? integer_value(text) :
			p->type == NUMBER ? number_value(text) : text_json(text);

	if (!value)
		return err_set(s->err, -EINVAL, "(line %u): invalid %s value for %s: \"%s\"",
			       s->command_line, p->type == INTEGER ? "int" : "float", p->name, text);
	if (!m->parameters)
		m->parameters = json_object();
	if (json_object_set_new(m->parameters, p->name, value) < 0)
		return err_errno(s->err, ENOMEM, "reading the Modelfile");
	return 0;
}

static const struct parameter *find_parameter(const char *name)
{
	for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
		if (!strcmp(parameters[i].name, name))
			return &parameters[i];
	return NULL;
}

static int add_license(struct scanner *s, struct modelfile *m, const char *text)
{
	if (!m->licenses)
		m->licenses = json_array();
	if (json_array_append_new(m->licenses, text_json(text)) < 0)
		return err_errno(s->err, ENOMEM, "reading the Modelfile");
	return 0;
}

static void keep_text(struct modelfile *m, size_t offset, char **value)
{
	char **member = (char **)((char *)m + offset);

	free(*member);
	*member = *value;
	*value = NULL;
}

/* ---- commands ---- */

static const char *word_end(const struct scanner *s)
{
	const char *at = s->at;

	while (at < s->end && (isalnum((unsigned char)*at) || *at == '_'))
		at++;
	return at;
}

static const struct modelfile_command *find_command(const char *name, size_t len)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strlen(table[i].name) == len && !strncasecmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

static int unknown_command(struct scanner *s)
{
	char list[256] = "";

	for (size_t i = 0; i < N_COMMANDS; i++) {
		size_t len = strlen(list);

		snprintf(list + len, sizeof list - len, "%s\"%s\"",
			 i == 0 ? "" : i + 1 < N_COMMANDS ? ", " : ", or ", table[i].name);
	}
	return bad_line(s, "command must be one of ", list);
}

/* "PARAMETER name value", at the name. */
static int scan_parameter(struct scanner *s, struct modelfile *m)
{
	char name[64], *value = NULL;
	const struct parameter *p;
	const char *end;
	size_t len;
	int r;

	skip_blanks(s);
	end = word_end(s);
	len = (size_t)(end - s->at);
	if (len == 0 || len >= sizeof name || end == s->end || !is_blank(*end))
		return end == s->end ? unexpected_end(s) :
		       bad_line(s, "PARAMETER needs a name and a value", "");
	memcpy(name, s->at, len);
	name[len] = '\0';
	s->at = end;
	r = scan_value(s, &value);
	if (r < 0)
		return r;
	p = find_parameter(name);
	if (!p)
		r = err_set(s->err, -EINVAL, "unknown parameter '%s'", name);
	else if (p->type != DEPRECATED)
		r = set_parameter(s, m, p, value);
	free(value);
	return r;
}

static int run_command(struct scanner *s, struct modelfile *m, const struct modelfile_command *c)
{
	char *value = NULL;
	int r;

	if (c->kind == REFUSE)
		return bad_line(s, c->why, "");
	if (c->kind == SET_PARAMETER)
		return scan_parameter(s, m);
	r = scan_value(s, &value);
	if (r == 0 && !*value && c->kind != IGNORE)
		r = bad_line(s, c->name, " needs a value");
	else if (r == 0 && c->kind == ADD_LICENSE)
		r = add_license(s, m, value);
	else if (r == 0 && c->kind == KEEP_TEXT)
		keep_text(m, c->offset, &value);
	free(value);
	return r;
}

static int scan_command(struct scanner *s, struct modelfile *m)
{
	const struct modelfile_command *c;
	const char *end = word_end(s);

	s->command_line = s->line;
	c = find_command(s->at, (size_t)(end - s->at));
	if (!c)
		return unknown_command(s);
	if (end == s->end)
		return unexpected_end(s);
	if (!is_blank(*end))
		return unknown_command(s);
	s->at = end;
	return run_command(s, m, c);
}

int modelfile_parse(const char *text, size_t len, struct modelfile *ret, struct err *err)
{
	struct scanner s = { .at = text, .end = text + len, .line = 1, .err = err };

	*ret = (struct modelfile){ 0 };
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		s.at += 3;
	while (s.at < s.end) {
		int r = 0;

		if (*s.at == '#')
			advance(&s, line_end(&s));
		else if (is_blank(*s.at) || is_newline(*s.at))
			advance(&s, s.at + 1);
		else
			r = scan_command(&s, ret);
		if (r < 0)
			return r;
	}
	return 0;
}

int modelfile_read(const char *path, struct modelfile *ret, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	char *text;
	size_t len;

	*ret = (struct modelfile){ 0 };
	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	r = text_read(fd, path, LIMIT_CONFIG_FILE, &text, &len, err);
	close(fd);
	if (r < 0)
		return r;
	r = modelfile_parse(text, len, ret, err);
	free(text);
	return r;
}

void modelfile_finish(struct modelfile *m)
{
	free(m->from);
	free(m->system);
	free(m->template);
	free(m->requires);
	json_decref(m->parameters);
	json_decref(m->licenses);
	*m = (struct modelfile){ 0 };
}
