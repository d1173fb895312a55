/*
 * Fuzz target: forms. The first line is a Content-Type, the rest is the body. The parts
 * that the parser gives lie in the body one behind the other, a boundary line between
 * them; then the whole reader of image edits runs over it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/log.h"
#include "gateway/multipart.h"
#include "tests/fuzz/pictures.h"

static void read_parts(const char *content_type, const char *text, size_t len)
{
	struct upload *body = fuzz_upload(text, len);
	struct multipart_part part;
	char *behind = body->data;
	struct multipart m;
	struct err err;
	unsigned n = 0;
	int r = multipart_begin(&m, content_type, body->data, len, &err);

	while (r == 0 && (r = multipart_next(&m, &part, &err)) > 0) {
		fuzz_require(part.name[0] && strlen(part.name) < MULTIPART_NAME_SIZE);
		fuzz_require(fuzz_lies_in(part.body, body) && part.body.data > behind);
		/* The line that ends a part is longer than its mark without the line end. */
		behind = part.body.data + part.body.len + (part.body.len ? m.mark_len - 2 : 0);
		fuzz_require(behind <= body->data + len && ++n <= LIMIT_PARTS);
		r = 0;
	}
	fuzz_require(r == 0 || (r == -EINVAL && err.code == r && err.text[0]));
	upload_unref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data, *eol = len ? memchr(text, '\n', len) : NULL;
	size_t head = eol ? (size_t)(eol - text) : 0;
	char content_type[256];

	log_open("fuzz", LOG_ERROR);
	if (!eol || head >= sizeof(content_type))
		return 0;
	memcpy(content_type, text, head);
	content_type[head] = '\0';
	if (!multipart_is_form(content_type))
		return 0;
	read_parts(content_type, eol + 1, len - head - 1);
	fuzz_images(&images_edits, content_type, eol + 1, len - head - 1);
	return 0;
}
