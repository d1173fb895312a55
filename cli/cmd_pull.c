/*
 * easel pull, easel push: a model comes from a registry, or goes to one.
 */
#include <stdio.h>
#include <string.h>

#include "cli/transfer.h"
#include "common/name.h"

#define AT(member) offsetof(struct transfer_flags, member)
static const struct flag flags[] = {
	{ "insecure", 0, FLAG_BOOL, AT(insecure), NULL, "Use plain HTTP to the registry" },
	{ "quiet", 'q', FLAG_BOOL, AT(quiet), NULL, "Print errors only" },
	{ 0 }
};
#undef AT

static int pull(const struct cli *cli, const void *values, char *const *args, size_t n,
		struct err *err)
{
	struct client c;
	int r = client_open(&c, cli, err);

	(void)n;
	if (r == 0)
		r = transfer_pull(&c, args[0], values, err);
	client_close(&c);
	return r;
}

/* The site of the default registry shows a model without the tag "latest". */
static void print_place(const char *model)
{
	struct model_name name;
	char text[NAME_TEXT_SIZE];
	size_t len;

	if (name_parse(model, &name, NULL) < 0)
		return;
	name_short(&name, text);
	len = strlen(text);
	if (!strcmp(name.tag, NAME_DEFAULT_TAG))
		len -= strlen(":" NAME_DEFAULT_TAG);
	if (!strcmp(name.host, NAME_DEFAULT_HOST))
		printf("\nYou can find your model at:\n\n\thttps://ollama.com/%.*s\n", (int)len, text);
	else
		printf("\nYou can find your model at:\n\n\t%s\n", text);
}

static int push(const struct cli *cli, const void *values, char *const *args, size_t n,
		struct err *err)
{
	const struct transfer_flags *f = values;
	struct client c;
	int r = client_open(&c, cli, err);

	(void)n;
	if (r == 0)
		r = transfer_push(&c, args[0], f, err);
	if (r < 0 && (strstr(err->text, "access denied") || strstr(err->text, "unauthorized")))
		r = err_set(err, r, "you are not authorized to push to this namespace, create the "
			    "model under a namespace you own");
	if (r == 0 && !f->quiet)
		print_place(args[0]);
	client_close(&c);
	return r;
}

const struct command cmd_pull = {
	.name = "pull", .arguments = "MODEL", .brief = "Pull a model from a registry",
	.min_args = 1, .max_args = 1, .flags = flags, .flags_size = sizeof(struct transfer_flags),
	.run = pull,
};

const struct command cmd_push = {
	.name = "push", .arguments = "MODEL", .brief = "Push a model to a registry",
	.min_args = 1, .max_args = 1, .flags = flags, .flags_size = sizeof(struct transfer_flags),
	.completions = { COMPLETE_MODEL }, .run = push,
};
