/*
 * The bodies that ask for pictures: /api/generate and /v1/images/generations. Pure
 * functions over the client's bytes; they own nothing but what they return.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base64.h"
#include "common/limits.h"
#include "common/log.h"
#include "gateway/bodies.h"

#define INT32 .min = INT32_MIN, .max = INT32_MAX
#define MAX_COUNT 10

static const struct picture_params nothing_said = {
	.guidance = -1, .cfg_normalization = -1, .cfg_truncation = -1, .effort = 1, .count = 1,
};

/* ---- /api/generate ---- */

struct raw_generate {
	struct picture_params picture;
	char *model, *name, *suffix, *system, *template;
	json_t *options, *images, *keep_alive, *think, *context, *format, *seed;
	bool stream, raw, truncate, shift, logprobs;
	int64_t top_logprobs;
};

/* A later row of the same member wins: the main name stands last. */
static const struct field generate_fields[] = {
	FIELD(struct raw_generate, model, STR),
	FIELD(struct raw_generate, name, STR),
	FIELD_AS(struct raw_generate, picture.prompt, "prompt", STR, .max = LIMIT_PROMPT),
	FIELD_AS(struct raw_generate, picture.negative, "negative", STR, .max = LIMIT_PROMPT,
		 .alias = "negative_prompt"),
	FIELD_AS(struct raw_generate, picture.width, "width", I64, INT32),
	FIELD_AS(struct raw_generate, picture.height, "height", I64, INT32),
	FIELD_AS(struct raw_generate, picture.steps, "steps", I64, INT32),
	FIELD_AS(struct raw_generate, picture.guidance, "cfg_scale", F64, .max = LIMIT_GUIDANCE),
	FIELD_AS(struct raw_generate, picture.guidance, "guidance", F64, .max = LIMIT_GUIDANCE,
		 .alias = "guidance_scale"),
	FIELD(struct raw_generate, seed, JSON),
	FIELD(struct raw_generate, options, JSON),
	FIELD(struct raw_generate, images, JSON),
	FIELD(struct raw_generate, stream, BOOL),
	FIELD(struct raw_generate, keep_alive, JSON),
	FIELD(struct raw_generate, top_logprobs, I64),
	FIELD(struct raw_generate, think, JSON),
	/* parsed for their type only */
	FIELD(struct raw_generate, suffix, STR),
	FIELD(struct raw_generate, system, STR),
	FIELD(struct raw_generate, template, STR),
	FIELD(struct raw_generate, context, JSON),
	FIELD(struct raw_generate, format, JSON),
	FIELD(struct raw_generate, raw, BOOL),
	FIELD(struct raw_generate, truncate, BOOL),
	FIELD(struct raw_generate, shift, BOOL),
	FIELD(struct raw_generate, logprobs, BOOL),
	{ 0 }
};

struct raw_options {
	json_t *seed;
	int64_t width, height, steps;
	double guidance, cfg_normalization, cfg_truncation;
};

static const struct field option_fields[] = {
	FIELD(struct raw_options, seed, JSON),
	FIELD(struct raw_options, width, I64, INT32),
	FIELD(struct raw_options, height, I64, INT32),
	FIELD(struct raw_options, steps, I64, INT32),
	FIELD_AS(struct raw_options, guidance, "cfg_scale", F64, .max = LIMIT_GUIDANCE),
	FIELD(struct raw_options, guidance, F64, .max = LIMIT_GUIDANCE, .alias = "guidance_scale"),
	FIELD(struct raw_options, cfg_normalization, F64, .max = LIMIT_GUIDANCE),
	FIELD(struct raw_options, cfg_truncation, F64, .max = LIMIT_GUIDANCE),
	{ 0 }
};

/* Any number, its fraction cut off; what is no number says nothing. */
static int64_t read_seed(const json_t *value)
{
	double number;

	if (json_is_integer(value))
		return json_integer_value(value);
	number = json_is_real(value) ? json_real_value(value) : 0;
	return number >= 1 && number < 0x1p63 ? (int64_t)number : 0;
}

