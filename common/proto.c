/*
 * Messages between gateway and runner: the field tables, and the checks that both
 * sides make on every message they receive. Any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/frame.h"
#include "common/limits.h"
#include "common/name.h"
#include "common/output_format.h"
#include "common/proto.h"
#include "common/step_cache.h"

#define MAX_TEXT 4096                           /* bytes of names, paths and sentences */
#define MAX_SYSTEM (16u << 20)                  /* bytes of a template or system text */

static const struct field hello_fields[] = {
	FIELD(struct msg_hello, version, U32, .required = true),
	FIELD(struct msg_hello, device, STR, .max = MAX_TEXT),
	FIELD(struct msg_hello, device_type, STR, .max = MAX_TEXT),
	FIELD(struct msg_hello, driver, STR, .max = MAX_TEXT),
	FIELD(struct msg_hello, memory_total, U64, .required = true),
	FIELD(struct msg_hello, memory_available, U64, .required = true),
	{ 0 }
};
static const struct field load_fields[] = {
	FIELD(struct msg_load, model, STR, .required = true, .max = NAME_TEXT_SIZE),
	FIELD(struct msg_load, digest, STR, .max = MAX_TEXT),
	FIELD(struct msg_load, root, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_load, manifest, JSON, .required = true),
	FIELD(struct msg_load, prompt, STR, .max = LIMIT_PROMPT),
	{ 0 }
};
static const struct field loading_fields[] = {
	FIELD(struct msg_loading, completed, U64, .required = true),
	FIELD(struct msg_loading, total, U64, .required = true),
	{ 0 }
};
static const struct field ready_fields[] = {
	FIELD(struct msg_ready, weights, U64, .required = true),
	FIELD(struct msg_ready, vram, U64, .required = true),
	FIELD(struct msg_ready, workspace, U64, .required = true),
	FIELD(struct msg_ready, width, U32, .required = true, .min = LIMIT_SIDE_MIN, .max = LIMIT_SIDE),
	FIELD(struct msg_ready, height, U32, .required = true, .min = LIMIT_SIDE_MIN, .max = LIMIT_SIDE),
	FIELD(struct msg_ready, steps, U32, .required = true, .min = 1, .max = LIMIT_STEPS),
	FIELD(struct msg_ready, guidance, F64, .required = true, .max = LIMIT_GUIDANCE),
	{ 0 }
};
static const struct field generate_fields[] = {
	FIELD(struct msg_generate, job, U64, .required = true, .min = 1, .max = 0x1p64),
	FIELD(struct msg_generate, prompt, STR, .required = true, .max = LIMIT_PROMPT),
	FIELD(struct msg_generate, negative, STR, .max = LIMIT_PROMPT),
	FIELD(struct msg_generate, width, U32, .required = true, .max = LIMIT_SIDE),
	FIELD(struct msg_generate, height, U32, .required = true, .max = LIMIT_SIDE),
	FIELD(struct msg_generate, steps, U32, .required = true, .min = 1, .max = LIMIT_STEPS),
	FIELD(struct msg_generate, seed, U64, .required = true),
	FIELD(struct msg_generate, guidance, F64, .required = true, .max = LIMIT_GUIDANCE),
	FIELD(struct msg_generate, cfg_normalization, F64, .required = true, .max = LIMIT_GUIDANCE),
	FIELD(struct msg_generate, cfg_truncation, F64, .required = true, .max = LIMIT_GUIDANCE),
	FIELD(struct msg_generate, images, U32, .required = true, .max = LIMIT_INPUT_IMAGES),
	FIELD(struct msg_generate, mask, STR, .max = MAX_TEXT),
	FIELD(struct msg_generate, strength, F64, .required = true, .min = -1, .max = 1),
	FIELD(struct msg_generate, step_cache, STR, .max = MAX_TEXT),
	FIELD(struct msg_generate, step_cache_threshold, F64, .max = STEP_CACHE_MAX_THRESHOLD),
	FIELD(struct msg_generate, format, STR, .max = MAX_TEXT),
	FIELD(struct msg_generate, quality, U32, .max = 100),
	FIELD(struct msg_generate, partial_images, U32, .max = LIMIT_PARTIAL_IMAGES),
	{ 0 }
};
static const struct field progress_fields[] = {
	FIELD(struct msg_progress, job, U64, .required = true, .min = 1, .max = 0x1p64),
	FIELD(struct msg_progress, phase, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_progress, step, U32, .required = true, .max = LIMIT_STEPS),
	FIELD(struct msg_progress, total, U32, .required = true, .max = LIMIT_STEPS),
	{ 0 }
};
static const struct field partial_fields[] = {
	FIELD(struct msg_partial, job, U64, .required = true, .min = 1, .max = 0x1p64),
	FIELD(struct msg_partial, bytes, U64, .required = true, .min = 1, .max = LIMIT_IMAGE),
	FIELD(struct msg_partial, index, U32, .required = true, .max = LIMIT_PARTIAL_IMAGES),
	FIELD(struct msg_partial, width, U32, .required = true, .min = 1, .max = LIMIT_SIDE),
	FIELD(struct msg_partial, height, U32, .required = true, .min = 1, .max = LIMIT_SIDE),
	{ 0 }
};
static const struct field image_fields[] = {
	FIELD(struct msg_image, job, U64, .required = true, .min = 1, .max = 0x1p64),
	FIELD(struct msg_image, bytes, U64, .required = true, .min = 1, .max = LIMIT_IMAGE),
	FIELD(struct msg_image, width, U32, .required = true, .min = 1, .max = LIMIT_SIDE),
	FIELD(struct msg_image, height, U32, .required = true, .min = 1, .max = LIMIT_SIDE),
	FIELD(struct msg_image, seed, U64, .required = true),
	FIELD(struct msg_image, tokens, U32),
	FIELD(struct msg_image, steps_reused, U32, .required = true, .max = LIMIT_STEPS),
	{ 0 }
};
static const struct field failed_fields[] = {
	FIELD(struct msg_failed, job, U64, .required = true),
	FIELD(struct msg_failed, code, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_failed, text, STR, .required = true, .max = MAX_TEXT),
	{ 0 }
};
static const struct field drawn_fields[] = {
	FIELD(struct msg_drawn, job, U64, .required = true, .min = 1, .max = 0x1p64),
	{ 0 }
};
static const struct field cancel_fields[] = {
	FIELD(struct msg_cancel, job, U64, .required = true, .min = 1, .max = 0x1p64),
	{ 0 }
};
static const struct field import_fields[] = {
	FIELD(struct msg_import, root, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_import, model, STR, .required = true, .max = NAME_TEXT_SIZE),
	FIELD(struct msg_import, directory, STR, .max = MAX_TEXT),
	FIELD(struct msg_import, files, JSON),
	FIELD(struct msg_import, from, STR, .max = NAME_TEXT_SIZE),
	FIELD(struct msg_import, quantize, STR, .max = MAX_TEXT),
	FIELD(struct msg_import, parameters, JSON),
	FIELD(struct msg_import, licenses, JSON),
	FIELD(struct msg_import, info, JSON),
	FIELD(struct msg_import, system, STR, .max = MAX_SYSTEM),
	FIELD(struct msg_import, template, STR, .max = MAX_SYSTEM),
	FIELD(struct msg_import, requires, STR, .max = MAX_TEXT),
	FIELD(struct msg_import, verify, BOOL),
	{ 0 }
};
static const struct field status_fields[] = {
	FIELD(struct msg_status, status, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_status, digest, STR, .max = MAX_TEXT),
	FIELD(struct msg_status, total, U64, .required = true),
	FIELD(struct msg_status, completed, U64, .required = true),
	{ 0 }
};
static const struct field imported_fields[] = {
	FIELD(struct msg_imported, digest, STR, .required = true, .max = MAX_TEXT),
	FIELD(struct msg_imported, layers, U64, .required = true),
	{ 0 }
};

