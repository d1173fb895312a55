#ifndef EASEL_GATEWAY_PICTURE_INPUTS_H
#define EASEL_GATEWAY_PICTURE_INPUTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/limits.h"
#include "gateway/lift.h"
#include "gateway/upload.h"

/*
 * The pictures that a request brings along: what a client writes in the members image,
 * images and mask, or sends as parts of a form, -> whole files. They are decoded where
 * they lie in the request's body. Pure functions; errors are -EINVAL.
 */
struct picture_inputs {
	struct upload *owner;           /* of the bytes; NULL without pictures */
	unsigned n;                     /* images */
	struct piece files[LIMIT_INPUT_IMAGES + 1];     /* the images in order, then the mask */
	bool has_mask;
};
void picture_inputs_clear(struct picture_inputs *in);

/* One picture as it came. */
struct picture_source {
	struct piece bytes;
	bool is_text;                   /* base64 or a data URI, else a file */
};

/* What was found so far, before anything is decoded. */
struct picture_sources {
	unsigned n;
	struct picture_source images[LIMIT_INPUT_IMAGES], mask;
	bool has_mask;
};

/* The members that lift_strings() is to lift, and that parts of a form are named by. */
extern const char *const picture_members[];

/* Of a JSON body: values as lift.text has them, NULL when absent. "" is as absent. */
struct picture_values {
	json_t *image;                  /* string, object with a string image_url, or array */
	json_t *images;                 /* array of those */
	json_t *mask;                   /* string or object */
};
int picture_sources_read(struct picture_sources *s, const struct picture_values *values,
			 const struct lift *lift, struct err *err);
/*
 * A part of a form: 1 when its name says that it is a picture, else 0. An empty file is
 * what browsers send for a field left alone, and as absent.
 */
int picture_sources_add_part(struct picture_sources *s, const char *name, bool is_file,
			     struct piece body, struct err *err);

/* How a route words its errors. */
enum picture_dialect { PICTURES_OLLAMA, PICTURES_OPENAI };
/*
 * Decodes, and looks at the first bytes. Takes a reference to body, in which all
 * sources lie, when there is a picture.
 */
int picture_inputs_decode(struct picture_sources *s, enum picture_dialect dialect,
			  struct upload *body, struct picture_inputs *ret, struct err *err);

#endif
