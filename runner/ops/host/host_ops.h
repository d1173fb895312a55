#ifndef EASEL_RUNNER_OPS_HOST_HOST_OPS_H
#define EASEL_RUNNER_OPS_HOST_HOST_OPS_H

#include "runner/graph/host_call.h"

/* run() of the ops in KERNELS_HOST and the sets above it: what the shaders of the same names compute. */
void host_attention(const struct host_call *c);
void host_conv3x3(const struct host_call *c);
void host_copy_cols(const struct host_call *c);
void host_elementwise(const struct host_call *c);
void host_fill_rows(const struct host_call *c);
void host_group_norm_apply(const struct host_call *c);
void host_group_norm_merge(const struct host_call *c);
void host_group_norm_partial(const struct host_call *c);
void host_linear(const struct host_call *c);
void host_linear_bf16(const struct host_call *c);
void host_linear_int8(const struct host_call *c);
void host_norm(const struct host_call *c);
void host_rope(const struct host_call *c);

#endif
