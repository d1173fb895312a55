#ifndef EASEL_CLI_LISTING_H
#define EASEL_CLI_LISTING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/cli.h"
#include "cli/table.h"

/* What the commands that read have in common. */

#define ID_SIZE 13
/* The first 12 characters of a digest, without "sha256:". */
void listing_id(const json_t *model, char ret[ID_SIZE]);
/* A string member, "" when it is absent. */
const char *listing_text(const json_t *object, const char *member);
/* As the server sent it, on one line of stdout. */
int listing_print_json(const json_t *answer, struct err *err);

/* GET path, then the table of what row() makes of its "models", or all of it as JSON. */
struct listing {
	const char *path;
	const char *const *header;
	size_t n_columns;
	bool json, quiet;               /* quiet: the first column alone */
	void (*row)(const void *ctx, const json_t *model, struct table *table);
	const void *ctx;
};
int listing_run(const struct cli *cli, const struct listing *l, struct err *err);

#endif
