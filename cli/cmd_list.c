/*
 * easel list: the models of the server's store.
 */
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cli/listing.h"
#include "cli/text.h"
#include "common/timefmt.h"

struct list_flags {
	bool json, quiet;
};

static const struct flag flags[] = {
	{ "json", 0, FLAG_BOOL, offsetof(struct list_flags, json), NULL,
	  "Print the server's answer as JSON" },
	{ "quiet", 'q', FLAG_BOOL, offsetof(struct list_flags, quiet), NULL, "Print names only" },
	{ 0 }
};

/* ctx: the prefix of the names to show, in any case. */
static void add_row(const void *ctx, const json_t *model, struct table *table)
{
	const char *prefix = ctx, *name = listing_text(model, "name");
	char id[ID_SIZE], size[32], modified[64];
	const char *const cells[] = { name, id, size, modified };

	if (strncasecmp(name, prefix, strlen(prefix)))
		return;
	listing_id(model, id);
	human_bytes((uint64_t)json_integer_value(json_object_get(model, "size")), size, sizeof size);
	human_time(text_time(listing_text(model, "modified_at")), time_now_ns(), modified,
		   sizeof modified);
	table_row(table, cells);
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	static const char *const header[] = { "NAME", "ID", "SIZE", "MODIFIED" };
	const struct list_flags *f = values;
	const struct listing listing = {
		.path = "/api/tags", .header = header, .n_columns = 4, .json = f->json, .quiet = f->quiet,
		.row = add_row, .ctx = n ? args[0] : "",
	};

	return listing_run(cli, &listing, err);
}

const struct command cmd_list = {
	.name = "list", .alias = "ls", .arguments = "[PREFIX]", .brief = "List models",
	.max_args = 1, .completions = { COMPLETE_MODEL },
	.flags = flags, .flags_size = sizeof(struct list_flags), .run = run,
};
