/*
 * The parts of a multipart/form-data body. Pure functions; the body is the caller's and
 * is not changed.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "gateway/multipart.h"

/* ---- header parameters: "; name=value", "; name=\"value\"" ---- */

struct param {
	const char *name;               /* inside the header */
	size_t name_len;
	char value[MULTIPART_NAME_SIZE];
	size_t len;                     /* of the whole value, which may be cut off */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

static void put(struct param *p, char c)
{
	if (p->len < sizeof(p->value) - 1)
		p->value[p->len] = c;
	p->len++;
}

/* at: behind the opening quote. Behind the closing one, or NULL. */
static const char *read_quoted(const char *at, const char *end, struct param *ret)
{
	for (; at < end && *at != '"'; at++) {
		if (*at == '\\' && end - at > 1 && (at[1] == '"' || at[1] == '\\'))
			at++;
		put(ret, *at);
	}
	return at < end ? at + 1 : NULL;
}

static const char *read_value(const char *at, const char *end, struct param *ret)
{
	ret->len = 0;
	if (at < end && *at == '"') {
		at = read_quoted(at + 1, end, ret);
	} else {
		for (; at < end && *at != ';' && !is_blank(*at); at++)
			put(ret, *at);
	}
	ret->value[ret->len < sizeof(ret->value) ? ret->len : sizeof(ret->value) - 1] = '\0';
	return at;
}

/* The next one from *at on: 1, 0 at the end, -1 when this is none. */
static int param_next(const char **at, const char *end, struct param *ret)
{
	const char *here = skip_blanks(*at, end);

	while (here < end && *here == ';')
		here = skip_blanks(here + 1, end);
	if (here == end)
		return 0;
	ret->name = here;
	while (here < end && *here != '=' && *here != ';' && *here != '"' && !is_blank(*here))
		here++;
	if (here == end || *here != '=')
		return -1;
	ret->name_len = (size_t)(here - ret->name);
	here = read_value(here + 1, end, ret);
	if (!here)
		return -1;
	here = skip_blanks(here, end);
	*at = here;
	return here == end || *here == ';' ? 1 : -1;
}

static bool is_named(const struct param *p, const char *name)
{
	return p->name_len == strlen(name) && !strncasecmp(p->name, name, p->name_len);
}

/* Behind the first word when that is what is asked for, else NULL. */
static const char *skip_word(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);

	at = skip_blanks(at, end);
	if ((size_t)(end - at) < len || strncasecmp(at, word, len))
		return NULL;
	at = skip_blanks(at + len, end);
	return at == end || *at == ';' ? at : NULL;
}

/* ---- boundaries ---- */

bool multipart_is_form(const char *content_type)
{
	return content_type &&
	       skip_word(content_type, content_type + strlen(content_type), "multipart/form-data");
}

static int read_boundary(struct multipart *m, const char *content_type, struct err *err)
{
	const char *end = content_type + strlen(content_type);
	const char *at = skip_word(content_type, end, "multipart/form-data");
	struct param p;
	int r;

	while ((r = at ? param_next(&at, end, &p) : -1) > 0 && !is_named(&p, "boundary"))
		;
	if (r <= 0 || !p.len)
		return err_set(err, -EINVAL, "multipart: the Content-Type names no boundary");
	if (p.len > LIMIT_BOUNDARY)
		return err_set(err, -EINVAL, "multipart: a boundary of %zu characters, at most %u "
			       "are allowed", p.len, LIMIT_BOUNDARY);
	memcpy(m->mark, "\r\n--", 4);
	memcpy(m->mark + 4, p.value, p.len);
	m->mark_len = 4 + p.len;
	m->eol_len = 2;
	return 0;
}

/* Bytes of the line end at at, or 0. */
static size_t line_end(const struct multipart *m, const char *at)
{
	if (m->end - at >= 1 && at[0] == '\n')
		return 1;
	return m->end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
}

/*
 * What follows the mark of a boundary line. The start of the next part with its line end
 * in *ret_eol, the end of the body for the last boundary, or NULL: it is no such line.
 */
static char *after_mark(const struct multipart *m, char *at, bool *ret_last, size_t *ret_eol)
{
	bool last = m->end - at >= 2 && at[0] == '-' && at[1] == '-';

	at += last ? 2 : 0;
	while (at < m->end && is_blank(*at))
		at++;
	*ret_last = last;
	*ret_eol = line_end(m, at);
	if (last)
		return at == m->end || *ret_eol ? m->end : NULL;
	return *ret_eol ? at + *ret_eol : NULL;
}

/* How lines end: of the mark's "\r\n" both or the second. */
static const char *eol_of(const struct multipart *m)
{
	return m->mark + 2 - m->eol_len;
}

/* The next boundary from at on, with the line end before it, or NULL. Moves behind it. */
static char *find_boundary(struct multipart *m, char *at)
{
	size_t len = m->mark_len - 2 + m->eol_len, eol;
	const char *mark = eol_of(m);
	char *after;

	while ((at = memmem(at, (size_t)(m->end - at), mark, len))) {
		after = after_mark(m, at + len, &m->ended, &eol);
		if (after && (m->ended || eol == m->eol_len)) {
			m->at = after;
			return at;
		}
		at++;
	}
	return NULL;
}

