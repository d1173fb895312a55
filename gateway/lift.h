#ifndef EASEL_GATEWAY_LIFT_H
#define EASEL_GATEWAY_LIFT_H

#include "common/buf.h"
#include "common/err.h"
#include "common/limits.h"
#include "gateway/upload.h"

/*
 * A JSON body with pictures is base64 but for a few hundred bytes. Lifting leaves such
 * strings where they are and makes a small text for the JSON parser that has "0", "1",
 * ... in their places; so pictures are never copied. Pure functions over the bytes.
 */
struct lift {
	struct buf text;                /* for the parser; empty when nothing was lifted */
	size_t n;
	struct piece strings[LIMIT_INPUT_STRINGS];      /* between the quotes, escapes and all */
};

/*
 * Lifts every string below the members of the outermost object that names lists (in any
 * case, NULL ends the list), whatever its length: what stands there in lift.text is
 * therefore always an index. A text that is no JSON stays none.
 * -E2BIG: more than LIMIT_INPUT_STRINGS; -ENOMEM.
 */
int lift_strings(char *text, size_t len, const char *const *names, struct lift *ret,
		 struct err *err);
void lift_clear(struct lift *l);
/* The string that an index of lift.text stands for. */
struct piece lift_find(const struct lift *l, const char *index);
/* JSON escapes -> characters, in place; what is beyond ASCII becomes '?'. */
void lift_unescape(struct piece *p);

#endif
