#ifndef EASEL_TESTS_PARTS_FIXTURE_H
#define EASEL_TESTS_PARTS_FIXTURE_H

#include "common/buf.h"
#include "common/manifest.h"
#include "common/store.h"
#include "runner/pipeline.h"

/* A model folder imported into a store of its own and opened on the test's device. */
struct fixture {
	char *folder;                           /* the store's */
	struct store *store;
	struct manifest *manifest;
	struct pipeline *pipeline;
};

void fixture_import(struct fixture *f, const char *model_folder);
/* fixture_import(), then pipeline_open(); an error fails the test. */
void fixture_open(struct fixture *f, struct vk *vk, const char *model_folder);
/* quantize: as create takes it; NULL: not */
void fixture_open_quantised(struct fixture *f, struct vk *vk, const char *model_folder, const char *quantize);
void fixture_close(struct fixture *f);
/* pipeline_generate(), the picture as a PNG appended to png. */
int fixture_png(struct pipeline *p, const struct pipeline_request *r,
		const struct pipeline_hooks *hooks, struct buf *png, struct err *err);

/* The intermediates of a run, by name. */
struct tap {
	char *name;
	float *data;
	size_t n;
};
struct taps {
	struct tap *list;
	size_t n, size;
};
void taps_add(struct taps *t, const char *name, const float *data, size_t n);
const struct tap *taps_find(const struct taps *t, const char *name);
void taps_free(struct taps *t);

/* 8-bit RGB of a PNG, the caller's to free. */
unsigned char *png_decode(const void *png, size_t len, uint32_t *width, uint32_t *height);
struct png_difference {
	int max;                                /* of 255 */
	double psnr;
};
/* Fails when the sizes differ. */
struct png_difference png_compare(const void *png, size_t len, const char *golden_file);

/* Mean square of the differences of two PNGs of one size, in parts of 255. */
double fixture_squares(const struct buf *a, const struct buf *b);

#endif
