/*
 * Fuzz target: JSON request bodies as the gateway reads them. The first byte chooses
 * the route, the rest is what a client sent. Pictures found must lie in the body.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "gateway/bodies.h"
#include "tests/fuzz/pictures.h"

static void read_generate(const char *text, size_t len)
{
	struct upload *body = fuzz_upload(text, len);
	struct generate_body b;
	struct err err;

	if (generate_body_read(body, &b, &err) == 0) {
		picture_check(&b.picture, &err);
		fuzz_check_picture(&b.picture, body);
		generate_body_clear(&b);
	}
	upload_unref(body);
}

static void read_images(const char *text, size_t len)
{
	fuzz_images(&images_generations, NULL, text, len);
}

static void read_edits(const char *text, size_t len)
{
	fuzz_images(&images_edits, "application/json", text, len);
}

static void read_create(const char *text, size_t len)
{
	struct create_body b;
	struct err err;

	if (create_body_read(text, len, &b, &err) == 0)
		create_body_clear(&b);
}

static void read_name(const char *text, size_t len)
{
	struct name_body b;
	struct err err;

	if (name_body_read(text, len, "api.ShowRequest", &b, &err) == 0)
		name_body_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(const char *, size_t) = {
		read_generate, read_images, read_create, read_name, read_edits,
	};

	log_open("fuzz", LOG_ERROR);
	if (len)
		readers[data[0] % 5]((const char *)data + 1, len - 1);
	return 0;
}