static int read_options(const json_t *options, struct picture_params *p, struct err *err)
{
	struct raw_options o = { .guidance = -1, .cfg_normalization = -1, .cfg_truncation = -1 };
	int r;

	if (!options)
		return 0;
	r = fields_read(option_fields, options, FIELDS_NOCASE, &o, NULL, err);
	if (r < 0)
		return err_prefix(err, "options");
	if (o.seed)
		p->seed = read_seed(o.seed);
	p->width = p->width ? p->width : o.width;
	p->height = p->height ? p->height : o.height;
	p->steps = p->steps ? p->steps : o.steps;
	p->guidance = p->guidance >= 0 ? p->guidance : o.guidance;
	p->cfg_normalization = o.cfg_normalization;
	p->cfg_truncation = o.cfg_truncation;
	fields_clear(option_fields, &o);
	return 0;
}

static int check_think(const json_t *think, struct err *err)
{
	static const char *const levels[] = { "", "high", "medium", "low", "max" };
	const char *text = json_string_value(think);

	if (!think || json_is_boolean(think))
		return 0;
	for (size_t i = 0; text && i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(levels[i], text))
			return 0;
	return err_set(err, -EINVAL, "invalid think value: \"%s\" (must be \"high\", \"medium\", "
		       "\"low\", \"max\", true, or false)", text ? text : "");
}

static int check_images(const json_t *images, bool *ret_any, struct err *err)
{
	const json_t *image;
	size_t i;

	*ret_any = json_array_size(images) > 0;
	if (images && !json_is_array(images))
		return err_set(err, -EINVAL, "member 'images' must be an array of base64 strings");
	json_array_foreach(images, i, image) {
		unsigned char *bytes;
		size_t len;

		if (!json_is_string(image))
			return err_set(err, -EINVAL,
				       "member 'images' must be an array of base64 strings");
		if (base64_decode(json_string_value(image), json_string_length(image), &bytes, &len,
				  err) < 0)
			return -EINVAL;
		free(bytes);
	}
	return 0;
}

static int finish_generate(struct raw_generate *raw, struct generate_body *ret, struct err *err)
{
	int r;

	raw->picture.seed = read_seed(raw->seed);
	r = read_options(raw->options, &raw->picture, err);
	if (r == 0)
		r = check_think(raw->think, err);
	if (r == 0)
		r = check_images(raw->images, &ret->has_images, err);
	if (r == 0 && raw->keep_alive) {
		ret->has_keep_alive = true;
		r = keep_alive_read(raw->keep_alive, &ret->keep_alive_ns, err);
	}
	if (r < 0)
		return r;
	if (raw->top_logprobs < 0 || raw->top_logprobs > 20)
		return err_set(err, -EINVAL, "top_logprobs must be between 0 and 20");
	ret->model = body_take_first(&raw->model, &raw->name);
	if (!ret->model)
		return err_set(err, -ENOMEM, "out of memory");
	ret->stream = raw->stream;
	ret->picture = raw->picture;
	raw->picture.prompt = raw->picture.negative = NULL;
	return 0;
}

int generate_body_read(const char *text, size_t len, struct generate_body *ret, struct err *err)
{
	struct raw_generate raw = { .picture = nothing_said, .stream = true };
	int r = body_read(text, len, "api.GenerateRequest", generate_fields, &raw, NULL, err);

	if (r < 0)
		return r;
	*ret = (struct generate_body){ 0 };
	r = finish_generate(&raw, ret, err);
	fields_clear(generate_fields, &raw);
	return r;
}

void generate_body_clear(struct generate_body *b)
{
	free(b->model);
	picture_params_clear(&b->picture);
	*b = (struct generate_body){ 0 };
}

/* ---- /v1/images/generations ---- */

struct raw_images {
	struct picture_params picture;
	char *model, *size, *response_format, *quality, *output_format;
	json_t *seed, *style, *user, *background, *moderation, *output_compression, *partial_images;
	bool stream;
	int64_t n;
};

enum {                                  /* rows of images_fields that are asked about */
	ROW_STREAM, ROW_QUALITY, ROW_STYLE, ROW_USER, ROW_BACKGROUND, ROW_MODERATION,
	ROW_OUTPUT_COMPRESSION, ROW_PARTIAL_IMAGES, ROW_FIRST_IGNORED = ROW_STYLE,
};

