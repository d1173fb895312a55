#ifndef EASEL_CLI_OPTIONS_H
#define EASEL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum flag_type {
	FLAG_BOOL,                      /* bool; alone or =true, =false */
	FLAG_INT,                       /* int64_t; decimal, 0x..., 0... */
	FLAG_FLOAT,                     /* double */
	FLAG_TEXT,                      /* const char *, points into argv */
	FLAG_OPTIONAL,                  /* const char *; takes a value only after '=' */
	FLAG_LIST,                      /* struct flag_list; may be repeated */
};

#define FLAG_LIST_MAX 16
struct flag_list {
	const char *items[FLAG_LIST_MAX];       /* point into argv */
	size_t n;
};

enum flag_group {
	FLAGS_GENERAL,                  /* the block "Flags:" */
	FLAGS_IMAGE,                    /* the block "Image Generation Flags" */
	FLAGS_IGNORED,                  /* accepted for old scripts, not shown */
};

/* What a shell offers for the value of a flag, or for an argument. */
enum completion {
	COMPLETE_NOTHING, COMPLETE_FILE, COMPLETE_FOLDER, COMPLETE_IMAGE, COMPLETE_MODEL,
	COMPLETE_MODEL_OR_IMAGE, COMPLETE_COMMAND,
};

struct picture_option;

/*
 * One flag of a command; tables end with a NULL name. Parsing, help, manual, shell
 * completions and, for pictures, requests and sessions are made from these rows.
 */
struct flag {
	const char *name;
	char letter;                    /* short form, or 0 */
	enum flag_type type;
	size_t offset;                  /* of the value in the command's struct */
	const char *word;               /* what the help calls the value */
	const char *help;
	enum flag_group group;
	enum completion completion;
	const char *choices;            /* all values there are, separated by blanks; NULL: any */
	const char *offers;             /* what a shell offers where there are others, too */
	const struct picture_option *picture;   /* picture_options.h; NULL: no such option */
};

/*
 * Reads argv[0..argc): flags and arguments in any order, "--" ends flags. Values go
 * where the table says, the rest to args (room for argc pointers) in its order. What
 * is not given keeps its value. Returns 0, OPTIONS_HELP as soon as -h or --help is
 * met, or -EINVAL with the sentence.
 */
#define OPTIONS_HELP 1
int options_parse(const struct flag *table, int argc, char **argv, void *values,
		  char **args, size_t *n_args, struct err *err);

/* The flags of commands that have no other. */
struct quiet_values {
	bool quiet;
};
extern const struct flag quiet_flags[];

/* Checks the count: 0, or -EINVAL "accepts 1 arg(s), received 0" and its kin. */
int options_check_count(unsigned min, unsigned max, size_t n, struct err *err);

#endif
