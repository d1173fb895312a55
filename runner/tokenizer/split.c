/*
 * The pre-tokenizer's pattern, run by PCRE2. The reference's engine and PCRE2 differ in
 * \s (PCRE2's takes U+180E), so \s and \S are written out as Unicode White_Space. The
 * compiled pattern is read-only; a run belongs to one thread.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "common/buf.h"
#include "runner/tokenizer/split.h"

enum {
	MAX_PATTERN = 4096,
	JIT_STACK_MIN = 32 << 10, JIT_STACK_MAX = 8 << 20,
	MATCH_STEPS_BASE = 1 << 20, MATCH_STEPS_PER_BYTE = 16,
};

#define WHITE_SPACE "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}" \
	"\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

const char split_qwen2[] =
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
	" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct split {
	pcre2_code *code;
};

struct split_run {
	const struct split *split;
	const char *text;
	size_t len, at;                         /* at: end of the piece handed out last */
	size_t match_start, match_end;          /* found but not handed out, when start > at */
	bool pending;
	pcre2_match_data *match;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

/* \s and \S -> White_Space classes, inside and outside of brackets. */
static int write_out_space(const char *p, struct buf *out, struct err *err)
{
	bool in_class = false;

	for (; *p; p++) {
		if (*p == '\\' && p[1]) {
			p++;
			if (*p == 's')
				buf_puts(out, in_class ? WHITE_SPACE : "[" WHITE_SPACE "]");
			else if (*p == 'S' && in_class)
				return err_set(err, -EINVAL,
					       "pre-tokenizer: \\S inside [] is not supported");
			else if (*p == 'S')
				buf_puts(out, "[^" WHITE_SPACE "]");
			else
				buf_append(out, (const char[]){ '\\', *p }, 2);
			continue;
		}
		if (*p == '[')
			in_class = true;
		else if (*p == ']')
			in_class = false;
		buf_append(out, p, 1);
	}
	if (buf_failed(out))
		return err_set(err, -EINVAL, "pre-tokenizer: the pattern is too long");
	return 0;
}

static int compile(const char *pattern, size_t len, pcre2_code **ret, struct err *err)
{
	/* A \C or a (*verb) could match half a character or lift the limits. */
	const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
	PCRE2_SIZE offset;
	int code;

	if (strstr(pattern, "(*"))
		return err_set(err, -EINVAL,
			       "pre-tokenizer: verbs are not supported in the pattern");
	*ret = pcre2_compile((PCRE2_SPTR)pattern, len, options, &code, &offset, NULL);
	if (!*ret) {
		char text[128] = "";

		pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
		return err_set(err, -EINVAL, "pre-tokenizer: bad pattern: %s", text);
	}
	pcre2_jit_compile(*ret, PCRE2_JIT_COMPLETE);    /* where there is none, it is interpreted */
	return 0;
}

int split_create(const char *pattern, struct split **ret, struct err *err)
{
	struct buf expanded = BUF_INIT(4 * MAX_PATTERN);
	struct split *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	if (strlen(pattern) > MAX_PATTERN)
		r = err_set(err, -EINVAL, "pre-tokenizer: the pattern is too long");
	else
		r = write_out_space(pattern, &expanded, err);
	if (r == 0)
		r = compile(expanded.len ? expanded.data : "", expanded.len, &s->code, err);
	buf_finish(&expanded);
	if (r < 0) {
		split_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void split_free(struct split *s)
{
	if (s)
		pcre2_code_free(s->code);
	free(s);
}

struct split_run *split_begin(const struct split *s, const char *text, size_t len)
{
	struct split_run *r = calloc(1, sizeof *r);
	uint64_t steps = MATCH_STEPS_BASE + (uint64_t)MATCH_STEPS_PER_BYTE * len;

	if (!r)
		return NULL;
	r->split = s;
	r->text = text;
	r->len = len;
	r->match = pcre2_match_data_create_from_pattern(s->code, NULL);
	r->context = pcre2_match_context_create(NULL);
	r->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
	if (!r->match || !r->context) {
		split_end(r);
		return NULL;
	}
	/* Enough for a run of blanks as long as the text, which is retried from its end. */
	pcre2_set_match_limit(r->context, steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps);
	if (r->stack)
		pcre2_jit_stack_assign(r->context, NULL, r->stack);
	return r;
}

void split_end(struct split_run *r)
{
	if (!r)
		return;
	pcre2_match_data_free(r->match);
	pcre2_match_context_free(r->context);
	pcre2_jit_stack_free(r->stack);
	free(r);
}

/* 1: match_start and match_end are set; 0: no further match. */
static int find_match(struct split_run *r, struct err *err)
{
	/* Empty matches would never advance; the UTF-8 was checked by the caller. */
	const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
	PCRE2_SPTR text = (PCRE2_SPTR)r->text;
	const PCRE2_SIZE *where;
	int n;

	n = pcre2_match(r->split->code, text, r->len, r->at, options, r->match, r->context);
	if (n == PCRE2_ERROR_JIT_STACKLIMIT)
		n = pcre2_match(r->split->code, text, r->len, r->at, options | PCRE2_NO_JIT,
				r->match, r->context);
	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0)
		return err_set(err, -EINVAL,
			       "pre-tokenizer: the pattern fails on this text (PCRE2 error %d)", n);
	where = pcre2_get_ovector_pointer(r->match);
	if (where[0] < r->at || where[1] <= where[0])   /* \K and look-behind can do that */
		return err_set(err, -EINVAL, "pre-tokenizer: the pattern moves backwards");
	r->match_start = where[0];
	r->match_end = where[1];
	return 1;
}

int split_next(struct split_run *r, size_t *start, size_t *end, struct err *err)
{
	int found = 1;

	if (r->at >= r->len)
		return 0;
	if (!r->pending) {
		found = find_match(r, err);
		if (found < 0)
			return found;
	}
	*start = r->at;
	if (!found)
		*end = r->len;                  /* no match left: the rest is one piece */
	else if (r->match_start > r->at)
		*end = r->match_start;          /* the gap in front of a match is a piece too */
	else
		*end = r->match_end;
	r->pending = found && *end == r->match_start;
	r->at = *end;
	return 1;
}
