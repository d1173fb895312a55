#ifndef EASEL_TESTS_FUZZ_PICTURES_H
#define EASEL_TESTS_FUZZ_PICTURES_H

#include <string.h>

#include "gateway/bodies.h"
#include "tests/fuzz/fuzz.h"

/* What the targets over request bodies share. */

/* Not a byte more than len, so that overruns are seen. */
static inline struct upload *fuzz_upload(const char *text, size_t len)
{
	static struct uploads all;
	char *data = malloc(len ? len : 1);

	fuzz_require(data != NULL);
	memcpy(data, text, len);
	return upload_create(&all, data, len);
}

static inline int fuzz_lies_in(struct piece p, const struct upload *body)
{
	return p.data >= body->data && p.len <= body->len &&
	       (size_t)(p.data - body->data) <= body->len - p.len;
}

/* What every reader promises of a request it accepts. */
static inline void fuzz_check_picture(const struct picture_params *p, const struct upload *body)
{
	const struct picture_inputs *in = &p->inputs;

	fuzz_require(in->n <= LIMIT_INPUT_IMAGES && (in->n || !in->has_mask));
	fuzz_require(in->n ? in->owner == body : !in->owner);
	for (unsigned i = 0; i < in->n + in->has_mask; i++)
		fuzz_require(in->files[i].len >= 3 && fuzz_lies_in(in->files[i], body));
	fuzz_require(p->strength <= 1 && (p->strength >= 0 || p->strength == -1));
	fuzz_require(!strcmp(p->mask_mode, "alpha") || !strcmp(p->mask_mode, "white"));
}

static inline void fuzz_images(const struct images_kind *kind, const char *content_type,
			       const char *text, size_t len)
{
	struct upload *body = fuzz_upload(text, len);
	struct images_body b;
	struct err err;

	if (images_body_read(kind, content_type, body, &b, &err) == 0) {
		picture_check(&b.picture, &err);
		fuzz_check_picture(&b.picture, body);
		fuzz_require(b.picture.inputs.n || !kind->edits);
		/* It becomes a header. */
		for (const char *p = b.ignored.text; *p; p++)
			fuzz_require(*p >= ' ' && *p < 0x7f);
		images_body_clear(&b);
	}
	fuzz_require(body->refs == 1);
	upload_unref(body);
}

#endif
