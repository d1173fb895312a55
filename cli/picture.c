/*
 * One picture: the request made of flags, prompt and files, the drawing with its
 * progress, the file. What one prompt on the command line and a session share.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/listing.h"
#include "cli/picture.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "common/base64.h"
#include "common/fields.h"
#include "common/output_format.h"
#include "common/timefmt.h"

/* ---- the request ---- */

static int check_mask_mode(const struct picture_flags *f, struct err *err)
{
	if (f->mask_mode && !f->mask)
		return err_set(err, -EINVAL, "--mask-mode says how to read a mask: give --mask too");
	return 0;
}

int picture_attach(const struct picture_flags *f, struct attachments *ret, struct err *err)
{
	int r = check_mask_mode(f, err);

	*ret = (struct attachments){ .quiet = f->quiet };
	for (size_t i = 0; i < f->images.n && r == 0; i++)
		r = attachments_add(ret, f->images.items[i], err);
	if (r == 0 && f->mask)
		r = attachments_set_mask(ret, f->mask, err);
	return r;
}

/* A Go duration, for ever as -1. */
static int put_keep_alive(json_t *body, const char *text, struct err *err)
{
	char duration[TIME_TEXT_SIZE];
	int64_t ns;
	int r;

	if (!text)
		return 0;
	r = duration_parse(text, &ns, err);
	if (r < 0)
		return r;
	duration_format(ns, duration);
	json_object_set_new(body, "keep_alive", ns < 0 ? json_integer(-1) : json_string(duration));
	return 0;
}

static void put_attachments(json_t *body, const struct picture_flags *f,
			    const struct attachments *a)
{
	if (json_array_size(a->images))
		json_object_set(body, "images", a->images);
	if (a->mask)
		json_object_set(body, "mask", a->mask);
	if (f->mask_mode)
		json_object_set_new(body, "mask_mode", json_string(f->mask_mode));
}

/* What the name of the file says that the picture is to be; NULL: nothing, so PNG. */
static const char *format_of(const char *path)
{
	static const struct {
		const char *extension;
		enum output_format format;
	} rows[] = { { ".jpg", OUTPUT_JPEG }, { ".jpeg", OUTPUT_JPEG }, { ".webp", OUTPUT_WEBP } };
	const char *dot = path ? strrchr(path, '.') : NULL;

	for (size_t i = 0; dot && i < sizeof rows / sizeof *rows; i++)
		if (!strcasecmp(dot, rows[i].extension))
			return output_format_name(rows[i].format);
	return NULL;
}

/* a NULL: a load, which no flag of a picture concerns. */
static int make_request(const struct picture_flags *f, const char *model, const char *prompt,
			const struct attachments *a, json_t **ret, struct err *err)
{
	json_t *body = json_object();
	int r;

	if (!body)
		return err_errno(err, ENOMEM, "writing the request");
	json_object_set_new(body, "model", text_json(model));
	json_object_set_new(body, "prompt", text_json(prompt));
	if (a) {
		picture_options_request(f, body);
		put_attachments(body, f, a);
		if (format_of(f->output))
			json_object_set_new(body, "output_format", json_string(format_of(f->output)));
	}
	r = put_keep_alive(body, f->keepalive, err);
	if (r < 0)
		json_decref(body);
	else
		*ret = body;
	return r;
}

/* ---- the drawing ---- */

struct drawing {
	struct progress progress;
	json_t *answer;                 /* the line that ended it */
	json_t *image;                  /* base64 of the file */
};

static int on_line(void *ctx, const json_t *line, struct err *err)
{
	struct drawing *d = ctx;
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t completed = json_integer_value(json_object_get(line, "completed"));
	json_t *image = json_object_get(line, "image");

	(void)err;
	if (total > 0 && completed >= 0)
		progress_steps(&d->progress, (uint64_t)completed, (uint64_t)total);
	if (json_is_string(image)) {
		json_decref(d->image);
		json_decref(d->answer);
		d->image = json_incref(image);
		d->answer = json_copy((json_t *)line);
	}
	return 0;
}

