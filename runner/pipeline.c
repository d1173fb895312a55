/*
 * Prompt -> picture for one loaded model: encode, denoise, decode. Owns the model's
 * parts, its weights, the graphs of the last shapes and the arena they share. GPU
 * thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/settings.h"
#include "runner/image/image.h"
#include "runner/ops/self_check.h"
#include "runner/pipeline_private.h"

static void set_defaults(struct pipeline *p)
{
	const struct transformer_class *t = p->parts.family->transformer;
	const struct sampling_defaults *d = &t->defaults[p->parts.distilled];

	p->defaults = (struct pipeline_defaults){
		.width = t->default_side, .height = t->default_side,
		.steps = d->steps, .guidance = d->guidance,
	};
}

/* The largest graph of a picture of default size; 0 when even that cannot be told. */
static uint64_t plan_default(struct pipeline *p)
{
	const uint32_t scale = p->parts.family->vae->scale;
	const struct canvas c = { .h = p->defaults.height / scale, .w = p->defaults.width / scale };
	uint64_t step = 0, decode = 0;
	struct err ignored;
	uint32_t side;

	if (evaluate_plan(p, &c, 1 + guidance_works(p, p->defaults.guidance), LIMIT_PROMPT_TOKENS, &step,
			  &ignored) < 0)
		step = 0;
	if (decode_plan(p, c.h, c.w, &side, &decode, &ignored) < 0)
		decode = 0;
	return step > decode ? step : decode;
}

/* A driver whose kernels compute something else is told from one that works before weights are loaded. */
static int check_kernels(struct workshop *shop, bool named, struct err *err)
{
	while (kernel_sets[shop->kernels.set].checked) {
		const struct kernel_set_row *row = &kernel_sets[shop->kernels.set];
		int r = kernels_self_check(shop->vk, shop->kernels, err);

		if (r == 0)
			return 0;
		err_prefix(err, "kernels '%s' on %s", row->name, vk_info(shop->vk)->name);
		if (named || vk_lost(shop->vk))
			return r;
		log_warn("%s; using '%s'", err->text, kernel_sets[row->falls_back].name);
		shop->kernels.set = row->falls_back;
	}
	return 0;
}

static int open_kernels(struct workshop *shop, struct err *err)
{
	char *name = settings_get("KERNELS");
	int r = kernels_open(shop->vk, name, &shop->kernels, err);

	if (r == 0)
		r = check_kernels(shop, name && *name, err);
	free(name);
	return r;
}

int pipeline_open(struct vk *vk, struct store *s, const struct manifest *m,
		  const struct pipeline_loading *loading, struct pipeline **ret, struct err *err)
{
	const uint64_t budget_mib = settings_u64("VAE_BUDGET", 0);
	struct pipeline *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->shop.vk = vk;
	r = open_kernels(&p->shop, err);
	if (r == 0)
		r = pipeline_load(p, s, m, loading, err);
	if (r < 0) {
		pipeline_close(&p);
		return r;
	}
	set_defaults(p);
	p->vae_budget = budget_mib < UINT32_MAX ? budget_mib << 20 : UINT64_MAX;
	p->default_workspace = plan_default(p);
	*ret = p;
	return 0;
}

static void drop_stages(struct pipeline *p)
{
	stage_set_drop(&p->text);
	stage_set_drop(&p->cond);
	stage_set_drop(&p->step);
	stage_set_drop(&p->skim);
	stage_set_drop(&p->decode);
	stage_set_drop(&p->encode);
}

void pipeline_close(struct pipeline **ret)
{
	struct pipeline *p = *ret;

	if (!p)
		return;
	drop_stages(p);
	captions_drop(&p->captions);
	arena_finish(p->shop.vk, &p->shop.arena);
	weights_close(p->shop.vk, &p->weights);
	bpe_free(p->tokenizer);
	family_free(&p->parts);
	kernels_close(&p->shop.kernels);
	free(p);
	*ret = NULL;
}

const struct pipeline_defaults *pipeline_defaults(const struct pipeline *p)
{
	return &p->defaults;
}

uint64_t pipeline_weight_bytes(const struct pipeline *p)
{
	return weights_bytes(p->weights);
}

uint64_t pipeline_workspace_bytes(const struct pipeline *p)
{
	return p->shop.arena.size ? p->shop.arena.size : p->default_workspace;
}

const struct pipeline_drawn *pipeline_drawn(const struct pipeline *p)
{
	return &p->drawn;
}

/* ---- one picture ---- */

static int check_request(const struct pipeline_request *r, struct err *err)
{
	const uint32_t multiple = LIMIT_SIDE_MULTIPLE;

	if (r->width == 0 || r->height == 0 || r->width % multiple || r->height % multiple)
		return err_set(err, -EINVAL, "width and height must be multiples of %u, not %ux%u",
			       multiple, r->width, r->height);
	if (r->width > LIMIT_SIDE || r->height > LIMIT_SIDE)
		return err_set(err, -EINVAL, "width and height can be at most %u, not %ux%u",
			       LIMIT_SIDE, r->width, r->height);
	if (r->steps == 0 || r->steps > LIMIT_STEPS)
		return err_set(err, -EINVAL, "steps must be from 1 to %u, not %u", LIMIT_STEPS,
			       r->steps);
	return 0;
}

