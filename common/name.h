#ifndef EASEL_COMMON_NAME_H
#define EASEL_COMMON_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define NAME_DEFAULT_HOST      "registry.ollama.ai"
#define NAME_DEFAULT_NAMESPACE "library"
#define NAME_DEFAULT_TAG       "latest"
#define NAME_TEXT_SIZE         640      /* room for any printed name */

/* [scheme://][host/][namespace/]model[:tag]. All parts are filled. */
struct model_name {
	char host[352];
	char namespace[88];
	char model[88];
	char tag[88];
};

/*
 * Parses and fills defaults; surrounding blanks are trimmed. 0, or -EINVAL
 * "invalid model name". A valid name is safe as a relative path: no part starts
 * with a dot or holds a slash.
 */
int name_parse(const char *text, struct model_name *ret, struct err *err);
bool name_valid(const struct model_name *name);         /* for names read back from disk */
/* Shortest form with the tag: "z-image:latest", "x/klein:4b", "host:5000/library/m:t". */
void name_short(const struct model_name *name, char ret[NAME_TEXT_SIZE]);
int name_order(const void *a, const void *b);             /* for qsort(), of struct model_name; knows case */
bool name_equal(const struct model_name *a, const struct model_name *b);        /* ignores case */

#endif
