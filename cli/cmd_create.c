/*
 * easel create: a folder of weights or another model becomes a model of the server's
 * store. The server imports; this tells it what, sends the files where it cannot see them,
 * and shows how far it is.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/listing.h"
#include "cli/progress.h"
#include "cli/source.h"
#include "cli/upload.h"
#include "common/fields.h"
#include "common/name.h"
#include "common/quantise.h"

struct create_flags {
	const char *file, *quantize, *draft_quantize;
	bool experimental, quiet, upload;
};

#define AT(member) offsetof(struct create_flags, member)
static const struct flag flags[] = {
	{ "file", 'f', FLAG_TEXT, AT(file), "string",
	  "Name of the Modelfile (default \"Modelfile\")", .completion = COMPLETE_FILE },
	{ "quantize", 'q', FLAG_TEXT, AT(quantize), "string",
	  "Quantize to int4, int8, nvfp4, mxfp4, mxfp8 or fp8 (= int8 with scales)",
	  .offers = "int4 int8 nvfp4 mxfp4 mxfp8 fp8" },
	{ "upload", 0, FLAG_BOOL, AT(upload), NULL,
	  "Send the files even if the server seems to be on this machine" },
	{ "quiet", 0, FLAG_BOOL, AT(quiet), NULL, "Print errors only" },
	{ "experimental", 0, FLAG_BOOL, AT(experimental), .group = FLAGS_IGNORED },
	{ "draft-quantize", 0, FLAG_TEXT, AT(draft_quantize), .group = FLAGS_IGNORED },
	{ 0 }
};
#undef AT

static int check_arguments(const struct create_flags *f, const char *model, struct err *err)
{
	struct model_name name;

	if (name_parse(model, &name, NULL) < 0)
		return err_set(err, -EINVAL, "invalid model name: %s", model);
	if (f->draft_quantize)
		return err_set(err, -EINVAL, "--draft-quantize requires a DRAFT model");
	return quantise_check(f->quantize, err);
}

static void put_text(json_t *body, const char *name, const char *text)
{
	if (text && *text)
		json_object_set_new(body, name, text_json(text));
}

static json_t *make_request(const struct create_flags *f, const char *model,
			    const struct source *s)
{
	const struct modelfile *m = &s->modelfile;
	json_t *body = json_pack("{s:o, s:b}", "model", text_json(model), "stream", 1);

	put_text(body, "quantize", f->quantize);
	put_text(body, "system", m->system);
	put_text(body, "template", m->template);
	put_text(body, "requires", m->requires);
	if (m->parameters)
		json_object_set(body, "parameters", m->parameters);
	if (m->licenses)
		json_object_set(body, "license", m->licenses);
	return body;
}

struct creation {
	struct progress progress;
	bool done;
};

static int on_line(void *ctx, const json_t *line, struct err *err)
{
	struct creation *creation = ctx;
	const char *status = listing_text(line, "status");
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t completed = json_integer_value(json_object_get(line, "completed"));

	(void)err;
	creation->done = !strcmp(status, "success");
	if (total > 0 && completed >= 0)
		progress_bytes(&creation->progress, status, (uint64_t)completed, (uint64_t)total);
	else if (*status)
		progress_spin(&creation->progress, status);
	return 0;
}

/* What it is made from: a server elsewhere cannot see our folders. */
static int put_source(struct client *c, const struct create_flags *f, const struct source *s,
		      json_t *body, struct err *err)
{
	json_t *files;
	int r;

	if (!s->is_folder || (client_is_local(c) && !f->upload)) {
		put_text(body, "from", s->from);
		return 0;
	}
	r = upload_folder(c, s->from, &files, err);
	if (r == 0)
		json_object_set_new(body, "files", files);
	return r;
}

static int create(struct client *c, const struct create_flags *f, const struct source *s,
		  json_t *body, struct err *err)
{
	struct creation creation = { 0 };
	int r;

	if (!f->quiet)
		progress_open(&creation.progress, false);
	r = client_watch(c, &creation.progress, err);
	if (r == 0)
		r = put_source(c, f, s, body, err);
	if (r == 0)
		r = client_stream(c, "/api/create", body, on_line, &creation, err);
	c->progress = NULL;
	progress_close(&creation.progress, true);
	if (r == 0 && !creation.done)
		r = err_set(err, -EBADMSG, "the server's answer ended before the model was made");
	return r;
}

static int create_from(const struct cli *cli, const struct create_flags *f, const char *model,
		       const struct source *s, struct err *err)
{
	json_t *body = make_request(f, model, s);
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = body ? create(&c, f, s, body, err) : err_errno(err, ENOMEM, "writing the request");
	if (r == 0 && !f->quiet)
		printf("Created image generation model '%s'\n", model);
	client_close(&c);
	json_decref(body);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const struct create_flags *f = values;
	struct source source;
	int r = check_arguments(f, args[0], err);

	if (r < 0)
		return r;
	r = source_find(f->file, n > 1 ? args[1] : NULL, &source, err);
	if (r == 0)
		r = create_from(cli, f, args[0], &source, err);
	source_finish(&source);
	return r;
}

const struct command cmd_create = {
	.name = "create", .arguments = "MODEL [DIR]", .brief = "Create a model",
	.min_args = 1, .max_args = 2, .completions = { COMPLETE_NOTHING, COMPLETE_FOLDER },
	.flags = flags, .flags_size = sizeof(struct create_flags), .run = run,
};