/* The short words of proto.def. */
enum {
	STARTING = PROTO_STARTING,
	STARTED = PROTO_STARTED,
	STATE_LOADING = PROTO_STATE_LOADING,
	IDLE = PROTO_IDLE,
	BUSY = PROTO_BUSY,
	IMPORTING = PROTO_IMPORTING,
	GATEWAY = PROTO_GATEWAY,
	RUNNER = PROTO_RUNNER,
};

static const struct msg_row {
	const char *name;
	const struct field *fields;
	enum proto_side sender;
	unsigned states;
} rows[] = {
#define MSG(id, name, from, when) \
	[MSG_##id] = { #name, name##_fields, (enum proto_side)(from), (when) },
#include "common/proto.def"
#undef MSG
};

const char *msg_name(enum msg_type type)
{
	return type > MSG_NONE && type < MSG_COUNT ? rows[type].name : "none";
}

static enum msg_type find_type(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "type"));

	for (int type = MSG_NONE + 1; name && type < MSG_COUNT; type++)
		if (!strcmp(rows[type].name, name))
			return (enum msg_type)type;
	return MSG_NONE;
}

/* Before anything else of a hello: other versions may have other fields. */
static int check_version(const json_t *object, struct err *err)
{
	const json_t *version = json_object_get(object, "version");

	if (!json_is_integer(version))
		return err_set(err, -EBADMSG, "the runner does not say its protocol version");
	if (json_integer_value(version) != PROTO_VERSION)
		return err_set(err, -EBADMSG, "the runner speaks protocol version %" JSON_INTEGER_FORMAT
			       ", this program %u: install both from one build",
			       json_integer_value(version), PROTO_VERSION);
	return 0;
}