static int generate(struct client *c, const json_t *body, bool quiet, struct drawing *d,
		    struct err *err)
{
	int r;

	if (!quiet)
		progress_open(&d->progress, false);
	r = client_watch(c, &d->progress, err);
	if (r == 0) {
		progress_spin(&d->progress, "");
		r = client_stream(c, "/api/generate", body, on_line, d, err);
	}
	c->progress = NULL;
	progress_close(&d->progress, false);
	return r;
}

static void drawing_finish(struct drawing *d)
{
	json_decref(d->image);
	json_decref(d->answer);
}

int picture_load(struct client *c, const struct picture_flags *f, const char *model,
		 struct err *err)
{
	struct drawing d = { 0 };
	json_t *body = NULL;
	int r = make_request(f, model, "", NULL, &body, err);

	if (r == 0)
		r = generate(c, body, f->quiet, &d, err);
	drawing_finish(&d);
	json_decref(body);
	return r;
}

/* ---- the file ---- */

/* The server's last line, the file in place of the picture. */
static int print_json(struct drawing *d, const char *path, struct err *err)
{
	json_object_del(d->answer, "image");
	json_object_set_new(d->answer, "file", text_json(path));
	return listing_print_json(d->answer, err);
}

static int tell(const struct picture_flags *f, struct drawing *d, const char *path, const void *png,
		size_t len, struct err *err)
{
	if (f->json)
		return print_json(d, path, err);
	if (f->quiet) {
		printf("%s\n", path);
		return 0;
	}
	graphics_show(f->graphics, png, len);
	printf("Image saved to: %s\n", path);
	return 0;
}

static int save(const struct picture_flags *f, const char *prompt, struct drawing *d,
		enum picture_stage *ret_stage, struct err *err)
{
	const json_t *image = d->image;
	unsigned char *png;
	char *path = NULL;
	size_t len;
	int r;

	*ret_stage = PICTURE_DECODE;
	r = base64_decode(json_string_value(image), json_string_length(image), &png, &len, err);
	if (r < 0)
		return r;
	*ret_stage = PICTURE_SAVE;
	r = save_picture(f->output, prompt, png, len, &path, err);
	if (r == 0 && path)
		r = tell(f, d, path, png, len, err);
	free(path);
	free(png);
	return r;
}

static void print_duration(const json_t *answer, const char *member, const char *label)
{
	const int64_t ns = json_integer_value(json_object_get(answer, member));
	const int64_t unit = ns >= 1000000000 ? 100000000 : 1000000;
	char text[TIME_TEXT_SIZE];

	if (ns <= 0)
		return;
	duration_format((ns + unit / 2) / unit * unit, text);
	fprintf(stderr, "%-21s %s\n", label, text);
}

static void print_timings(const json_t *answer)
{
	const json_t *reused = json_object_get(answer, "steps_reused");

	print_duration(answer, "total_duration", "total duration:");
	print_duration(answer, "load_duration", "load duration:");
	if (json_is_integer(reused))
		fprintf(stderr, "%-21s %lld\n", "steps reused:",
			(long long)json_integer_value(reused));
}

int picture_make(struct client *c, const struct picture_flags *f, const char *model,
		 const char *prompt, const struct attachments *a, enum picture_stage *ret_stage,
		 struct err *err)
{
	struct drawing d = { 0 };
	json_t *body = NULL;
	int r = make_request(f, model, prompt, a, &body, err);

	*ret_stage = PICTURE_DRAW;
	if (r == 0)
		r = generate(c, body, f->quiet, &d, err);
	json_decref(body);
	if (r == 0 && !d.image)
		r = err_set(err, -EBADMSG, "image generation completed but no image was returned");
	if (r == 0)
		r = save(f, prompt, &d, ret_stage, err);
	if (r == 0 && f->verbose)
		print_timings(d.answer);
	drawing_finish(&d);
	return r;
}
