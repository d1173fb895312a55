#ifndef EASEL_CLI_ATTACHMENTS_H
#define EASEL_CLI_ATTACHMENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Pictures on their way into a request. A struct of zeroes holds none. */
struct attachments {
	json_t *images;                 /* array of base64 texts, or NULL */
	json_t *mask;                   /* base64 text, or NULL */
	size_t bytes;                   /* of base64 so far: bounded by LIMIT_BODY */
	bool quiet;                     /* what prompts name is not told */
};

void attachments_finish(struct attachments *a);
/* The same pictures once more, to be added to; attachments_finish() in any case. */
int attachments_copy(const struct attachments *from, struct attachments *ret, struct err *err);

/*
 * Reads a PNG, JPEG or WebP file. -EINVAL "<path>: invalid image type: ..." for others,
 * -E2BIG above LIMIT_INPUT_IMAGES, -EMSGSIZE for what a request does not hold.
 */
int attachments_add(struct attachments *a, const char *path, struct err *err);
int attachments_set_mask(struct attachments *a, const char *path, struct err *err);

/*
 * Adds the pictures that text names (image_path.h) and says so on stderr; errors as
 * above, without the path in front. *ret is what is left of the text, without blanks
 * around it; the caller frees.
 */
int attachments_take(struct attachments *a, const char *text, char **ret, struct err *err);
/*
 * The same for words that are joined by blanks; a word that is the name of an existing
 * picture file is one without ./ too. first (or NULL) goes before them.
 */
int attachments_take_words(struct attachments *a, const char *first, char *const *words, size_t n,
			   char **ret, struct err *err);
/* Whether a text begins with the path of a picture that exists. */
bool attachments_begin(const char *text);

#endif
