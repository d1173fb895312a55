/*
 * The pictures of a request: which of them the drawing starts from, which ones it
 * refers to, what the mask keeps; all of it brought to size, then to latents. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/pipeline_private.h"

/* ---- who is what ---- */

static int check_pictures(const struct pipeline *p, const struct pipeline_request *r,
			  struct err *err)
{
	const struct family_parts *parts = &p->parts;
	unsigned most = parts->family->transformer->max_references;

	if (!parts->family->vae->can_encode(parts->vae))
		return err_set(err, -EINVAL, "model does not support image editing: its VAE has "
			       "no encoder");
	if (r->n_images > (most ? most : 1))
		return err_set(err, -EINVAL, "too many input images, maximum is %u",
			       most ? most : 1);
	return 0;
}

static int choose_roles(const struct pipeline *p, struct drawing *d, struct err *err)
{
	const struct transformer_class *t = p->parts.family->transformer;
	const struct pipeline_request *r = d->request;

	d->strength = 1;
	if (r->n_images == 0)
		return 0;
	d->starts = r->strength >= 0 || r->mask || !t->max_references;
	if (r->strength >= 0)
		d->strength = r->strength;
	else if (d->starts && !r->mask)
		d->strength = t->default_strength;
	/* Masked, what is drawn anew still refers to the whole picture, as the reference does. */
	d->first_reference = d->starts && !r->mask ? 1 : 0;
	if (t->max_references)
		d->canvas.n_references = r->n_images - d->first_reference;
	return check_pictures(p, r, err);
}

uint32_t drawing_first_step(const struct drawing *d)
{
	const double steps = d->request->steps, run = steps * d->strength;

	return (uint32_t)(steps - (run < steps ? run : steps));
}

/* ---- sizes ---- */

/* Only what is wrong with a picture is the picture's fault. */
static int blame(int r, unsigned index, struct err *err)
{
	return r == -EINVAL ? err_prefix(err, "invalid image %u", index) : r;
}

static int fit_references(const struct pipeline *p, struct drawing *d, struct err *err)
{
	const uint32_t scale = p->parts.family->vae->scale;
	const struct image_watch watch = workshop_watch(&p->shop);
	unsigned i;
	int r;

	for (i = 0; i < d->canvas.n_references; i++) {
		unsigned index = d->first_reference + i;
		struct image *fitted = &d->reference_image[i];

		r = image_ask(&watch, err);
		if (r == 0)
			r = image_reference(&d->request->images[index], &watch, fitted, err);
		if (r < 0)
			return blame(r, index, err);
		d->canvas.reference[i].h = fitted->height / scale;
		d->canvas.reference[i].w = fitted->width / scale;
	}
	return 0;
}

static int fit_start(const struct pipeline *p, struct drawing *d, struct err *err)
{
	const struct image_watch watch = workshop_watch(&p->shop);
	const struct pipeline_request *r = d->request;
	int code;

	if (!d->starts)
		return 0;
	code = image_cover(&r->images[0], r->width, r->height, IMAGE_LANCZOS, &watch, &d->original,
			   err);
	if (code < 0)
		return blame(code, 0, err);
	if (r->mask)
		code = image_cover(r->mask, r->width, r->height, IMAGE_NEAREST, &watch, &d->mask,
				   err);
	return code == -EINVAL ? err_prefix(err, "invalid mask") : code;
}

/* A choice that cannot have an effect is said once, in the log. */
static void tell_unguided(const struct drawing *d, bool distilled)
{
	const struct pipeline_request *r = d->request;

	if (d->guided || !r->negative || !*r->negative)
		return;
	log_info("the negative prompt has no effect: %s",
		 distilled ? "the model is distilled" : "guidance is too low");
}

bool guidance_works(const struct pipeline *p, double guidance)
{
	return !p->parts.distilled && guidance > p->parts.family->transformer->guidance_base;
}

int drawing_plan(struct pipeline *p, const struct pipeline_request *r, struct drawing *d,
		 struct err *err)
{
	const struct family_parts *parts = &p->parts;
	const struct transformer_class *t = parts->family->transformer;
	const uint32_t scale = parts->family->vae->scale;
	int code;

	*d = (struct drawing){
		.request = r,
		.canvas = { .h = r->height / scale, .w = r->width / scale },
		.guided = guidance_works(p, r->guidance),
		.cond = { .prefix = "" }, .uncond = { .prefix = "negative." },
	};
	d->n = (size_t)t->latent_channels(parts->transformer) * d->canvas.h * d->canvas.w;
	d->latent = calloc(d->n, sizeof *d->latent);
	if (!d->latent)
		return err_set(err, -ENOMEM, "out of memory");
	tell_unguided(d, parts->distilled);
	noise_seed(&d->noise, r->seed);
	code = choose_roles(p, d, err);
	if (code == 0)
		code = fit_references(p, d, err);
	return code < 0 ? code : fit_start(p, d, err);
}

