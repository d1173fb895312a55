/*
 * The stages of a picture, by what a pipeline tells of its progress. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/name.h"
#include "common/settings.h"
#include "common/store.h"
#include "runner/bench/bench_private.h"
#include "runner/pipeline.h"

/* When what began, in a clock of its own. */
struct times {
	struct moment encode, denoise, step, decode;    /* the start of each; step: of the last one */
	struct moment last_step;                /* what it took */
};

static void on_progress(void *context, const char *phase, uint32_t step, uint32_t total)
{
	struct times *t = context;
	const struct moment now = moment_now();

	(void)total;
	if (!strcmp(phase, "encode")) {
		t->encode = now;
	} else if (!strcmp(phase, "decode")) {
		t->decode = now;
	} else if (!strcmp(phase, "denoise") && step == 0) {
		t->denoise = t->step = now;
	} else if (!strcmp(phase, "denoise")) {
		/* The first step also builds its graph: later ones are what counts. */
		t->last_step = moment_minus(now, t->step);
		t->step = now;
	}
}

static int read_model(const char *text, struct store **s, struct manifest **m, struct err *err)
{
	struct model_name name, found;
	char *root;
	int r;

	r = name_parse(text, &name, err);
	if (r < 0)
		return r;
	root = settings_models_dir(err);
	if (!root)
		return -EINVAL;
	r = store_open(root, s, err);
	free(root);
	if (r == 0)
		r = store_resolve(*s, &name, &found, err);
	return r == 0 ? store_read(*s, &found, m, err) : r;
}

static int draw(struct pipeline *p, const struct bench_options *o, struct times *t, struct err *err)
{
	const struct pipeline_defaults *d = pipeline_defaults(p);
	const struct pipeline_request request = {
		.prompt = o->prompt,
		.width = o->width ? o->width : d->width,
		.height = o->height ? o->height : d->height,
		.steps = o->steps ? o->steps : d->steps,
		.seed = 1, .guidance = d->guidance, .cfg_truncation = 1, .strength = -1,
	};
	const struct pipeline_hooks hooks = { .context = t, .progress = on_progress };
	struct image rgb = { 0 };
	const int r = pipeline_generate(p, &request, &hooks, &rgb, err);

	image_finish(&rgb);
	return r;
}

static int add(struct report *r, const char *stage, const char *variant, struct moment spent,
	       struct err *err)
{
	struct row *row = report_row(r, "stage", stage, variant);

	if (!row)
		return err_set(err, -ENOMEM, "too many rows");
	row_add(row, spent);
	return 0;
}

static int report_times(struct report *r, const char *variant, const struct times *t,
			struct moment load, struct moment end, struct err *err)
{
	const struct { const char *name; struct moment spent; } stages[] = {
		{ "load", load }, { "text encode", moment_minus(t->denoise, t->encode) },
		{ "first steps", moment_minus(moment_minus(t->decode, t->denoise), t->last_step) },
		{ "step", t->last_step }, { "decode", moment_minus(end, t->decode) },
	};
	int code = 0;

	for (size_t i = 0; i < sizeof stages / sizeof stages[0] && code == 0; i++)
		code = add(r, stages[i].name, variant, stages[i].spent, err);
	return code;
}

int stages_run(const struct bench_options *o, const struct variant *v, struct report *report,
	       struct err *err)
{
	struct pipeline *p = NULL;
	struct manifest *m = NULL;
	struct store *s = NULL;
	struct times t = { 0 };
	struct moment load;
	int r;

	variant_select(v);
	r = read_model(o->model, &s, &m, err);
	load = moment_now();
	if (r == 0)
		r = pipeline_open(v->vk, s, m, &(struct pipeline_loading){ 0 }, &p, err);
	load = moment_minus(moment_now(), load);
	if (r == 0)
		r = draw(p, o, &t, err);
	if (r == 0)
		r = report_times(report, v->name, &t, load, moment_now(), err);
	pipeline_close(&p);
	manifest_free(m);
	store_close(s);
	return r;
}
