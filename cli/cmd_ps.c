/*
 * easel ps: the models that are loaded, where, and for how long.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/listing.h"
#include "cli/text.h"
#include "common/timefmt.h"

struct ps_flags {
	bool json, quiet, verbose;
};

static const struct flag flags[] = {
	{ "json", 0, FLAG_BOOL, offsetof(struct ps_flags, json), NULL,
	  "Print the server's answer as JSON" },
	{ "verbose", 'v', FLAG_BOOL, offsetof(struct ps_flags, verbose), NULL,
	  "Show the device too" },
	{ "quiet", 'q', FLAG_BOOL, offsetof(struct ps_flags, quiet), NULL, "Print names only" },
	{ 0 }
};

/* Share of the model in GPU memory, as Ollama words it. */
static void processor_text(uint64_t size, uint64_t vram, char *ret, size_t ret_size)
{
	unsigned cpu;

	if (vram == 0) {
		snprintf(ret, ret_size, "100%% CPU");
	} else if (size == 0 || vram > size) {
		snprintf(ret, ret_size, "Unknown");
	} else if (vram == size) {
		snprintf(ret, ret_size, "100%% GPU");
	} else {
		cpu = (unsigned)((double)(size - vram) / (double)size * 100 + 0.5);
		snprintf(ret, ret_size, "%u%%/%u%% CPU/GPU", cpu, 100 - cpu);
	}
}

static void until_text(const char *expires_at, char *ret, size_t size)
{
	int64_t now = time_now_ns(), expires = text_time(expires_at);

	if (expires != 0 && expires < now)
		snprintf(ret, size, "Stopping...");
	else
		human_time(expires, now, ret, size);
}

static uint64_t number(const json_t *model, const char *member)
{
	json_int_t value = json_integer_value(json_object_get(model, member));

	return value > 0 ? (uint64_t)value : 0;
}

/* ctx: the prefix of the names to show. */
static void add_row(const void *ctx, const json_t *model, struct table *table)
{
	const char *prefix = ctx, *name = listing_text(model, "name");
	char id[ID_SIZE], size[32], processor[48], context[24], until[64];
	const char *const cells[] = {
		name, id, size, processor, context, until, listing_text(model, "device")
	};

	if (strncmp(name, prefix, strlen(prefix)))
		return;
	listing_id(model, id);
	human_bytes(number(model, "size"), size, sizeof size);
	processor_text(number(model, "size"), number(model, "size_vram"), processor,
		       sizeof processor);
	snprintf(context, sizeof context, "%llu",
		 (unsigned long long)number(model, "context_length"));
	until_text(listing_text(model, "expires_at"), until, sizeof until);
	table_row(table, cells);
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	static const char *const header[] = {
		"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL", "DEVICE"
	};
	const struct ps_flags *f = values;
	const struct listing listing = {
		.path = "/api/ps", .header = header, .n_columns = f->verbose ? 7 : 6,
		.json = f->json, .quiet = f->quiet, .row = add_row, .ctx = n ? args[0] : "",
	};

	return listing_run(cli, &listing, err);
}

const struct command cmd_ps = {
	.name = "ps", .arguments = "[PREFIX]", .brief = "List running models",
	.max_args = 1, .completions = { COMPLETE_MODEL },
	.flags = flags, .flags_size = sizeof(struct ps_flags), .run = run,
};