static int draw_latent(struct pipeline *p, struct drawing *d, struct err *err)
{
	const struct pipeline_request *r = d->request;
	int code;

	workshop_progress(&p->shop, "encode", 0, r->steps - drawing_first_step(d));
	code = drawing_encode(p, d, err);
	if (code == 0)
		code = caption_encode(p, r->prompt, &d->canvas, &d->cond, err);
	if (code == 0 && d->guided)
		code = caption_encode(p, r->negative ? r->negative : "", &d->canvas, &d->uncond,
				      err);
	p->drawn.tokens = d->cond.n_tokens;
	p->drawn.strength = d->starts ? d->strength : -1;
	return code < 0 ? code : denoise(p, d, err);
}

static int decode(struct pipeline *p, const struct drawing *d, struct image *ret, struct err *err)
{
	const struct pipeline_request *r = d->request;
	size_t n = (size_t)r->width * r->height * 3;
	float *pixels = calloc(n, sizeof *pixels);
	int code = 0;

	*ret = (struct image){ .width = r->width, .height = r->height, .channels = 3 };
	ret->pixels = malloc(n);
	if (!pixels || !ret->pixels)
		code = err_set(err, -ENOMEM, "decoding: out of memory");
	if (code == 0)
		code = decode_latent(p, d->latent, d->canvas.h, d->canvas.w, pixels, err);
	if (code == 0) {
		image_from_float(pixels, r->width, r->height, ret->pixels);
		drawing_paste(d, ret->pixels);
	} else {
		image_finish(ret);
	}
	free(pixels);
	return code;
}

static int check_vae(struct pipeline *p, const struct drawing *d, uint64_t *ret, struct err *err)
{
	const struct canvas *c = &d->canvas;
	uint64_t encode = 0, decode;
	uint32_t side;
	int code = 0;

	if (d->starts)
		code = encode_plan(p, c->h, c->w, &side, &encode, err);
	if (code == 0)
		code = decode_plan(p, c->h, c->w, &side, &decode, err);
	if (code == 0)
		*ret = encode > decode ? encode : decode;
	return code;
}

/*
 * Room for every graph: minutes are not spent on a picture that cannot be decoded, and
 * the arena does not grow, which would spoil recordings, in between.
 */
static int make_room(struct pipeline *p, const struct drawing *d, struct err *err)
{
	const struct transformer_class *t = p->parts.family->transformer;
	/* At least; what a caption takes is seen when it is there. */
	const uint32_t n_text = t->pads_prompt ? LIMIT_PROMPT_TOKENS : 1;
	uint64_t step = 0, vae = 0;
	int code;

	code = t->check_size(p->parts.transformer, &d->canvas, n_text, err);
	if (code == 0)
		code = evaluate_plan(p, &d->canvas, 1 + d->guided, n_text, &step, err);
	if (code == 0)
		code = check_vae(p, d, &vae, err);
	if (code < 0)
		return code;
	return arena_reserve(p->shop.vk, &p->shop.arena, step > vae ? step : vae, err);
}

static void tell_inputs_done(const struct pipeline *p)
{
	const struct pipeline_hooks *h = p->shop.hooks;

	if (h && h->inputs_done)
		h->inputs_done(h->context);
}

static int draw(struct pipeline *p, const struct pipeline_request *r, struct image *ret,
		struct err *err)
{
	struct drawing d;
	int code = drawing_plan(p, r, &d, err);

	tell_inputs_done(p);
	if (code == 0)
		code = make_room(p, &d, err);
	if (code == 0)
		code = draw_latent(p, &d, err);
	if (code == 0) {
		const uint32_t steps = r->steps - drawing_first_step(&d);

		workshop_progress(&p->shop, "decode", steps, steps);
		code = decode(p, &d, ret, err);
	}
	drawing_finish(&d);
	return code;
}

int pipeline_generate(struct pipeline *p, const struct pipeline_request *r,
		      const struct pipeline_hooks *hooks, struct image *ret, struct err *err)
{
	bool taps = hooks && hooks->tap;
	int code;

	code = check_request(r, err);
	if (code == 0)
		code = weights_verify(p->weights, err);
	if (code < 0)
		return code;
	/* Graphs keep taps or do not from their building on. */
	if (taps)
		drop_stages(p);
	p->shop.hooks = hooks;
	p->drawn = (struct pipeline_drawn){ .strength = -1 };
	code = draw(p, r, ret, err);
	p->shop.hooks = NULL;
	if (taps)
		drop_stages(p);
	return code;
}
