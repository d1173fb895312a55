#ifndef EASEL_CLI_IMAGE_PATH_H
#define EASEL_CLI_IMAGE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* What the search needs to know of the machine; tests give their own. */
struct image_path_world {
	bool (*exists)(const char *path);       /* a regular file */
	const char *home;                       /* what "~" stands for; NULL: nothing */
};

/* A picture file that a text names. */
struct image_path {
	size_t start, end;              /* bytes of the text, quotes included */
	char *path;                     /* escapes undone, ~ expanded; the caller frees */
};

/*
 * The first path of an existing picture file in text at or after from: bare (it begins
 * with /, ./, ../, ~/, a backslash or a drive letter, and runs over blanks to the first
 * .jpg, .jpeg, .png or .webp), or anything in quotes. 1 found, 0 none, -ENOMEM.
 */
int image_path_next(const char *text, size_t from, const struct image_path_world *world,
		    struct image_path *ret);
/* Whether text begins with a bare path of a picture, existing or not. */
bool image_path_begins(const char *text);
/* Whether a name ends as picture files do. */
bool image_path_has_type(const char *path);

#endif
