/*
 * Matrices as bytes against the same models without: the kernels on request, EASEL_KERNELS
 * host-int8. What they may cost is measured; what they save is counted.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/graph/kernels.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

static struct vk *vk;

struct drawing {
	struct taps taps;
	struct buf png;
	uint64_t bytes;                         /* of weights */
};

static void on_tap(void *context, const char *name, const float *data, size_t n)
{
	taps_add(context, name, data, n);
}

static struct drawing draw(struct fixture *f, const char *kernels, const struct pipeline_request *request)
{
	struct drawing d = { .png = BUF_INIT(16 << 20) };
	const struct pipeline_hooks hooks = { .context = &d.taps, .tap = on_tap };
	struct err err;

	setenv("EASEL_KERNELS", kernels, 1);
	pipeline_close(&f->pipeline);
	if (pipeline_open(vk, f->store, f->manifest, &(struct pipeline_loading){ 0 }, &f->pipeline, &err) < 0 ||
	    fixture_png(f->pipeline, request, &hooks, &d.png, &err) < 0)
		fail_msg("%s", err.text);
	d.bytes = pipeline_weight_bytes(f->pipeline);
	return d;
}

static void drop(struct drawing *d)
{
	taps_free(&d->taps);
	buf_finish(&d->png);
}

static double relative_error(const struct drawing *a, const struct drawing *b, const char *name)
{
	const struct tap *x = taps_find(&a->taps, name), *y = taps_find(&b->taps, name);
	double difference = 0, size = 0;

	if (!x || !y || x->n != y->n)
		fail_msg("%s was not tapped", name);
	for (size_t i = 0; i < x->n; i++) {
		difference += (x->data[i] - y->data[i]) * (double)(x->data[i] - y->data[i]);
		size += x->data[i] * (double)x->data[i];
	}
	return sqrt(difference / size);
}

static double psnr(const struct buf *a, const struct buf *b)
{
	return 10 * log10(255.0 * 255.0 / fixture_squares(a, b));
}

static const struct row {
	const char *folder, *text_tap;
	uint32_t side, steps;
	double text, velocity, psnr;            /* relative RMS at most; decibels at least */
} rows[] = {
	{ TEST_DATA "/goldens/models/zimage-a", "text.hidden_states_-2", 64, 1, 4e-2, 2e-2, 45 },
	{ TEST_DATA "/goldens/models/zimage-wide", "text.hidden_states_-2", 64, 1, 4e-2, 2e-2, 45 },
	{ TEST_DATA "/goldens/models/klein-a", "text.embeds", 64, 1, 4e-2, 2e-2, 45 },
	{ DEMO_MODEL, "text.hidden_states_-2", 128, 20, 4e-2, 2e-2, 45 },
};

static void check_model(const struct row *row)
{
	const struct pipeline_request request = {
		.prompt = "a white cat", .width = row->side, .height = row->side, .steps = row->steps, .seed = 2,
		.cfg_truncation = 1,
	};
	struct fixture f;
	struct drawing exact, bytes;
	double text, velocity, decibels;

	fixture_open(&f, vk, row->folder);
	exact = draw(&f, "host", &request);
	bytes = draw(&f, "host-int8", &request);
	text = relative_error(&exact, &bytes, row->text_tap);
	velocity = relative_error(&exact, &bytes, "velocity.0");
	decibels = psnr(&exact.png, &bytes.png);
	printf("# %s: text %.1e, velocity %.1e, picture %.1f dB; %llu bytes of weights for %llu\n", row->folder, text,
	       velocity, decibels, (unsigned long long)bytes.bytes, (unsigned long long)exact.bytes);
	assert_true(text > 0 && text <= row->text);
	assert_true(velocity > 0 && velocity <= row->velocity);
	assert_true(decibels >= row->psnr);
	assert_true(bytes.bytes < exact.bytes);
	drop(&exact);
	drop(&bytes);
	fixture_close(&f);
}

static void test_models(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_model(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_models) };

	vk = device_open();
	if (!kernel_sets[KERNELS_HOST_INT8].runs_on(vk)) {
		printf("# skipped: needs %s\n", kernel_sets[KERNELS_HOST_INT8].needs);
		return device_close(&vk, 0) ? 1 : 77;
	}
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