void drawing_finish(struct drawing *d)
{
	unsigned i;

	for (i = 0; i < LIMIT_INPUT_IMAGES; i++) {
		image_finish(&d->reference_image[i]);
		free(d->reference[i]);
	}
	image_finish(&d->original);
	image_finish(&d->mask);
	caption_finish(&d->cond);
	caption_finish(&d->uncond);
	free(d->start);
	free(d->keep);
	free(d->latent);
}

/* ---- latents ---- */

/* A picture's latent, the caller's to free. noise: as encode_picture() takes it. */
static int encode_image(struct pipeline *p, const struct image *im, const float *noise,
			float **ret, struct err *err)
{
	const struct family_parts *parts = &p->parts;
	const uint32_t scale = parts->family->vae->scale;
	const uint32_t h = im->height / scale, w = im->width / scale;
	size_t n = (size_t)parts->family->vae->latent_channels(parts->vae) * h * w;
	float *pixels = calloc((size_t)im->height * im->width, 3 * sizeof *pixels);
	float *latent = calloc(n, sizeof *latent);
	int r = 0;

	if (!pixels || !latent)
		r = err_set(err, -ENOMEM, "encoding a picture: out of memory");
	if (r == 0) {
		image_to_float(im, pixels);
		r = encode_picture(p, pixels, h, w, noise, latent, err);
	}
	free(pixels);
	if (r < 0)
		free(latent);
	else
		*ret = latent;
	return r;
}

/* Drawn from the encoder's distribution where the reference does so: before the noise. */
static int encode_start(struct pipeline *p, struct drawing *d, struct err *err)
{
	float *noise = NULL;
	int r;

	if (p->parts.family->vae->samples) {
		noise = calloc(d->n, sizeof *noise);
		if (!noise)
			return err_set(err, -ENOMEM, "encoding a picture: out of memory");
		noise_draw(&d->noise, noise, d->n);
	}
	r = encode_image(p, &d->original, noise, &d->start, err);
	free(noise);
	if (r == 0)
		workshop_tap(&p->shop, d->start, d->n, "start_latents");
	return r;
}

/* The share of masked pixels in one position of the latent. */
static float masked_share(const struct drawing *d, uint32_t scale, uint32_t y, uint32_t x)
{
	uint32_t i, j, n = 0;

	for (i = 0; i < scale; i++)
		for (j = 0; j < scale; j++)
			n += d->mask.pixels[(size_t)(y * scale + i) * d->mask.width + x * scale + j] != 0;
	return (float)n / (float)(scale * scale);
}

/* A position is drawn anew when half of it is masked; in a mask so thin that none is, any part. */
static int mask_latent(const struct pipeline *p, struct drawing *d, struct err *err)
{
	const size_t n = (size_t)d->canvas.h * d->canvas.w;
	const uint32_t scale = p->parts.family->vae->scale;
	float most = 0, enough;
	size_t i;

	d->keep = calloc(n, sizeof *d->keep);
	if (!d->keep)
		return err_set(err, -ENOMEM, "mask: out of memory");
	for (i = 0; i < n; i++) {
		d->keep[i] = masked_share(d, scale, (uint32_t)(i / d->canvas.w),
					  (uint32_t)(i % d->canvas.w));
		most = d->keep[i] > most ? d->keep[i] : most;
	}
	if (most <= 0)
		return err_set(err, -EINVAL, "the mask marks nothing to draw anew");
	enough = most < 0.5f ? 1.0f / (float)(scale * scale) : 0.5f;
	for (i = 0; i < n; i++)
		d->keep[i] = d->keep[i] >= enough ? 0 : 1;
	return 0;
}

int drawing_encode(struct pipeline *p, struct drawing *d, struct err *err)
{
	const struct image_watch watch = workshop_watch(&p->shop);
	unsigned i;
	int r = 0;

	if (d->mask.pixels)
		r = mask_latent(p, d, err);
	for (i = 0; i < d->canvas.n_references && r == 0; i++) {
		r = image_ask(&watch, err);
		if (r == 0)
			r = encode_image(p, &d->reference_image[i], NULL, &d->reference[i], err);
		image_finish(&d->reference_image[i]);
		if (r == 0)
			workshop_tap(&p->shop, d->reference[i],
				     d->n / d->canvas.h / d->canvas.w *
				     d->canvas.reference[i].h * d->canvas.reference[i].w,
				     "ref%u.latents_normalised", i);
	}
	if (r == 0 && d->starts)
		r = encode_start(p, d, err);
	return r;
}

void drawing_paste(const struct drawing *d, uint8_t *rgb)
{
	const size_t n = (size_t)d->mask.width * d->mask.height;
	size_t i;

	if (!d->mask.pixels)
		return;
	for (i = 0; i < n; i++)
		if (!d->mask.pixels[i])
			memcpy(rgb + 3 * i, d->original.pixels + 3 * i, 3);
}
