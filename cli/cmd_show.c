/*
 * easel show: what the server knows about a model, as blocks of aligned rows, or one
 * of its texts; and what a picture file knows about itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/block.h"
#include "cli/client.h"
#include "cli/image_path.h"
#include "cli/listing.h"
#include "cli/picture_metadata.h"
#include "common/fields.h"
#include "common/timefmt.h"

#define MAX_WORDS 16
#define TEXT_LINES 2

struct show_flags {
	bool license, modelfile, parameters, system, template;
	bool verbose, json;
};

#define AT(member) offsetof(struct show_flags, member)
static const struct flag flags[] = {
	{ "license", 0, FLAG_BOOL, AT(license), NULL, "Show license of a model" },
	{ "modelfile", 0, FLAG_BOOL, AT(modelfile), NULL, "Show Modelfile of a model" },
	{ "parameters", 0, FLAG_BOOL, AT(parameters), NULL, "Show parameters of a model" },
	{ "system", 0, FLAG_BOOL, AT(system), NULL, "Show system message of a model" },
	{ "template", 0, FLAG_BOOL, AT(template), NULL, "Show template of a model" },
	{ "verbose", 'v', FLAG_BOOL, AT(verbose), NULL, "Show detailed model information" },
	{ "json", 0, FLAG_BOOL, AT(json), NULL, "Print the server's answer as JSON" },
	{ 0 }
};

/* ---- one text ---- */

/* The answer's members that a flag prints bare. */
static const struct show_text {
	const char *member;
	size_t flag;
	const char *end;
} texts[] = {
	{ "license", AT(license), "\n" },
	{ "modelfile", AT(modelfile), "\n" },
	{ "parameters", AT(parameters), "\n" },
	{ "system", AT(system), "" },
	{ "template", AT(template), "" },
};
#undef AT

static int chosen_text(const struct show_flags *f, const struct show_text **ret, struct err *err)
{
	*ret = NULL;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (!*(const bool *)((const char *)f + texts[i].flag))
			continue;
		if (*ret)
			return err_set(err, -EINVAL, "only one of '--license', '--modelfile', "
				       "'--parameters', '--system', or '--template' can be specified");
		*ret = &texts[i];
	}
	return 0;
}

/* ---- blocks ---- */

static void count_text(const json_t *answer, char *ret, size_t size)
{
	const json_t *info = json_object_get(answer, "model_info");
	json_int_t count = json_integer_value(json_object_get(info, "general.parameter_count"));
	const char *text = listing_text(json_object_get(answer, "details"), "parameter_size");

	if (*text || count <= 0)
		snprintf(ret, size, "%s", text);
	else
		human_count((uint64_t)count, ret, size);
}

static void print_model(const json_t *answer)
{
	struct table t = TABLE_INIT(2);
	const json_t *details = json_object_get(answer, "details");
	const json_t *info = json_object_get(answer, "model_info");
	const char *architecture = info ? listing_text(info, "general.architecture")
					: listing_text(details, "family");
	char count[64];

	count_text(answer, count, sizeof count);
	if (*architecture)
		table_pair(&t, "architecture", architecture);
	if (*count)
		table_pair(&t, "parameters", count);
	table_pair(&t, "quantization", listing_text(details, "quantization_level"));
	if (*listing_text(answer, "requires"))
		table_pair(&t, "requires", listing_text(answer, "requires"));
	block_print("Model", &t);
	table_finish(&t);
}

static void print_capabilities(const json_t *answer)
{
	struct table t = TABLE_INIT(1);
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(answer, "capabilities"), i, value) {
		const char *name = json_string_value(value);

		table_row(&t, &name);
	}
	block_print("Capabilities", &t);
	table_finish(&t);
}

/* Cuts at blanks, in place; the rest of a line with too many words is one cell. */
static size_t split_words(char *line, const char *words[MAX_WORDS])
{
	size_t n = 0;

	while (n < MAX_WORDS) {
		line += strspn(line, " \t\r");
		if (!*line)
			break;
		words[n++] = line;
		line += n < MAX_WORDS ? strcspn(line, " \t\r") : strlen(line);
		if (*line)
			*line++ = '\0';
	}
	return n;
}

static size_t most_words(const char *text)
{
	size_t most = 1;
	char *copy = strdup(text), *rest = copy, *line;
	const char *words[MAX_WORDS];

	while (rest && (line = strsep(&rest, "\n"))) {
		size_t n = split_words(line, words);

		most = n > most ? n : most;
	}
	free(copy);
	return most;
}

static void print_parameters(const json_t *answer)
{
	const char *text = listing_text(answer, "parameters");
	struct table t = TABLE_INIT(most_words(text));
	char *copy = strdup(text), *rest = copy, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		const char *words[MAX_WORDS] = { NULL };

		if (split_words(line, words))
			table_row(&t, words);
	}
	block_print("Parameters", &t);
	table_finish(&t);
	free(copy);
}

