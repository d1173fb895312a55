/*
 * Finds the row of a pipeline class in families.def and makes its four parts from the
 * model's configs. Owns nothing; any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runner/family.h"
#include "runner/sampler/sampler.h"
#include "runner/text_encoder/text_encoder.h"
#include "runner/transformer/transformer.h"
#include "runner/vae/latent_rgb.h"
#include "runner/vae/vae.h"

static const struct family families[] = {
#define FAMILY(name, text_encoder_, transformer_, sampler_, vae_) \
	{ name, &text_encoder_, &transformer_, &sampler_, &vae_ },
#include "runner/families.def"
#undef FAMILY
};

const char *const *family_supported(void)
{
	static const char *const names[] = {
#define FAMILY(name, text_encoder_, transformer_, sampler_, vae_) name,
#include "runner/families.def"
#undef FAMILY
		NULL
	};

	return names;
}

const char *family_class_name(const json_t *model_index)
{
	const char *name = json_string_value(json_object_get(model_index, "architecture"));

	return name ? name : json_string_value(json_object_get(model_index, "_class_name"));
}

static int unsupported(const char *name, struct err *err)
{
	const char *const *known = family_supported();
	char list[256] = "";
	size_t len = 0;

	for (; *known && len < sizeof list; known++)
		len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "",
					*known);
	return err_set(err, -EINVAL,
		       "model_index.json: pipeline class '%s' is not supported (only %s)", name,
		       list);
}

static int family_find(const json_t *model_index, const struct family **ret, struct err *err)
{
	const char *name = family_class_name(model_index);
	size_t i;

	if (!name)
		return err_set(err, -EINVAL, "model_index.json: no pipeline class (_class_name)");
	for (i = 0; i < sizeof families / sizeof families[0]; i++)
		if (!strcmp(families[i].class_name, name)) {
			*ret = &families[i];
			return 0;
		}
	return unsupported(name, err);
}

static int check_config(const json_t *config, const char *file, struct err *err)
{
	if (json_is_object(config))
		return 0;
	return err_set(err, -EINVAL, "%s is missing or is not a JSON object", file);
}

static int text_encoder_create(const struct family *f, const json_t *config, void **ret,
			       struct err *err)
{
	static const char file[] = "text_encoder/config.json";
	int r = check_config(config, file, err);

	if (r < 0)
		return r;
	r = f->text_encoder->create(config, f->transformer->text_layers, ret, err);
	return r < 0 ? err_prefix(err, "%s", file) : 0;
}

/* The other classes share this form of constructor. */
static int part_create(int (*create)(const json_t *, void **, struct err *), const json_t *config,
		       const char *file, void **ret, struct err *err)
{
	int r = check_config(config, file, err);

	if (r < 0)
		return r;
	r = create(config, ret, err);
	return r < 0 ? err_prefix(err, "%s", file) : 0;
}

/* What one part gives must be what the next one takes. */
static int parts_agree(const struct family_parts *p, struct err *err)
{
	const struct family *f = p->family;
	uint32_t text = f->text_encoder->width(p->text_encoder);
	uint32_t cond = f->transformer->cond_width(p->transformer);
	uint32_t latent = f->transformer->latent_channels(p->transformer);
	uint32_t vae = f->vae->latent_channels(p->vae);

	if (text != cond)
		return err_set(err, -EINVAL, "transformer/config.json: %s is %u, but "
			       "text_encoder/config.json gives %u columns of text",
			       f->transformer->cond_key, cond, text);
	if (latent != vae)
		return err_set(err, -EINVAL, "transformer/config.json: in_channels is %u, but "
			       "vae/config.json gives %u", latent, vae);
	return 0;
}

int family_create(const struct family_configs *c, struct family_parts *ret, struct err *err)
{
	struct family_parts p = { 0 };
	int r;

	r = family_find(c->model_index, &p.family, err);
	if (r < 0)
		return r;
	p.distilled = json_is_true(json_object_get(c->model_index, "is_distilled"));
	r = text_encoder_create(p.family, c->text_encoder, &p.text_encoder, err);
	if (r == 0)
		r = part_create(p.family->transformer->create, c->transformer,
				"transformer/config.json", &p.transformer, err);
	if (r == 0)
		r = part_create(p.family->sampler->create, c->scheduler,
				"scheduler/scheduler_config.json", &p.sampler, err);
	if (r == 0)
		r = part_create(p.family->vae->create, c->vae, "vae/config.json", &p.vae, err);
	if (r == 0)
		r = step_cache_coefficients(c->step_cache, p.step_cache, err);
	if (r == 0)
		r = parts_agree(&p, err);
	if (r == 0)
		r = latent_rgb_create(c->latent_rgb, p.family->vae->latent_channels(p.vae),
				      vae_pack(p.family->vae), &p.latent_rgb, err);
	if (r < 0) {
		family_free(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void family_free(struct family_parts *p)
{
	if (p->text_encoder)
		p->family->text_encoder->free(p->text_encoder);
	if (p->transformer)
		p->family->transformer->free(p->transformer);
	if (p->sampler)
		p->family->sampler->free(p->sampler);
	if (p->vae)
		p->family->vae->free(p->vae);
	latent_rgb_free(p->latent_rgb);
	memset(p, 0, sizeof *p);
}

void family_bind(const struct family_parts *p, struct weights *w)
{
	weights_part(w, WEIGHTS_CAPTION);
	p->family->text_encoder->bind(p->text_encoder, w);
	p->family->transformer->bind(p->transformer, w);
	p->family->vae->bind(p->vae, w);
}

static bool family_edits(const struct family_parts *p)
{
	return p->family->transformer->max_references && p->family->vae->can_encode(p->vae);
}

int family_check(const struct family_configs *c, struct weights *w, bool *ret_edits,
		 struct err *err)
{
	struct family_parts p;
	int r;

	r = family_create(c, &p, err);
	if (r < 0)
		return r;
	family_bind(&p, w);
	r = weights_check(w, err);
	*ret_edits = family_edits(&p);
	family_free(&p);
	return r;
}
