/*
 * A device and a pipeline without either, for tests of the runner's socket and thread.
 * What it does hangs on the model's name and the prompt: "no device" as EASEL_DEVICE,
 * a model whose manifest has no layers fails, prompts "fail", "slow", "lose the device" and
 * "tell": instead of a picture what the request says of pictures. Partial pictures
 * that are asked for come before the first step.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runner/pipeline.h"
#include "runner/vk/vk.h"

struct vk {
	struct vk_device_info info;
	bool lost;
};
struct pipeline {
	struct vk *vk;
};

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

int vk_open(const char *selector, struct vk **ret, struct err *err)
{
	if (selector && strcmp(selector, "no device") == 0)
		return err_set(err, -ENODEV, "no compute device: install mesa-vulkan-drivers");
	*ret = calloc(1, sizeof **ret);
	(*ret)->info = (struct vk_device_info){ .type = VK_SOFTWARE, .name = "fake", .driver = "1" };
	return 0;
}

void vk_close(struct vk **vk)
{
	free(*vk);
	*vk = NULL;
}

const struct vk_device_info *vk_info(const struct vk *vk)
{
	return &vk->info;
}

bool vk_lost(const struct vk *vk)
{
	return vk->lost;
}

void vk_kernels_save(struct vk *vk)
{
	(void)vk;
}

const char *vk_type_name(enum vk_type t)
{
	return t == VK_SOFTWARE ? "software" : "other";
}

int pipeline_open(struct vk *vk, struct store *s, const struct manifest *m,
		  const struct pipeline_loading *loading, struct pipeline **ret, struct err *err)
{
	(void)s;
	if (m->n_layers == 0)
		return err_set(err, -EINVAL, "the model has no tensors");
	for (uint64_t i = 1; i <= 4; i++)
		loading->progress(loading->context, i * 25, 100);
	*ret = calloc(1, sizeof **ret);
	(*ret)->vk = vk;
	return 0;
}

void pipeline_close(struct pipeline **p)
{
	free(*p);
	*p = NULL;
}

const struct pipeline_defaults *pipeline_defaults(const struct pipeline *p)
{
	static const struct pipeline_defaults defaults = { 1024, 1024, 9, 0 };

	(void)p;
	return &defaults;
}

uint64_t pipeline_weight_bytes(const struct pipeline *p)
{
	(void)p;
	return 100;
}

uint64_t pipeline_workspace_bytes(const struct pipeline *p)
{
	(void)p;
	return 200;
}

const struct pipeline_drawn *pipeline_drawn(const struct pipeline *p)
{
	static const struct pipeline_drawn drawn = { .steps_reused = 5, .tokens = 11, .strength = -1 };

	(void)p;
	return &drawn;
}

static void tell(const struct pipeline_request *r, struct buf *out)
{
	size_t marked = 0;

	buf_printf(out, "%ux%u strength %g:", r->width, r->height, r->strength);
	for (unsigned i = 0; i < r->n_images; i++)
		buf_printf(out, " %ux%u/%u", r->images[i].width, r->images[i].height, r->images[i].channels);
	if (!r->mask)
		return;
	for (size_t i = 0; i < (size_t)r->mask->width * r->mask->height; i++)
		marked += r->mask->pixels[i] == 255;
	buf_printf(out, " mask %ux%u/%u, %zu marked", r->mask->width, r->mask->height, r->mask->channels,
		   marked);
}

/* The text's letters as pixels. */
static void tell_as_picture(const struct pipeline_request *r, struct image *ret)
{
	struct buf text = BUF_INIT(1 << 16);

	tell(r, &text);
	*ret = (struct image){ r->width, r->height, 3, calloc((size_t)r->width * r->height, 3) };
	memcpy(ret->pixels, text.data, text.len);
	buf_finish(&text);
}

/* No encoder makes it smaller. */
static struct image noisy_picture(uint32_t width, uint32_t height)
{
	struct image im = { width, height, 3, malloc((size_t)width * height * 3) };
	uint32_t x = 1;

	for (size_t i = 0; i < (size_t)width * height * 3; i++) {
		x = x * 1664525u + 1013904223u;
		im.pixels[i] = (uint8_t)(x >> 24);
	}
	return im;
}

int pipeline_generate(struct pipeline *p, const struct pipeline_request *r,
		      const struct pipeline_hooks *hooks, struct image *ret, struct err *err)
{
	bool slow = strcmp(r->prompt, "slow") == 0;

	if (strcmp(r->prompt, "lose the device") == 0) {
		p->vk->lost = true;
		return err_set(err, -EIO, "GPU work: the device was lost");
	}
	if (strcmp(r->prompt, "fail") == 0)
		return err_set(err, -EDOM, "the numbers are not finite");
	if (strcmp(r->prompt, "tell") == 0) {
		tell_as_picture(r, ret);
		hooks->inputs_done(hooks->context);
		return 0;
	}
	hooks->inputs_done(hooks->context);
	for (unsigned i = 0; i < r->partial_images; i++) {
		struct image rgb = noisy_picture(r->width / 8, r->height / 8);

		if (hooks->partial(hooks->context, &rgb, err) < 0)
			return -EIO;
	}
	for (uint32_t i = 1; slow || i <= r->steps; i++) {
		if (hooks->cancelled(hooks->context))
			return err_set(err, -ECANCELED, "cancelled");
		if (i <= r->steps)
			hooks->progress(hooks->context, "denoise", i, r->steps);
		nap(2);
	}
	*ret = noisy_picture(r->width, r->height);
	return 0;
}
