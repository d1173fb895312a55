/*
 * The bodies of /v1/images: generations and edits, as JSON or as a form. Pure functions
 * over the client's bytes; they own nothing but what they return.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "gateway/forms.h"
#include "gateway/multipart.h"
#include "gateway/picture_bodies.h"

#define MAX_COUNT 10

const struct images_kind images_generations = { "openai.ImageGenerationRequest", false };
const struct images_kind images_edits = { "openai.ImageEditRequest", true };

struct raw_images {
	struct picture_params picture;
	struct picture_members members;
	char *model, *size, *response_format, *quality;
	json_t *seed, *style, *user, *background, *moderation, *input_fidelity;
	bool stream;
	int64_t n, output_compression, partial_images;
};

enum {                                  /* rows of images_fields that are asked about */
	ROW_STREAM, ROW_PARTIAL_IMAGES, ROW_OUTPUT_COMPRESSION, ROW_STYLE, ROW_USER, ROW_BACKGROUND,
	ROW_MODERATION, ROW_INPUT_FIDELITY,
	ROW_FIRST_IGNORED = ROW_STYLE, ROW_LAST_IGNORED = ROW_INPUT_FIDELITY,
};

static const struct field images_fields[] = {
	[ROW_STREAM] = FIELD(struct raw_images, stream, BOOL),
	[ROW_PARTIAL_IMAGES] = FIELD(struct raw_images, partial_images, I64, .max = LIMIT_PARTIAL_IMAGES),
	[ROW_OUTPUT_COMPRESSION] = FIELD(struct raw_images, output_compression, I64, .max = 100),
	[ROW_STYLE] = FIELD(struct raw_images, style, JSON),
	[ROW_USER] = FIELD(struct raw_images, user, JSON),
	[ROW_BACKGROUND] = FIELD(struct raw_images, background, JSON),
	[ROW_MODERATION] = FIELD(struct raw_images, moderation, JSON),
	[ROW_INPUT_FIDELITY] = FIELD(struct raw_images, input_fidelity, JSON),
	FIELD(struct raw_images, model, STR),
	FIELD_AS(struct raw_images, picture.prompt, "prompt", STR, .max = LIMIT_PROMPT),
	FIELD_AS(struct raw_images, picture.negative, "negative_prompt", STR, .max = LIMIT_PROMPT,
		 .alias = "negative"),
	/* A later row of the same member wins: the main name stands last. */
	FIELD_AS(struct raw_images, picture.steps, "steps", I64, INT32,
		 .alias = "num_inference_steps"),
	FIELD_AS(struct raw_images, picture.guidance, "cfg_scale", F64, .max = LIMIT_GUIDANCE),
	FIELD_AS(struct raw_images, picture.guidance, "guidance", F64, .max = LIMIT_GUIDANCE,
		 .alias = "guidance_scale"),
	PICTURE_MEMBER_FIELDS(struct raw_images),
	FIELD(struct raw_images, seed, JSON),
	FIELD(struct raw_images, size, STR),
	FIELD(struct raw_images, quality, STR),
	FIELD(struct raw_images, n, I64),
	FIELD(struct raw_images, response_format, STR),
	{ 0 }
};

/* "1024x768", whatever follows; anything else is the default size. */
static void read_size(const char *text, struct picture_params *p)
{
	int width, height;

	if (!text || !*text)
		return;
	if (strlen(text) < 32 && sscanf(text, "%9dx%9d", &width, &height) == 2) {
		p->width = width;
		p->height = height;
	} else {
		log_info("size '%.40s' is not WIDTHxHEIGHT: using the default", text);
	}
}

static void read_quality(struct raw_images *raw, struct images_body *ret)
{
	static const struct {
		const char *name;
		double effort;
	} qualities[] = { { "low", 0.5 }, { "medium", 1 }, { "high", 2 } };

	ret->quality = "auto";
	if (!raw->quality || !*raw->quality)
		return;
	for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++)
		if (!strcmp(raw->quality, qualities[i].name)) {
			raw->picture.effort = qualities[i].effort;
			ret->quality = qualities[i].name;
			return;
		}
	ignored_add(&ret->ignored, "quality");
}

static int check_words(const struct raw_images *raw, struct err *err)
{
	const char *format = raw->response_format;

	if (format && *format && strcmp(format, "b64_json") && strcmp(format, "url"))
		return err_set(err, -EINVAL,
			       "response_format must be b64_json or url, not '%.40s'", format);
	if (raw->n < 1 || raw->n > MAX_COUNT)
		return err_set(err, -EINVAL, "n must be between 1 and %d", MAX_COUNT);
	return 0;
}

