#ifndef EASEL_TESTS_PARTS_RECORDED_H
#define EASEL_TESTS_PARTS_RECORDED_H

#include <jansson.h>
#include <stdbool.h>

#include "tests/parts/fixture.h"

/* How far a run may be from its recording, beyond what is common to all. */
struct tolerances {
	double latents, guided_latents;         /* velocities and latents */
	double pixels, guided_pixels;           /* before rounding */
	double encoded;                         /* encoded pictures, and what takes them in */
	double rounded;                         /* kernels round operands: this part of the largest value instead; 0: not */
};

/* One recorded run: its request, tensors and picture; paths below the goldens. */
struct recording {
	const char *name;
	const json_t *request;
	const char *tensors;                    /* "cases/zimage-a.word.safetensors" */
	const char *pictures;                   /* without ".png": further ones are ".imageK.png" */
	struct tolerances tolerances;
};

/* Draws the request and compares everything; a difference fails the test and is named. */
void recorded_check(struct pipeline *p, const struct recording *rec);

#endif
