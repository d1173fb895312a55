/*
 * Pictures out of request bodies: base64, data URIs, files. Pure functions over the
 * client's bytes, which base64 is decoded in the place of.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base64.h"
#include "gateway/picture_inputs.h"

const char *const picture_members[] = { "image", "images", "mask", NULL };

void picture_inputs_clear(struct picture_inputs *in)
{
	upload_unref(in->owner);
	*in = (struct picture_inputs){ 0 };
}

/* ---- finding them ---- */

static int add_image(struct picture_sources *s, struct picture_source source, struct err *err)
{
	if (s->n == LIMIT_INPUT_IMAGES)
		return err_set(err, -EINVAL, "too many input images, maximum is %u",
			       LIMIT_INPUT_IMAGES);
	s->images[s->n++] = source;
	return 0;
}

/* "data:...", or {"image_url": "data:..."} as OpenAI's newer clients have it; else NULL. */
static const json_t *text_of(const json_t *value)
{
	const json_t *url = json_is_object(value) ? json_object_get(value, "image_url") : value;

	return json_is_string(url) ? url : NULL;
}

static struct picture_source text_source(const json_t *text, const struct lift *lift)
{
	return (struct picture_source){ lift_find(lift, json_string_value(text)), true };
}

static int bad_value(const char *name, const char *wanted, struct err *err)
{
	return err_set(err, -EINVAL, "member '%s' must be %s", name, wanted);
}

/* text: NULL, what stands there is none. Nothing in it is as absent. */
static int read_text(struct picture_sources *s, const json_t *text, const char *name,
		     const char *wanted, const struct lift *lift, struct err *err)
{
	struct picture_source source;

	if (!text)
		return bad_value(name, wanted, err);
	source = text_source(text, lift);
	return source.bytes.len ? add_image(s, source, err) : 0;
}

static int read_array(struct picture_sources *s, const json_t *array, const char *name,
		      const struct lift *lift, struct err *err)
{
	static const char wanted[] = "an array of base64 strings";
	const json_t *value;
	size_t i;
	int r;

	if (!json_is_array(array))
		return bad_value(name, wanted, err);
	json_array_foreach(array, i, value) {
		r = read_text(s, text_of(value), name, wanted, lift, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_image(struct picture_sources *s, const json_t *value, const struct lift *lift,
		      struct err *err)
{
	if (json_is_array(value))
		return read_array(s, value, "image", lift, err);
	return read_text(s, text_of(value), "image", "a base64 string or an array of them", lift,
			 err);
}

static int read_mask(struct picture_sources *s, const json_t *value, const struct lift *lift,
		     struct err *err)
{
	const json_t *text = text_of(value);

	if (!text)
		return bad_value("mask", "a base64 string", err);
	s->mask = text_source(text, lift);
	s->has_mask = s->mask.bytes.len > 0;
	return 0;
}

int picture_sources_read(struct picture_sources *s, const struct picture_values *values,
			 const struct lift *lift, struct err *err)
{
	int r = 0;

	if (values->image)
		r = read_image(s, values->image, lift, err);
	if (r == 0 && values->images)
		r = read_array(s, values->images, "images", lift, err);
	if (r == 0 && values->mask)
		r = read_mask(s, values->mask, lift, err);
	return r;
}

/* ---- files ---- */

static bool begins(struct piece p, size_t at, const char *bytes, size_t len)
{
	return p.len >= at + len && !memcmp(p.data + at, bytes, len);
}

static bool is_picture(struct piece p)
{
	static const struct {
		size_t at;              /* of second; 0: the first bytes are enough */
		char first[9], second[5];
	} kinds[] = {
		{ 0, "\x89PNG\r\n\x1a\n", "" }, { 0, "\xff\xd8\xff", "" }, { 8, "RIFF", "WEBP" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (begins(p, 0, kinds[i].first, strlen(kinds[i].first)) &&
		    begins(p, kinds[i].at, kinds[i].second, strlen(kinds[i].second)))
			return true;
	return false;
}

int picture_sources_add_part(struct picture_sources *s, const char *name, bool is_file,
			     struct piece body, struct err *err)
{
	size_t len = strlen(name);
	/* A picture without a filename is one all the same: curl -F image=<file. */
	struct picture_source source = { body, !is_file && !is_picture(body) };

	if (len > 2 && !strcmp(name + len - 2, "[]"))
		len -= 2;
	for (const char *const *member = picture_members; *member; member++) {
		if (strlen(*member) != len || strncmp(*member, name, len))
			continue;
		if (!body.len)
			return 1;
		if (strncmp(name, "mask", 4))
			return add_image(s, source, err) < 0 ? -EINVAL : 1;
		s->mask = source;
		s->has_mask = true;
		return 1;
	}
	return 0;
}

/* ---- decoding ---- */

/* Cuts a data URI's head off; false when this is none that may hold a picture. */
static bool cut_uri_head(struct piece *p)
{
	static const char *const heads[] = {
		"data:image/png;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,",
		"data:image/webp;base64,", "data:;base64,",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t len = strlen(heads[i]);

		if (begins(*p, 0, heads[i], len)) {
			p->data += len;
			p->len -= len;
			return true;
		}
	}
	return false;
}

static bool is_web_address(struct piece p)
{
	return begins(p, 0, "http://", 7) || begins(p, 0, "https://", 8);
}

/* label: "image" or "mask". */
static int decode_text(struct piece *p, enum picture_dialect dialect, const char *label,
		       struct err *err)
{
	bool is_openai = dialect == PICTURES_OPENAI, has_head;
	size_t len;

	lift_unescape(p);
	if (is_openai && is_web_address(*p))
		return err_set(err, -EINVAL, "invalid %s: image URLs are not currently supported, "
			       "please use base64 encoded data instead", label);
	has_head = cut_uri_head(p);
	if (base64_decode_in_place(p->data, p->len, &len, err) < 0) {
		if (is_openai)
			err_set(err, -EINVAL, "invalid %s: invalid image input", label);
		else if (!strcmp(label, "mask"))
			err_prefix(err, "invalid mask");
		return -EINVAL;
	}
	p->len = len;
	if (is_openai && !has_head && !is_picture(*p))
		return err_set(err, -EINVAL, "invalid %s: invalid image input", label);
	return 0;
}

/* index: of an image; below 0 for the mask. */
static int decode(const struct picture_source *s, enum picture_dialect dialect, int index,
		  struct piece *ret, struct err *err)
{
	const char *label = index < 0 ? "mask" : "image";
	char number[16] = "";
	int r;

	*ret = s->bytes;
	r = s->is_text ? decode_text(ret, dialect, label, err) : 0;
	if (r < 0 || is_picture(*ret))
		return r;
	if (index >= 0)
		snprintf(number, sizeof(number), " %d", index);
	return err_set(err, -EINVAL, "invalid %s%s: not a PNG, JPEG or WebP file", label, number);
}

int picture_inputs_decode(struct picture_sources *s, enum picture_dialect dialect,
			  struct upload *body, struct picture_inputs *ret, struct err *err)
{
	int r = 0;

	*ret = (struct picture_inputs){ .n = s->n, .has_mask = s->has_mask };
	for (unsigned i = 0; r == 0 && i < s->n; i++)
		r = decode(&s->images[i], dialect, (int)i, &ret->files[i], err);
	if (r == 0 && s->has_mask)
		r = decode(&s->mask, dialect, -1, &ret->files[s->n], err);
	if (r < 0 || !s->n) {
		*ret = (struct picture_inputs){ 0 };
		return r;
	}
	ret->owner = upload_ref(body);
	return 0;
}
