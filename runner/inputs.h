#ifndef EASEL_RUNNER_INPUTS_H
#define EASEL_RUNNER_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/limits.h"
#include "common/proto.h"
#include "runner/image/image.h"

/*
 * The pictures of one request: the files behind a generate message, as link.c collects
 * them, and what the GPU thread makes of them. All zero: none. Handed on by value.
 */
struct inputs {
	struct input_file {
		char *data;             /* owned */
		size_t len;
	} files[LIMIT_INPUT_IMAGES + 1];
	unsigned n_files;
	struct image images[LIMIT_INPUT_IMAGES];        /* RGB */
	unsigned n_images;
	uint32_t pixels;                /* read so far, the mask's file too */
	struct image mask;              /* one channel, as large as the first picture, or none */
};

/* Binary frames that a message announces. */
unsigned inputs_announced(const struct msg_generate *g);
/* Copies a file; at most as many as were announced. -EMSGSIZE above LIMIT_INPUT_BYTES, -ENOMEM. */
int inputs_add(struct inputs *in, const void *data, size_t len, struct err *err);
/*
 * Reads all files, which are freed one by one, and resolves sides of *g that are 0. Asks
 * all along whether to stop. -EINVAL "invalid image 0: ..." or "invalid mask: ...", for
 * more than LIMIT_INPUT_PIXELS_ALL in all too, -ECANCELED, -ENOMEM.
 */
int inputs_read(struct inputs *in, struct msg_generate *g, const struct image_watch *watch,
		struct err *err);
void inputs_finish(struct inputs *in);

#endif