/* The first one needs no line end before it, and says how lines end. */
static bool find_first(struct multipart *m)
{
	const char *mark = m->mark + 2;
	size_t len = m->mark_len - 2;
	char *at = m->at, *after;

	while ((at = memmem(at, (size_t)(m->end - at), mark, len))) {
		after = after_mark(m, at + len, &m->ended, &m->eol_len);
		if (after && (at == m->at || at[-1] == '\n')) {
			m->at = after;
			break;
		}
		at++;
	}
	return at;
}

int multipart_begin(struct multipart *m, const char *content_type, char *body, size_t len,
		    struct err *err)
{
	int r;

	*m = (struct multipart){ .at = body, .end = body + len };
	if (!len)
		return err_set(err, -EINVAL, "EOF");
	r = read_boundary(m, content_type, err);
	if (r < 0)
		return r;
	if (!find_first(m))
		return err_set(err, -EINVAL, "multipart: the body does not hold the boundary that "
			       "its Content-Type names");
	return 0;
}

/* ---- parts ---- */

/* Characters that browsers write as %22, %0D, %0A in a quoted name. */
static void decode_percents(char *text)
{
	static const struct {
		char code[4], c;
	} escapes[] = { { "%22", '"' }, { "%0D", '\r' }, { "%0A", '\n' } };
	char *to = text;

	while (*text) {
		size_t n = 0;

		for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]) && !n; i++)
			if (!strncasecmp(text, escapes[i].code, 3)) {
				*to++ = escapes[i].c;
				n = 3;
			}
		if (!n)
			*to++ = *text;
		text += n ? n : 1;
	}
	*to = '\0';
}

static int bad_part(const struct multipart *m, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "multipart: part %u %s", m->n_parts, what);
}

static int read_disposition(const struct multipart *m, const char *at, const char *end,
			    struct multipart_part *ret, struct err *err)
{
	struct param p;
	int r = -1;

	at = skip_word(at, end, "form-data");
	while (at && (r = param_next(&at, end, &p)) > 0) {
		if (is_named(&p, "filename") || is_named(&p, "filename*"))
			ret->is_file = true;
		if (!is_named(&p, "name"))
			continue;
		if (ret->name[0])
			return bad_part(m, "has two names", err);
		if (p.len >= sizeof(p.value))
			return bad_part(m, "has a name that is too long", err);
		memcpy(ret->name, p.value, p.len + 1);
		decode_percents(ret->name);
	}
	return r < 0 ? bad_part(m, "has a Content-Disposition that cannot be read", err) : 0;
}

static int read_header(const struct multipart *m, const char *line, const char *end,
		       struct multipart_part *ret, bool *has_disposition, struct err *err)
{
	static const char disposition[] = "Content-Disposition";
	const char *colon = memchr(line, ':', (size_t)(end - line));

	if (is_blank(*line))
		return bad_part(m, "has a header of several lines", err);
	for (const char *c = line; c < end; c++)
		if ((unsigned char)*c < 0x20 && *c != '\t')
			return bad_part(m, "has a control character in its header", err);
	if (!colon)
		return bad_part(m, "has a header line without a colon", err);
	if ((size_t)(colon - line) != sizeof(disposition) - 1 ||
	    strncasecmp(line, disposition, sizeof(disposition) - 1))
		return 0;
	if (*has_disposition)
		return bad_part(m, "has two Content-Dispositions", err);
	*has_disposition = true;
	return read_disposition(m, colon + 1, end, ret, err);
}

/* Headers up to and with the empty line behind them. */
static int read_headers(struct multipart *m, struct multipart_part *ret, struct err *err)
{
	size_t left = (size_t)(m->end - m->at);
	char *end = m->at + (left < LIMIT_PART_HEAD ? left : LIMIT_PART_HEAD);
	bool has_disposition = false;

	for (;;) {
		char *line = m->at, *stop;
		int r;

		stop = memmem(line, (size_t)(end - line), eol_of(m), m->eol_len);
		if (!stop)
			return bad_part(m, left > LIMIT_PART_HEAD ? "has a header that is too long" :
					"ends in its header: unexpected EOF", err);
		m->at = stop + m->eol_len;
		if (stop == line)
			break;
		r = read_header(m, line, stop, ret, &has_disposition, err);
		if (r < 0)
			return r;
	}
	if (!ret->name[0])
		return bad_part(m, "has no Content-Disposition: form-data with a name", err);
	return 0;
}

int multipart_next(struct multipart *m, struct multipart_part *ret, struct err *err)
{
	char *begin, *end;
	int r;

	*ret = (struct multipart_part){ 0 };
	if (m->ended)
		return 0;
	if (m->n_parts++ == LIMIT_PARTS)
		return err_set(err, -EINVAL, "multipart: more than %u parts", LIMIT_PARTS);
	r = read_headers(m, ret, err);
	if (r < 0)
		return r;
	/* From the empty line on: the boundary of an empty part may follow it at once. */
	begin = m->at;
	end = find_boundary(m, begin - m->eol_len);
	if (!end)
		return err_set(err, -EINVAL, "multipart: unexpected EOF: part %u is not followed "
			       "by a boundary", m->n_parts);
	ret->body = (struct piece){ begin, end > begin ? (size_t)(end - begin) : 0 };
	return 1;
}
