/*
 * One matrix product with a known result. GPU thread.
 */
#include "runner/ops/self_check.h"

#include <errno.h>
#include <stdlib.h>

#include "runner/ops/op.h"

/* Some tiles of each kernel set, the last ones not full. */
enum { M = 140, N = 150, K = 88 };

struct trial {
	struct graph *g;
	struct arena arena;
	struct weight w;
	T x, y;
	float in[M * K], out[M * N];
};

static float x_value(uint32_t row, uint32_t k)
{
	return (float)((row * 5 + k * 7) % 9) - 4;
}

static float w_value(uint32_t col, uint32_t k)
{
	return (float)((col * 3 + k * 11) % 7) - 3;
}

static int prepare(struct trial *t, struct vk *vk, struct kernels kernels, struct err *err)
{
	uint16_t *values;
	int r;

	t->w = (struct weight){ .dtype = DTYPE_BF16, .rank = 2, .dim = { N, K }, .bytes = N * K * sizeof *values };
	r = vk_buffer_create(vk, VK_HOST, t->w.bytes, &t->w.buffer, err);
	if (r < 0)
		return r;
	values = vk_buffer_map(t->w.buffer);
	for (uint32_t i = 0; i < N * K; i++)
		values[i] = f32_to_bf16(w_value(i / K, i % K));
	for (uint32_t i = 0; i < M * K; i++)
		t->in[i] = x_value(i / K, i % K);
	t->g = graph_create(vk, kernels);
	if (!t->g)
		return err_set(err, -ENOMEM, "self-check: out of memory");
	t->x = graph_input(t->g, M, K);
	t->y = op_linear(t->g, t->x, &t->w, NULL);
	graph_output(t->g, t->y);
	return graph_build(t->g, &t->arena, err);
}

static int compare(const struct trial *t, struct err *err)
{
	for (uint32_t i = 0; i < M * N; i++) {
		float sum = 0;

		for (uint32_t k = 0; k < K; k++)
			sum += x_value(i / N, k) * w_value(i % N, k);
		if (t->out[i] != sum)
			return err_set(err, -EIO, "row %u, column %u of a product is %g and should be %g", i / N, i % N,
				       (double)t->out[i], (double)sum);
	}
	return 0;
}

int kernels_self_check(struct vk *vk, struct kernels kernels, struct err *err)
{
	struct trial *t = calloc(1, sizeof *t);
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "self-check: out of memory");
	r = prepare(t, vk, kernels, err);
	if (r == 0) {
		graph_write(t->g, t->x, t->in);
		r = graph_run(t->g, NULL, NULL, err);
	}
	if (r == 0) {
		graph_read(t->g, t->y, t->out);
		r = compare(t, err);
	}
	graph_destroy(&t->g);
	arena_finish(vk, &t->arena);
	vk_buffer_destroy(vk, &t->w.buffer);
	free(t);
	return r;
}