static int check_side(const struct msg_generate *m, uint32_t side, struct err *err)
{
	if (side % LIMIT_SIDE_MULTIPLE)
		return err_set(err, -EBADMSG, "%ux%u: not multiples of %u", m->width, m->height,
			       LIMIT_SIDE_MULTIPLE);
	if (side < LIMIT_SIDE_MIN && (side || !m->images))
		return err_set(err, -EBADMSG, "%ux%u: a side is too small", m->width, m->height);
	return 0;
}

static int check_generate(const struct msg_generate *m, struct err *err)
{
	int r = check_side(m, m->width, err);

	if (r == 0)
		r = check_side(m, m->height, err);
	if (r == 0 && m->step_cache && !step_cache_mode_of(m->step_cache))
		r = err_set(err, -EBADMSG, "step_cache '%.40s' is unknown", m->step_cache);
	if (r == 0 && output_format_of(m->format) == OUTPUT_FORMATS)
		r = err_set(err, -EBADMSG, "format '%.40s' is unknown", m->format);
	if (r < 0 || !m->mask)
		return r;
	if (!m->images)
		return err_set(err, -EBADMSG, "a mask without a picture");
	if (strcmp(m->mask, "alpha") && strcmp(m->mask, "white"))
		return err_set(err, -EBADMSG, "mask '%.40s' is neither alpha nor white", m->mask);
	return 0;
}

static int check_legal(enum msg_type type, enum proto_side sender, unsigned state, struct err *err)
{
	if (type == MSG_NONE)
		return err_set(err, -EBADMSG, "message of unknown type");
	if (rows[type].sender != sender)
		return err_set(err, -EBADMSG, "message '%s' is not for the %s to send", rows[type].name,
			       sender == PROTO_RUNNER ? "runner" : "gateway");
	if (!(rows[type].states & state))
		return err_set(err, -EBADMSG, "message '%s' is not legal in state %u", rows[type].name,
			       state);
	return 0;
}

static int decode_fields(json_t *object, struct msg *m, struct err *err)
{
	const struct field *fields = rows[m->type].fields;
	int r = m->type == MSG_HELLO ? check_version(object, err) : 0;

	if (r < 0)
		return r;
	json_object_del(object, "type");
	r = fields_read(fields, object, FIELDS_STRICT, &m->hello, NULL, err);
	if (!r && m->type == MSG_GENERATE)
		r = check_generate(&m->generate, err);
	if (!r)
		return 0;
	msg_clear(m);
	return err_set(err, -EBADMSG, "message '%s': %s", rows[m->type].name, err ? err->text : "");
}

int msg_decode(const char *json, size_t len, enum proto_side sender, unsigned state,
	       struct msg *ret, struct err *err)
{
	struct err cause = { 0 };
	struct msg m = { 0 };
	json_t *object = json_parse(json, len, false, &cause);
	int r;

	if (!object)
		return err_set(err, -EBADMSG, "message that is no JSON: %s", cause.text);
	m.type = find_type(object);
	r = check_legal(m.type, sender, state, err);
	if (!r)
		r = decode_fields(object, &m, err);
	json_decref(object);
	if (!r)
		*ret = m;
	return r;
}

void msg_clear(struct msg *m)
{
	if (m->type > MSG_NONE && m->type < MSG_COUNT)
		fields_clear(rows[m->type].fields, &m->hello);
}

static int append_json(const char *data, size_t len, void *buf)
{
	buf_append(buf, data, len);
	return buf_failed(buf) ? -1 : 0;
}

/* {"type": ..., the fields}; NULL without memory. */
static json_t *to_json(const struct msg *m)
{
	json_t *fields = fields_write(rows[m->type].fields, &m->hello);
	json_t *object = json_pack("{s:s}", "type", rows[m->type].name);

	if (!fields || !object || json_object_update(object, fields) < 0) {
		json_decref(object);
		object = NULL;
	}
	json_decref(fields);
	return object;
}

char *msg_encode(const struct msg *m, size_t *ret_len)
{
	unsigned char header[FRAME_HEADER] = { 0 };
	struct buf frame = BUF_INIT(FRAME_HEADER + (size_t)LIMIT_FRAME);
	json_t *object;
	int r = -1;

	if (m->type <= MSG_NONE || m->type >= MSG_COUNT)
		return NULL;
	object = to_json(m);
	buf_append(&frame, header, sizeof(header));
	if (object)
		r = json_dump_callback(object, append_json, &frame, JSON_COMPACT);
	json_decref(object);
	if (r < 0 || buf_failed(&frame)) {
		buf_finish(&frame);
		return NULL;
	}
	frame_header(FRAME_JSON, (uint32_t)(frame.len - FRAME_HEADER), header);
	memcpy(frame.data, header, sizeof(header));
	return buf_take(&frame, ret_len);
}
