#ifndef EASEL_GATEWAY_PICTURE_BODIES_H
#define EASEL_GATEWAY_PICTURE_BODIES_H

#include "gateway/bodies.h"

/* What the readers of bodies that ask for pictures share; nobody else includes this. */
#define INT32 .min = INT32_MIN, .max = INT32_MAX

/* Members that bring pictures, and words to be checked. A reader's struct has them as its member "members". */
struct picture_members {
	struct picture_values values;
	char *mask_mode, *step_cache, *output_format;
};
#define PICTURE_MEMBER_FIELDS(struct_) \
	FIELD_AS(struct_, members.values.image, "image", JSON), \
	FIELD_AS(struct_, members.values.images, "images", JSON), \
	FIELD_AS(struct_, members.values.mask, "mask", JSON), \
	FIELD_AS(struct_, members.mask_mode, "mask_mode", STR), \
	FIELD_AS(struct_, members.step_cache, "step_cache", STR), \
	FIELD_AS(struct_, members.output_format, "output_format", STR), \
	FIELD_AS(struct_, picture.strength, "strength", F64)

/* strength is not a number until it is said. */
extern const struct picture_params picture_nothing_said;

/* Any number, its fraction cut off; what is no number says nothing. */
int64_t picture_seed(const json_t *value);
/* The rules for strength, mask and images, then the pictures themselves. */
int picture_finish(struct picture_params *p, const struct picture_members *members,
		   struct picture_sources *sources, enum picture_dialect dialect,
		   struct upload *body, struct err *err);

#endif
