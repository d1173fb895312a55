/*
 * What all bodies that ask for pictures share, and the one of /api/generate. Pure
 * functions over the client's bytes; they own nothing but what they return.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "gateway/picture_bodies.h"

const struct picture_params picture_nothing_said = {
	.guidance = -1, .cfg_normalization = -1, .cfg_truncation = -1, .effort = 1, .count = 1,
	.strength = NAN, .quality = OUTPUT_QUALITY,
};

int64_t picture_seed(const json_t *value)
{
	double number;

	if (json_is_integer(value))
		return json_integer_value(value);
	number = json_is_real(value) ? json_real_value(value) : 0;
	return number >= 1 && number < 0x1p63 ? (int64_t)number : 0;
}

static int read_mask_mode(const char *text, struct picture_params *p, struct err *err)
{
	static const char *const modes[] = { "alpha", "white" };

	p->mask_mode = modes[0];
	if (!text || !*text)
		return 0;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(text, modes[i])) {
			p->mask_mode = modes[i];
			return 0;
		}
	return err_set(err, -EINVAL, "mask_mode must be alpha or white, not '%.40s'", text);
}

/* An empty text says nothing. */
static int read_step_cache(const char *text, struct picture_params *p, struct err *err)
{
	return text && *text ? step_cache_parse(text, &p->step_cache, err) : 0;
}

static int read_output_format(const char *text, struct picture_params *p, struct err *err)
{
	p->format = output_format_of(text);
	if (p->format < OUTPUT_FORMATS)
		return 0;
	return err_set(err, -EINVAL, "output_format must be png, jpeg or webp, not '%.40s'", text);
}

int picture_finish(struct picture_params *p, const struct picture_members *members,
		   struct picture_sources *sources, enum picture_dialect dialect,
		   struct upload *body, struct err *err)
{
	bool said = !isnan(p->strength);

	if (said && !(p->strength >= 0 && p->strength <= 1))
		return err_set(err, -EINVAL, "strength must be between 0 and 1");
	if (read_mask_mode(members->mask_mode, p, err) < 0 ||
	    read_step_cache(members->step_cache, p, err) < 0 ||
	    read_output_format(members->output_format, p, err) < 0)
		return -EINVAL;
	if (sources->has_mask && !sources->n)
		return err_set(err, -EINVAL, "mask needs an input image");
	if (said && !sources->n)
		log_info("strength has no effect without an input image");
	if (!said || !sources->n)
		p->strength = -1;
	return picture_inputs_decode(sources, dialect, body, &p->inputs, err);
}

/* ---- /api/generate ---- */

struct raw_generate {
	struct picture_params picture;
	struct picture_members members;
	char *model, *name, *suffix, *system, *template;
	json_t *options, *keep_alive, *think, *context, *format, *seed;
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
	PICTURE_MEMBER_FIELDS(struct raw_generate),
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
	char *step_cache;
	int64_t width, height, steps;
	double guidance, cfg_normalization, cfg_truncation, strength;
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
	FIELD(struct raw_options, strength, F64),
	FIELD(struct raw_options, step_cache, STR),
	{ 0 }
};

static int read_options(const json_t *options, struct picture_params *p, struct err *err)
{
	struct raw_options o = { .guidance = -1, .cfg_normalization = -1, .cfg_truncation = -1,
				 .strength = NAN };
	int r;

	if (!options)
		return 0;
	r = fields_read(option_fields, options, FIELDS_NOCASE, &o, NULL, err);
	if (r < 0)
		return err_prefix(err, "options");
	if (o.seed)
		p->seed = picture_seed(o.seed);
	p->width = p->width ? p->width : o.width;
	p->height = p->height ? p->height : o.height;
	p->steps = p->steps ? p->steps : o.steps;
	p->guidance = p->guidance >= 0 ? p->guidance : o.guidance;
	p->cfg_normalization = o.cfg_normalization;
	p->cfg_truncation = o.cfg_truncation;
	p->strength = isnan(p->strength) ? o.strength : p->strength;
	r = read_step_cache(o.step_cache, p, err);
	fields_clear(option_fields, &o);
	return r;
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

static int finish_pictures(struct raw_generate *raw, const struct lift *lift, struct upload *body,
			   struct err *err)
{
	struct picture_sources sources = { 0 };
	int r = picture_sources_read(&sources, &raw->members.values, lift, err);

	return r < 0 ? r : picture_finish(&raw->picture, &raw->members, &sources, PICTURES_OLLAMA,
					  body, err);
}

static int finish_generate(struct raw_generate *raw, struct generate_body *ret, struct err *err)
{
	int r;

	raw->picture.seed = picture_seed(raw->seed);
	r = read_options(raw->options, &raw->picture, err);
	if (r == 0)
		r = check_think(raw->think, err);
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
	return 0;
}

int generate_body_read(struct upload *body, struct generate_body *ret, struct err *err)
{
	struct raw_generate raw = { .picture = picture_nothing_said, .stream = true };
	static const char go_type[] = "api.GenerateRequest";
	struct lift lift;
	json_t *root = body_parse_lifted(body, go_type, &lift, err);
	int r;

	if (!root)
		return err->code;
	*ret = (struct generate_body){ 0 };
	r = body_read_json(root, go_type, generate_fields, &raw, NULL, err);
	json_decref(root);
	if (r == 0)
		r = finish_generate(&raw, ret, err);
	if (r == 0)
		r = finish_pictures(&raw, &lift, body, err);
	if (r == 0) {
		ret->picture = raw.picture;
		raw.picture.prompt = raw.picture.negative = NULL;
	}
	fields_clear(generate_fields, &raw);
	lift_clear(&lift);
	if (r < 0)
		generate_body_clear(ret);
	return r;
}

void generate_body_clear(struct generate_body *b)
{
	free(b->model);
	picture_params_clear(&b->picture);
	*b = (struct generate_body){ 0 };
}
