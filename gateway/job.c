/*
 * A request for pictures: which model, and which numbers where the client gave none.
 * Owns the request's strings and its manifest; runs on the event loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/job.h"
#include "gateway/models.h"

int job_find_model(struct job *job, struct catalog *catalog, const char *model, struct err *err)
{
	struct store *store = catalog_store(catalog);
	struct model_card card;
	int r;

	job->model = strdup(model);
	if (!job->model)
		return err_set(err, -ENOMEM, "out of memory");
	if (!*model)
		return err_set(err, -ENOENT, "model '' not found");
	r = model_name_read(model, "remote model is unavailable", &job->name, err);
	if (r < 0)
		return r;
	r = model_read(catalog, &job->name, &job->manifest, err);
	if (r == -ENOENT)
		return err_set(err, -ENOENT, "model '%s' not found", model);
	if (r == 0)
		r = model_card_read(store, job->manifest, &card, err);
	/* Damage in the store is the server's fault, whatever the code says. */
	if (r < 0)
		return err->code = -EIO;
	job->abilities = card.abilities;
	job->details = model_details(&card);
	job->defaults = model_params(store, job->manifest);
	model_card_clear(&card);
	return 0;
}

int job_check(const struct job *job, struct err *err)
{
	if (!(job->abilities & MODEL_DRAWS))
		return err_set(err, -EINVAL, "\"%s\" does not support image generation",
			       job->model);
	if (job->params.inputs.n > 1 && !(job->abilities & MODEL_SEES))
		return err_set(err, -EINVAL, "model does not support image editing with more than "
			       "one image");
	return picture_check(&job->params, err);
}

static size_t length_of(const char *text)
{
	return text ? strlen(text) : 0;
}

bool job_hold_prompts(struct job *job, struct uploads *all)
{
	size_t len = length_of(job->params.prompt) + length_of(job->params.negative);

	if (!uploads_have_room(all, 0, len))
		return false;
	all->held += len;
	job->held = len;
	job->held_by = all;
	return true;
}

void job_clear(struct job *job)
{
	if (job->held_by)
		job->held_by->held -= job->held;
	job->held_by = NULL;
	free(job->model);
	manifest_free(job->manifest);
	json_decref(job->details);
	json_decref(job->defaults);
	picture_params_clear(&job->params);
	job->model = NULL;
	job->manifest = NULL;
	job->details = job->defaults = NULL;
}

/* What was asked, else the model's parameter, else the family's; <= 0 was not asked. */
static uint32_t pick(int64_t asked, const json_t *defaults, const char *name, uint32_t family,
		     uint32_t max)
{
	double stored = json_number_value(json_object_get(defaults, name));

	if (asked > 0)
		return (uint32_t)asked;
	return stored >= 1 && stored <= max ? (uint32_t)stored : family;
}

/* Nearest multiple, as every model of the reference's rounds. */
static uint32_t round_side(uint32_t side)
{
	side = (side + LIMIT_SIDE_MULTIPLE / 2) / LIMIT_SIDE_MULTIPLE * LIMIT_SIDE_MULTIPLE;
	return side < LIMIT_SIDE_MIN ? LIMIT_SIDE_MIN : side > LIMIT_SIDE ? LIMIT_SIDE : side;
}

/* With pictures to start from, what was not asked is theirs to say: 0. */
static uint32_t pick_side(const struct job *job, int64_t asked, const char *name, uint32_t family)
{
	if (asked <= 0 && job->params.inputs.n)
		return 0;
	return round_side(pick(asked, job->defaults, name, family, LIMIT_SIDE));
}

static uint32_t pick_steps(const struct job *job, const struct msg_ready *family)
{
	uint32_t steps = pick(job->params.steps, job->defaults, "steps", family->steps,
			      LIMIT_STEPS);

	if (job->params.steps <= 0)
		steps = (uint32_t)(steps * job->params.effort);
	return steps < 1 ? 1 : steps > LIMIT_STEPS ? LIMIT_STEPS : steps;
}

/* 1 to 2^32 - 1, for all pictures of the job: diffusers takes no more bits. */
static uint64_t random_seed(unsigned count)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		bits = (uint64_t)time_now_ns() * 0x9e3779b97f4a7c15u;
	return 1 + bits % (UINT32_MAX - count + 1);
}

static uint64_t pick_seed(const struct job *job)
{
	const json_t *stored = json_object_get(job->defaults, "seed");

	if (job->params.seed > 0)
		return (uint64_t)job->params.seed;
	if (json_integer_value(stored) > 0)
		return (uint64_t)json_integer_value(stored);
	return random_seed(job->params.count);
}

/* The same of real numbers; asked < 0 was not asked. */
static double pick_real(double asked, const json_t *defaults, const char *name, double family,
			double max)
{
	const json_t *stored = json_object_get(defaults, name);
	double value = json_number_value(stored);

	if (asked >= 0)
		return asked;
	return json_is_number(stored) && value >= 0 && value <= max ? value : family;
}

static char *pick_negative(const struct job *job)
{
	const json_t *stored = json_object_get(job->defaults, "negative_prompt");

	if (job->params.negative && *job->params.negative)
		return job->params.negative;
	return (char *)(uintptr_t)json_string_value(stored);
}

/* A stored word that no reader of today takes says nothing. */
static void resolve_step_cache(struct job *job, const struct step_cache_setting *server,
			       struct msg_generate *ret)
{
	const char *text = json_string_value(json_object_get(job->defaults, "step_cache"));
	struct step_cache_setting asked = job->params.step_cache;
	struct err ignored;

	if (!asked.mode && text)
		step_cache_parse(text, &asked, &ignored);
	if (!asked.mode)
		asked = *server;
	job->caches_steps = asked.mode > STEP_CACHE_OFF;
	if (!job->caches_steps)
		return;
	ret->step_cache = (char *)(uintptr_t)step_cache_mode_name(asked.mode);
	ret->step_cache_threshold = asked.threshold;
}

void job_resolve(struct job *job, const struct msg_ready *family,
		 const struct step_cache_setting *step_cache, struct msg_generate *ret)
{
	const struct picture_params *p = &job->params;

	job->width = pick_side(job, p->width, "width", family->width);
	job->height = pick_side(job, p->height, "height", family->height);
	job->steps = pick_steps(job, family);
	job->seed = pick_seed(job);
	*ret = (struct msg_generate){
		.prompt = p->prompt,
		.negative = pick_negative(job),
		.width = job->width,
		.height = job->height,
		.steps = job->steps,
		.guidance = pick_real(p->guidance, job->defaults, "guidance", family->guidance,
				      LIMIT_GUIDANCE),
		.cfg_normalization = p->cfg_normalization >= 0 ? p->cfg_normalization : 0,
		.cfg_truncation = p->cfg_truncation >= 0 ? p->cfg_truncation : 1,
		.images = p->inputs.n,
		.mask = p->inputs.has_mask ? (char *)(uintptr_t)p->mask_mode : NULL,
		.strength = -1,
		.format = (char *)(uintptr_t)output_format_name(p->format),
		.quality = p->quality,
		.partial_images = p->partial_images,
	};
	resolve_step_cache(job, step_cache, ret);
	if (p->inputs.n)
		ret->strength = pick_real(p->strength, job->defaults, "strength", -1, 1);
	if (ret->negative && *ret->negative && ret->guidance <= 0) {
		log_info("%s: the negative prompt has no effect without guidance", job->model);
		ret->negative = NULL;
	}
}

uint64_t job_seed(const struct job *job)
{
	return job->seed + job->n_made;
}
