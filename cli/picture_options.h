#ifndef EASEL_CLI_PICTURE_OPTIONS_H
#define EASEL_CLI_PICTURE_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/graphics.h"
#include "cli/options.h"
#include "common/err.h"

#define PICTURE_UNSET INT64_MIN         /* a whole number that was not given */

/* What pictures are drawn with: the flags of easel run. Texts belong to others. */
struct picture_flags {
	int64_t width, height, steps, seed;     /* <= 0: the model's own, a random seed */
	const char *negative, *step_cache;
	double guidance, strength;              /* NaN: not given */
	struct flag_list images;
	const char *mask, *mask_mode;
	const char *keepalive, *output, *from;
	bool verbose, insecure, quiet, json;
	enum graphics graphics;         /* no flag: how the terminal shows what was drawn */
	bool ignored;
	const char *ignored_text;
	int64_t ignored_int;
};

/* What a flag of the table is besides a flag; NULL where it is not that. */
struct picture_option {
	const char *request;            /* member of the request */
	bool in_options;                /* of its member "options" */
	const char *metadata;           /* member of what a PNG keeps about itself */
	/* "/set <name of the flag, or one of aliases>": what it is; NULL: no setting. */
	const char *title;
	const char *aliases;            /* separated by blanks */
	const char *label;              /* what messages call it; NULL: the name of the flag */
	const char *word;               /* for its value in /help; NULL: n, x or s, by its type */
	const char *wanted;             /* what it must be: "a positive integer" */
	double min, max;                /* of a number; whole ones have no max */
	bool (*check)(const char *text);        /* of a text; NULL: any will do */
};

#define PICTURE_OPTIONS_MAX 64          /* rows of the table, its end too */
/* The flags of easel run, for a struct picture_flags that begins as picture_defaults. */
extern const struct flag picture_options[];
extern const struct picture_flags picture_defaults;

/* Adds what was given, and is no default, to the body of a request. */
void picture_options_request(const struct picture_flags *f, json_t *body);
/*
 * Takes what was not given from a PNG's metadata (picture_metadata.h): texts point into it.
 * -EINVAL naming a member of the wrong type.
 */
int picture_options_fill(struct picture_flags *f, const json_t *metadata, struct err *err);

/* A session's /set of that option; NULL: there is none of that name or alias, in any case. */
const struct flag *picture_option_find(const char *name);
/*
 * Sets it from value ("": takes it back) and says on out what was done, or why not. A text is
 * copied to *text (freed before), which the option then points to.
 */
void picture_option_set(const struct flag *option, const char *value, struct picture_flags *f,
			char **text, FILE *out);
/* "  strength: 0.5" and a new line, where it was given. */
void picture_option_print(const struct flag *option, const struct picture_flags *f, FILE *out);

#endif