static const struct field images_fields[] = {
	[ROW_STREAM] = FIELD(struct raw_images, stream, BOOL),
	[ROW_QUALITY] = FIELD(struct raw_images, quality, STR),
	[ROW_STYLE] = FIELD(struct raw_images, style, JSON),
	[ROW_USER] = FIELD(struct raw_images, user, JSON),
	[ROW_BACKGROUND] = FIELD(struct raw_images, background, JSON),
	[ROW_MODERATION] = FIELD(struct raw_images, moderation, JSON),
	[ROW_OUTPUT_COMPRESSION] = FIELD(struct raw_images, output_compression, JSON),
	[ROW_PARTIAL_IMAGES] = FIELD(struct raw_images, partial_images, JSON),
	FIELD(struct raw_images, model, STR),
	FIELD_AS(struct raw_images, picture.prompt, "prompt", STR, .max = LIMIT_PROMPT),
	FIELD_AS(struct raw_images, picture.negative, "negative_prompt", STR, .max = LIMIT_PROMPT,
		 .alias = "negative"),
	FIELD_AS(struct raw_images, picture.steps, "steps", I64, INT32),
	FIELD_AS(struct raw_images, picture.guidance, "guidance", F64, .max = LIMIT_GUIDANCE,
		 .alias = "guidance_scale"),
	FIELD(struct raw_images, seed, JSON),
	FIELD(struct raw_images, size, STR),
	FIELD(struct raw_images, n, I64),
	FIELD(struct raw_images, response_format, STR),
	FIELD(struct raw_images, output_format, STR),
	{ 0 }
};

static void add_ignored(struct images_body *b, const char *name)
{
	size_t len = strlen(b->ignored);

	snprintf(b->ignored + len, sizeof(b->ignored) - len, "%s%s", len ? ", " : "", name);
}

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

	for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++)
		if (!strcmp(raw->quality, qualities[i].name)) {
			raw->picture.effort = qualities[i].effort;
			return;
		}
	add_ignored(ret, "quality");
}

static int check_words(const struct raw_images *raw, struct err *err)
{
	const char *format = raw->response_format, *output = raw->output_format;

	if (format && !strcmp(format, "url"))
		return err_set(err, -EINVAL,
			       "response_format url is not supported yet, use b64_json");
	if (format && *format && strcmp(format, "b64_json"))
		return err_set(err, -EINVAL,
			       "response_format must be b64_json, not '%.40s'", format);
	if (output && *output && strcmp(output, "png"))
		return err_set(err, -EINVAL, "output_format must be png, not '%.40s'", output);
	if (raw->n < 1 || raw->n > MAX_COUNT)
		return err_set(err, -EINVAL, "n must be between 1 and %d", MAX_COUNT);
	return 0;
}

static int finish_images(struct raw_images *raw, uint64_t present, struct images_body *ret,
			 struct err *err)
{
	if (!raw->picture.prompt || !*raw->picture.prompt)
		return err_set(err, -EINVAL, "prompt is required");
	if (!raw->model || !*raw->model)
		return err_set(err, -EINVAL, "model is required");
	if (check_words(raw, err) < 0)
		return -EINVAL;
	read_size(raw->size, &raw->picture);
	if (raw->quality)
		read_quality(raw, ret);
	for (int row = ROW_FIRST_IGNORED; row <= ROW_PARTIAL_IMAGES; row++)
		if (present & 1ull << row)
			add_ignored(ret, images_fields[row].name);
	raw->picture.seed = read_seed(raw->seed);
	raw->picture.count = (unsigned)raw->n;
	ret->stream = raw->stream;
	ret->has_stream = present & 1ull << ROW_STREAM;
	ret->picture = raw->picture;
	ret->model = raw->model;
	raw->model = raw->picture.prompt = raw->picture.negative = NULL;
	return 0;
}

int images_body_read(const char *text, size_t len, struct images_body *ret, struct err *err)
{
	struct raw_images raw = { .picture = nothing_said, .n = 1 };
	uint64_t present = 0;
	int r = body_read(text, len, "openai.ImageGenerationRequest", images_fields, &raw, &present,
			  err);

	if (r < 0)
		return r;
	*ret = (struct images_body){ 0 };
	r = finish_images(&raw, present, ret, err);
	fields_clear(images_fields, &raw);
	return r;
}

void images_body_clear(struct images_body *b)
{
	free(b->model);
	picture_params_clear(&b->picture);
	*b = (struct images_body){ 0 };
}
