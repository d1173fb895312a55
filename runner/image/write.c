/*
 * A picture to the bytes of a file, whatever its format. Owns nothing; any thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "runner/image/image_private.h"

static image_encoder *const encoders[OUTPUT_FORMATS] = {
	[OUTPUT_PNG] = image_write_png,
	[OUTPUT_JPEG] = image_write_jpeg,
	[OUTPUT_WEBP] = image_write_webp,
};

int image_write(const struct image *im, const struct image_output *how,
		const struct image_watch *watch, struct buf *out, struct err *err)
{
	const size_t before = out->len;
	int r = encoders[how->format](im, how, watch, out, err);

	if (r == 0 && buf_failed(out))
		r = err_set(err, -ENOMEM, "the picture does not fit its buffer");
	if (r < 0 && out->len > before) {
		out->len = before;
		out->data[before] = '\0';
	}
	return r;
}

void image_notes_finish(struct image_notes *notes)
{
	free(notes->parameters);
	free(notes->own);
	free(notes->xmp);
	*notes = (struct image_notes){ 0 };
}