/* Strings as they are, all else as JSON. */
static void add_info(struct table *t, const char *key, const json_t *value)
{
	char *text;

	if (json_is_null(value))
		return;
	if (json_is_string(value)) {
		table_pair(t, key, json_string_value(value));
		return;
	}
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	table_pair(t, key, text ? text : "");
	free(text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_metadata(const json_t *answer)
{
	json_t *info = json_object_get(answer, "model_info"), *value;
	const char **keys = calloc(json_object_size(info) + 1, sizeof *keys), *key;
	struct table t = TABLE_INIT(2);
	size_t n = 0;

	if (!keys)
		return;
	json_object_foreach(info, key, value)
		keys[n++] = key;
	qsort(keys, n, sizeof *keys, by_text);
	for (size_t i = 0; i < n; i++)
		add_info(&t, keys[i], json_object_get(info, keys[i]));
	block_print("Metadata", &t);
	table_finish(&t);
	free(keys);
}

/* "[4 8]" */
static void shape_text(const json_t *shape, char *ret, size_t size)
{
	const json_t *value;
	size_t i, n = 0;

	n += (size_t)snprintf(ret, size, "[");
	json_array_foreach(shape, i, value)
		if (n < size)
			n += (size_t)snprintf(ret + n, size - n, "%s%lld", i ? " " : "",
					      (long long)json_integer_value(value));
	if (n < size)
		snprintf(ret + n, size - n, "]");
}

static void print_tensors(const json_t *answer)
{
	struct table t = TABLE_INIT(3);
	const json_t *tensor;
	size_t i;

	json_array_foreach(json_object_get(answer, "tensors"), i, tensor) {
		char shape[256];
		const char *const cells[] = {
			listing_text(tensor, "name"), listing_text(tensor, "type"), shape
		};

		shape_text(json_object_get(tensor, "shape"), shape, sizeof shape);
		table_row(&t, cells);
	}
	block_print("Tensors", &t);
	table_finish(&t);
}

static void print_blocks(const json_t *answer, bool verbose)
{
	print_model(answer);
	print_capabilities(answer);
	print_parameters(answer);
	if (verbose) {
		print_metadata(answer);
		print_tensors(answer);
	}
	block_text("System", listing_text(answer, "system"), TEXT_LINES);
	block_text("License", listing_text(answer, "license"), TEXT_LINES);
}

static int fetch(const struct cli *cli, const char *name, bool verbose, json_t **ret,
		 struct err *err)
{
	json_t *body = json_pack("{s:o, s:b}", "name", text_json(name), "verbose", verbose);
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = client_call(&c, "POST", "/api/show", body, ret, err);
	client_close(&c);
	json_decref(body);
	return r;
}

/* ---- pictures ---- */

/* Numbers as they are written, texts bare; an empty text when there is none. */
static void value_text(const json_t *object, const char *name, char *ret, size_t size)
{
	const json_t *value = json_object_get(object, name);

	*ret = '\0';
	if (json_is_integer(value))
		snprintf(ret, size, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(ret, size, "%g", json_real_value(value));
	else if (json_is_string(value))
		snprintf(ret, size, "%s", json_string_value(value));
}

static void add_value(struct table *t, const char *label, const json_t *picture, const char *name)
{
	char text[256];

	value_text(picture, name, text, sizeof text);
	if (*text)
		table_pair(t, label, text);
}

static void add_digest(struct table *t, const json_t *picture)
{
	char id[ID_SIZE];

	listing_id(picture, id);
	if (*id)
		table_pair(t, "digest", id);
}

static void print_picture(const json_t *picture)
{
	static const char *const rows[][2] = {
		{ "width", "width" }, { "height", "height" }, { "steps", "steps" }, { "seed", "seed" },
		{ "guidance", "guidance" }, { "scheduler", "scheduler" },
		{ "step cache", "step_cache" }, { "images", "images" }, { "strength", "strength" },
		{ "easel", "easel" },
	};
	struct table t = TABLE_INIT(2);

	add_value(&t, "model", picture, "model");
	add_digest(&t, picture);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		add_value(&t, rows[i][0], picture, rows[i][1]);
	block_print("Picture", &t);
	table_finish(&t);
	block_text("Prompt", listing_text(picture, "prompt"), BLOCK_WHOLE);
	block_text("Negative prompt", listing_text(picture, "negative_prompt"), BLOCK_WHOLE);
}

/* A model's name may end like a file's, but then there is no such file. */
static bool is_picture(const char *name)
{
	return image_path_has_type(name) && access(name, F_OK) == 0;
}

/* Who mistypes a file's name wants to know that it is taken for a model's. */
static int prefix_missing(const char *name, struct err *err)
{
	return image_path_has_type(name) && err->code == -ENOENT ?
	       err_prefix(err, "there is no file %s, and no model", name) : err->code;
}

static int show_picture(const struct show_flags *f, const char *path, struct err *err)
{
	json_t *picture;
	int r = picture_metadata_read(path, &picture, err);

	if (r < 0)
		return r;
	if (f->json)
		r = listing_print_json(picture, err);
	else
		print_picture(picture);
	json_decref(picture);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const struct show_flags *f = values;
	const struct show_text *text;
	json_t *answer = NULL;
	int r = chosen_text(f, &text, err);

	(void)n;
	if (r == 0 && is_picture(args[0]))
		return text ? err_set(err, -EINVAL, "%s is a picture: it has no %s", args[0],
				      text->member)
			    : show_picture(f, args[0], err);
	if (r == 0)
		r = fetch(cli, args[0], f->verbose, &answer, err);
	if (r < 0)
		return prefix_missing(args[0], err);
	if (text)
		printf("%s%s", listing_text(answer, text->member), text->end);
	else if (f->json)
		r = listing_print_json(answer, err);
	else
		print_blocks(answer, f->verbose);
	json_decref(answer);
	return r;
}

const struct command cmd_show = {
	.name = "show", .arguments = "MODEL|FILE", .brief = "Show information for a model or a picture",
	.min_args = 1, .max_args = 1,
	.completions = { COMPLETE_MODEL_OR_IMAGE }, .flags = flags, .flags_size = sizeof(struct show_flags),
	.run = run,
};