static int check_required(const struct images_kind *kind, const struct raw_images *raw,
			  const struct picture_sources *sources, struct err *err)
{
	if (!raw->picture.prompt || !*raw->picture.prompt)
		return err_set(err, -EINVAL, "prompt is required");
	if (!raw->model || !*raw->model)
		return err_set(err, -EINVAL, "model is required");
	if (kind->edits && !sources->n)
		return err_set(err, -EINVAL, "image is required");
	return 0;
}

/* A compression means nothing to PNG, which loses nothing. */
static void take_output(struct raw_images *raw, uint64_t present, struct images_body *ret)
{
	struct picture_params *p = &raw->picture;
	const bool says = present & 1ull << ROW_OUTPUT_COMPRESSION;

	if (says)
		p->quality = (unsigned)raw->output_compression;
	p->partial_images = (unsigned)raw->partial_images;
	if (says && p->format == OUTPUT_PNG)
		ignored_add(&ret->ignored, images_fields[ROW_OUTPUT_COMPRESSION].name);
	ret->says_partial = present & 1ull << ROW_PARTIAL_IMAGES;
}

/* What needs no more checks. */
static void take_images(struct raw_images *raw, uint64_t present, struct images_body *ret)
{
	read_size(raw->size, &raw->picture);
	read_quality(raw, ret);
	take_output(raw, present, ret);
	for (int row = ROW_FIRST_IGNORED; row <= ROW_LAST_IGNORED; row++)
		if (present & 1ull << row)
			ignored_add(&ret->ignored, images_fields[row].name);
	raw->picture.seed = picture_seed(raw->seed);
	raw->picture.count = (unsigned)raw->n;
	ret->stream = raw->stream;
	ret->wants_url = raw->response_format && !strcmp(raw->response_format, "url");
	ret->has_stream = present & 1ull << ROW_STREAM;
	ret->picture = raw->picture;
	ret->model = raw->model;
	raw->model = raw->picture.prompt = raw->picture.negative = NULL;
}

static int read_json(const struct images_kind *kind, struct upload *body, json_t **ret_root,
		     struct raw_images *raw, uint64_t *present, struct picture_sources *sources,
		     struct err *err)
{
	struct lift lift;
	int r;

	*ret_root = body_parse_lifted(body, kind->go_type, &lift, err);
	if (!*ret_root)
		return err->code;
	r = body_read_json(*ret_root, kind->go_type, images_fields, raw, present, err);
	if (r == 0)
		r = picture_sources_read(sources, &raw->members.values, &lift, err);
	lift_clear(&lift);
	return r;
}

static int read_form(const struct images_kind *kind, const char *content_type, struct upload *body,
		     json_t **ret_root, struct raw_images *raw, uint64_t *present,
		     struct picture_sources *sources, struct err *err)
{
	int r = form_read(content_type, body, images_fields, ret_root, sources, err);

	return r < 0 ? r : body_read_json(*ret_root, kind->go_type, images_fields, raw, present,
					  err);
}

int images_body_read(const struct images_kind *kind, const char *content_type, struct upload *body,
		     struct images_body *ret, struct err *err)
{
	struct raw_images raw = { .picture = picture_nothing_said, .n = 1 };
	struct picture_sources sources = { 0 };
	json_t *root = NULL;
	uint64_t present = 0;
	int r;

	if (kind->edits && multipart_is_form(content_type))
		r = read_form(kind, content_type, body, &root, &raw, &present, &sources, err);
	else
		r = read_json(kind, body, &root, &raw, &present, &sources, err);
	*ret = (struct images_body){ 0 };
	if (r == 0)
		r = check_required(kind, &raw, &sources, err);
	if (r == 0)
		r = check_words(&raw, err);
	if (r == 0)
		r = picture_finish(&raw.picture, &raw.members, &sources, PICTURES_OPENAI, body,
				   err);
	if (r == 0) {
		take_images(&raw, present, ret);
		body_find_unknown(root, images_fields, &ret->ignored);
	}
	json_decref(root);
	fields_clear(images_fields, &raw);
	return r;
}

void images_body_clear(struct images_body *b)
{
	free(b->model);
	picture_params_clear(&b->picture);
	*b = (struct images_body){ 0 };
}
