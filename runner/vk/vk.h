#ifndef EASEL_RUNNER_VK_VK_H
#define EASEL_RUNNER_VK_VK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/*
 * The only door to Vulkan: one device, one compute queue, buffers, kernels and
 * recorded command lists. Everything else in the runner is free of Vulkan types.
 * Not thread-safe: after vk_open() all calls come from the one GPU thread.
 */
struct vk;
struct vk_buffer;
struct vk_cmd;

enum vk_type { VK_DISCRETE, VK_INTEGRATED, VK_VIRTUAL, VK_SOFTWARE, VK_OTHER };
const char *vk_type_name(enum vk_type t);       /* "discrete", "integrated", ... */

struct vk_device_info {
	unsigned index;                         /* as EASEL_DEVICE counts */
	enum vk_type type;
	char name[256], driver[256];
	uint64_t memory_total, memory_available;        /* bytes; available by VK_EXT_memory_budget, software: the system's */
	bool usable;
	char missing[256];                      /* the required feature that is missing, when not usable */
};
/* Lists devices; *ret is the caller's to free. -ENODEV names what to install. */
int vk_list(struct vk_device_info **ret, size_t *ret_n, struct err *err);

/*
 * Opens a device: selector is an index or part of a name (case ignored); NULL or "":
 * best discrete, then integrated, then virtual, then software; ties by free memory.
 */
int vk_open(const char *selector, struct vk **ret, struct err *err);
void vk_close(struct vk **vk);
const struct vk_device_info *vk_info(const struct vk *vk);

/* Matrix units: operands m x k and k x n in float16, sums in float32; m 0: none that kernels can use. */
struct vk_matrix {
	uint32_t m, n, k;
};

struct vk_limits {
	uint32_t subgroup_size;                 /* lanes; every kernel's local size */
	uint64_t storage_range;                 /* bytes of one storage binding */
	uint64_t texel_elements;                /* texels of one view */
	uint64_t storage_align, texel_align;    /* offsets of bindings, bytes; powers of two */
	uint64_t buffer_size;                   /* largest buffer, bytes */
	uint64_t arena_size;                    /* most bytes one workspace should take */
	uint32_t shared_bytes;                  /* memory of a workgroup; at least 16 KiB */
	struct vk_matrix matrix;
	bool shares_memory;                     /* device memory is host memory and host pages can be imported */
	double flops_per_ms;                    /* cautious estimate, for cutting work into slices */
};
const struct vk_limits *vk_limits(const struct vk *vk);

/* ---- memory ---- */
enum vk_place {
	VK_DEVICE,                              /* fast for shaders; mapped only where memory is shared */
	VK_HOST,                                /* host-visible and coherent, mapped for good */
};
int vk_buffer_create(struct vk *vk, enum vk_place place, uint64_t size, struct vk_buffer **ret, struct err *err);
/*
 * Wraps read-only host pages (page-aligned address, any size; the pages must outlive
 * the buffer). -ENOTSUP where the device cannot: then create and upload.
 */
int vk_buffer_import(struct vk *vk, const void *pages, uint64_t size, struct vk_buffer **ret, struct err *err);
void vk_buffer_destroy(struct vk *vk, struct vk_buffer **b);    /* NULL inside is fine; waits for nothing */
void *vk_buffer_map(struct vk_buffer *b);                       /* NULL when not mapped */
const void *vk_buffer_read(const struct vk_buffer *b);          /* the same, and imported pages: to read only */
uint64_t vk_buffer_size(const struct vk_buffer *b);
/* Copies bytes into a buffer through a bounded staging ring (or directly where mapped). */
int vk_upload(struct vk *vk, struct vk_buffer *dst, uint64_t offset, const void *src, uint64_t bytes, struct err *err);
int vk_upload_finish(struct vk *vk, struct err *err);           /* all uploads are visible to later submits */

/* ---- kernels ---- */
/*
 * All kernels share one layout: binding 0 is the output (storage buffer), bindings
 * 1..VK_MAX_INPUTS are inputs (uniform texel buffers); 128 bytes of push constants.
 */
enum { VK_MAX_INPUTS = 6, VK_MAX_SPEC = 12, VK_PUSH_BYTES = 128 };
enum vk_format {
	VK_R32_UINT, VK_R32G32_UINT, VK_R32G32B32A32_UINT, VK_R16_UINT,
	VK_R32_FLOAT, VK_R32G32B32A32_FLOAT,
};
unsigned vk_format_bytes(enum vk_format f);

struct vk_input {
	enum vk_format format;
	struct vk_buffer *buffer;
	uint64_t offset, bytes;                 /* offset: multiple of texel_align */
};
/* Bytes that are bound for an input: a few more where that spares compiling a kernel twice. */
uint64_t vk_input_bytes(const struct vk *vk, const struct vk_input *in);

struct vk_dispatch {
	unsigned shader;                        /* enum shader of shaders/shaders.h */
	uint32_t spec[VK_MAX_SPEC];             /* values of constant_id 0..n_spec-1; id 0 is always subgroup_size */
	unsigned n_spec;
	struct vk_input inputs[VK_MAX_INPUTS];
	unsigned n_inputs;
	struct vk_buffer *out;
	uint64_t out_offset, out_bytes;         /* offset: multiple of storage_align */
	uint8_t push[VK_PUSH_BYTES];
	unsigned push_bytes;
	uint32_t groups[3];
};

/* Kernels made so far by vk_cmd_dispatch(). Software devices compile one when it first runs. */
size_t vk_kernel_count(const struct vk *vk);
/* Keeps what the driver compiled for the next process, if there is something new. */
void vk_kernels_save(struct vk *vk);

/* ---- commands ---- */
/* A command list, recorded once and submitted any number of times; owns the views it made. */
int vk_cmd_begin(struct vk *vk, struct vk_cmd **ret, struct err *err);
int vk_cmd_dispatch(struct vk_cmd *c, const struct vk_dispatch *d, struct err *err);
void vk_cmd_barrier(struct vk_cmd *c);          /* shader writes -> shader reads and writes */
void vk_cmd_host_barrier(struct vk_cmd *c);     /* shader writes -> host reads */
int vk_cmd_end(struct vk_cmd *c, struct err *err);
void vk_cmd_destroy(struct vk *vk, struct vk_cmd **c);
/* Submits and waits. -EIO with the cause for a lost device, -ENOMEM "out of device memory". */
int vk_submit(struct vk *vk, struct vk_cmd *c, struct err *err);
bool vk_lost(const struct vk *vk);      /* work did not come back: only vk_close() is left */

/* Messages of the validation layer so far (0 when it is off; EASEL_VALIDATION=1 turns it on). */
unsigned vk_validation_messages(const struct vk *vk);

#endif
