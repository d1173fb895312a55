/*
 * Fuzz target: pictures in JSON bodies. The first byte chooses the route and where the
 * picture stands; the rest is its string, escapes and all. What comes out must be what a
 * JSON parser and a base64 decoder make of the same text, which here are called apart.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/buf.h"
#include "common/log.h"
#include "tests/fuzz/pictures.h"

/* Around the string; all begin with what every route needs. */
static const struct {
	const char *before, *after;
} places[] = {
	{ "\"image\":\"", "\"}" },
	{ "\"images\":[\"", "\"]}" },
	{ "\"image\":[{\"image_url\":\"", "\"}]}" },
	{ "\"im\\u0061ge\" : \"", "\", \"mask\":null} junk" },
};

static struct buf make_body(unsigned place, const uint8_t *data, size_t len)
{
	struct buf text = BUF_INIT(len + 256);

	buf_puts(&text, "{\"model\":\"m\",\"prompt\":\"p\",\"stream\":false,");
	buf_puts(&text, places[place].before);
	buf_append(&text, data, len);
	buf_puts(&text, places[place].after);
	return text;
}

/* The string where the place has it, when nothing in it changed the body around it. */
static const char *find_string(const json_t *root, size_t *ret_len)
{
	const json_t *image = json_object_get(root, "image");

	if (!image)
		image = json_object_get(root, "images");
	if (json_is_array(image))
		image = json_array_size(image) == 1 ? json_array_get(image, 0) : NULL;
	if (json_is_object(image))
		image = json_object_get(image, "image_url");
	*ret_len = json_string_length(image);
	return json_string_value(image);
}

/* An accepted picture against the plain way to it. */
static void compare(const struct picture_inputs *in, const struct buf *text)
{
	json_t *root = json_parse(text->data, text->len, true, NULL);
	const char *string, *comma;
	unsigned char *bytes;
	size_t len;

	fuzz_require(root != NULL);
	string = find_string(root, &len);
	if (string && in->n == 1) {
		comma = !strncmp(string, "data:", 5) ? strchr(string, ',') : NULL;
		len -= comma ? (size_t)(comma + 1 - string) : 0;
		fuzz_require(base64_decode(comma ? comma + 1 : string, len, &bytes, &len, NULL) == 0);
		fuzz_require(len == in->files[0].len && !memcmp(bytes, in->files[0].data, len));
		free(bytes);
	}
	json_decref(root);
}

static void read_generate(const struct buf *text)
{
	struct upload *body = fuzz_upload(text->data, text->len);
	struct generate_body b;
	struct err err;

	if (generate_body_read(body, &b, &err) == 0) {
		fuzz_check_picture(&b.picture, body);
		compare(&b.picture.inputs, text);
		generate_body_clear(&b);
	}
	upload_unref(body);
}

static void read_edit(const struct buf *text)
{
	struct upload *body = fuzz_upload(text->data, text->len);
	struct images_body b;
	struct err err;

	if (images_body_read(&images_edits, NULL, body, &b, &err) == 0) {
		fuzz_check_picture(&b.picture, body);
		compare(&b.picture.inputs, text);
		images_body_clear(&b);
	}
	upload_unref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf text;

	log_open("fuzz", LOG_ERROR);
	if (!len)
		return 0;
	text = make_body(data[0] / 2 % 4, data + 1, len - 1);
	fuzz_require(!buf_failed(&text));
	if (data[0] % 2)
		read_edit(&text);
	else
		read_generate(&text);
	buf_finish(&text);
	return 0;
}
