#ifndef EASEL_RUNNER_GRAPH_DISPATCH_H
#define EASEL_RUNNER_GRAPH_DISPATCH_H

#include "runner/vk/vk.h"

/*
 * For an op's dispatch(): what it finds and what it leaves in struct vk_dispatch.
 *
 * Found: n_inputs, and format VK_R32G32B32A32_FLOAT for activations; a weight has no
 * format yet. Left: shader, spec[1..] and n_spec (counting spec[0], the graph's), the
 * format of every weight, the parameters, groups.
 *
 * A node of graph_add_into() has as n->out the rows it writes, a tensor of their own:
 * row0 counts from the first of them.
 */

/* Start of every push constant block: PUSH_HEAD of shaders/lib/push.glsl. */
struct push_head {
	uint32_t row0, rows;
	uint32_t out_base;                      /* floats */
	uint32_t in_base[VK_MAX_INPUTS];        /* texels of that input's format */
};

/*
 * Zeroed room for the op's own parameters behind the head: a struct of 4-byte members,
 * as the kernel declares them behind PUSH_HEAD. bytes is at most DISPATCH_PARAMS.
 */
enum { DISPATCH_PARAMS = VK_PUSH_BYTES - sizeof(struct push_head) };
void *dispatch_params(struct vk_dispatch *d, size_t bytes);

#endif
