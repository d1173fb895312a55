#ifndef EASEL_RUNNER_METADATA_H
#define EASEL_RUNNER_METADATA_H

#include <stdint.h>

#include "common/proto.h"
#include "runner/image/image.h"

/* What drew a picture: what was used, not what was asked for. */
struct picture_facts {
	const char *model, *digest;             /* short name; of the manifest, or NULL */
	const struct msg_generate *request;
	uint32_t width, height;
	double strength;                        /* negative: drawn from noise alone */
};

/*
 * The texts of its file. In a PNG each says its part; in the other formats, which have the
 * XMP alone, that has easel's own text too, short enough for a JPEG. A prompt's end is left
 * out beyond LIMIT_NOTED_PROMPT bytes, or where it does not fit. -ENOMEM.
 */
int metadata_make(const struct picture_facts *f, enum output_format format,
		  struct image_notes *ret, struct err *err);
/* Of a picture that is not finished: only what made it, a machine. */
int metadata_make_unfinished(struct image_notes *ret, struct err *err);

#endif
