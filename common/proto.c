/*
 * The messages between gateway and runner: field tables, encode, decode.
 * Owns nothing; any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/limits.h"
#include "common/proto.h"

#define M(type_, member_, kind_, ...) FIELD(struct msg_##type_, member_, kind_, __VA_ARGS__)
#define SIDE .min = LIMIT_SIDE_MIN, .max = LIMIT_SIDE
#define STEPS .min = 0, .max = LIMIT_STEPS
#define NEEDED .required = true
enum { TEXT = 4096 };

static const struct field hello_fields[] = {
	M(hello, version, U32, NEEDED),
	M(hello, device, STR, .max = TEXT),
	M(hello, device_type, STR, .max = TEXT),
	M(hello, driver, STR, .max = TEXT),
	M(hello, memory_total, U64),
	M(hello, memory_available, U64),
	{ 0 }
};
static const struct field load_fields[] = {
	M(load, model, STR, NEEDED, .max = TEXT),
	M(load, root, STR, NEEDED, .max = TEXT),
	M(load, manifest, JSON, NEEDED),
	{ 0 }
};
static const struct field loading_fields[] = {
	M(loading, completed, U64, NEEDED),
	M(loading, total, U64, NEEDED),
	{ 0 }
};
static const struct field ready_fields[] = {
	M(ready, weights, U64, NEEDED),
	M(ready, vram, U64, NEEDED),
	M(ready, workspace, U64, NEEDED),
	M(ready, width, U32, NEEDED, SIDE),
	M(ready, height, U32, NEEDED, SIDE),
	M(ready, steps, U32, NEEDED, .min = 1, .max = LIMIT_STEPS),
	M(ready, guidance, F64, NEEDED, .min = 0, .max = LIMIT_GUIDANCE),
	{ 0 }
};
static const struct field generate_fields[] = {
	M(generate, job, U64, NEEDED),
	M(generate, prompt, STR, NEEDED, .max = LIMIT_PROMPT),
	M(generate, negative, STR, .max = LIMIT_PROMPT),
	M(generate, width, U32, NEEDED, SIDE),
	M(generate, height, U32, NEEDED, SIDE),
	M(generate, steps, U32, NEEDED, .min = 1, .max = LIMIT_STEPS),
	M(generate, seed, U64, NEEDED),
	M(generate, guidance, F64, .min = 0, .max = LIMIT_GUIDANCE),
	M(generate, cfg_normalization, F64, .min = 0, .max = LIMIT_GUIDANCE),
	M(generate, cfg_truncation, F64, .min = 0, .max = 1),
	{ 0 }
};
static const struct field progress_fields[] = {
	M(progress, job, U64, NEEDED),
	M(progress, phase, STR, NEEDED, .max = TEXT),
	M(progress, step, U32, NEEDED, STEPS),
	M(progress, total, U32, NEEDED, STEPS),
	{ 0 }
};
static const struct field image_fields[] = {
	M(image, job, U64, NEEDED),
	M(image, bytes, U64, NEEDED, .min = 1, .max = LIMIT_IMAGE),
	M(image, width, U32, NEEDED, SIDE),
	M(image, height, U32, NEEDED, SIDE),
	M(image, seed, U64, NEEDED),
	{ 0 }
};
static const struct field failed_fields[] = {
	M(failed, job, U64),
	M(failed, code, STR, NEEDED, .max = TEXT),
	M(failed, text, STR, NEEDED, .max = 16 * TEXT),
	{ 0 }
};
static const struct field cancel_fields[] = {
	M(cancel, job, U64, NEEDED),
	{ 0 }
};
static const struct field import_fields[] = {
	M(import, root, STR, NEEDED, .max = TEXT),
	M(import, model, STR, NEEDED, .max = TEXT),
	M(import, directory, STR, .max = TEXT),
	M(import, from, STR, .max = TEXT),
	M(import, quantize, STR, .max = TEXT),
	M(import, parameters, JSON),
	M(import, licenses, JSON),
	M(import, system, STR),
	M(import, template, STR),
	M(import, requires, STR, .max = TEXT),
	{ 0 }
};
static const struct field status_fields[] = {
	M(status, status, STR, NEEDED, .max = 16 * TEXT),
	M(status, digest, STR, .max = TEXT),
	M(status, total, U64),
	M(status, completed, U64),
	{ 0 }
};
static const struct field imported_fields[] = {
	M(imported, digest, STR, NEEDED, .max = TEXT),
	M(imported, layers, U64, NEEDED),
	{ 0 }
};

/* The words of proto.def. */
enum {
	RUNNER = PROTO_RUNNER, GATEWAY = PROTO_GATEWAY,
	STARTING = PROTO_STARTING, STARTED = PROTO_STARTED, STATE_LOADING = PROTO_STATE_LOADING,
	IDLE = PROTO_IDLE, BUSY = PROTO_BUSY, IMPORTING = PROTO_IMPORTING,
};

static const struct msg_row {
	const char *name;
	unsigned sender, states;
	const struct field *fields;
} rows[MSG_COUNT] = {
#define MSG(id, name, from, when) [MSG_##id] = { #name, from, when, name##_fields },
#include "common/proto.def"
#undef MSG
};

const char *msg_name(enum msg_type type)
{
	return type > MSG_NONE && type < MSG_COUNT ? rows[type].name : "none";
}

static enum msg_type type_of(const json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "type"));

	for (unsigned i = MSG_NONE + 1; name && i < MSG_COUNT; i++)
		if (!strcmp(rows[i].name, name))
			return (enum msg_type)i;
	return MSG_NONE;
}

/* Nothing else of a hello is looked at before the version is known to be ours. */
static int check_version(const json_t *object, struct err *err)
{
	const json_t *version = json_object_get(object, "version");

	if (!json_is_integer(version) || json_integer_value(version) != PROTO_VERSION)
		return err_set(err, -EBADMSG,
			       "runner speaks protocol version %lld, this gateway %u: install both from one release",
			       (long long)json_integer_value(version), PROTO_VERSION);
	return 0;
}

static int check_legal(const struct msg_row *row, enum proto_side sender, unsigned state, struct err *err)
{
	if (row->sender != sender)
		return err_set(err, -EBADMSG, "message %s comes from the wrong side", row->name);
	if (!(row->states & state))
		return err_set(err, -EBADMSG, "message %s is not legal now", row->name);
	return 0;
}

static int decode(json_t *object, enum proto_side sender, unsigned state, struct msg *ret, struct err *err)
{
	enum msg_type type = type_of(object);
	const struct msg_row *row = &rows[type];
	int r;

	if (type == MSG_NONE)
		return err_set(err, -EBADMSG, "message of unknown type");
	r = check_legal(row, sender, state, err);
	if (r == 0 && type == MSG_HELLO)
		r = check_version(object, err);
	if (r < 0)
		return r;
	json_object_del(object, "type");
	/* The union's members all start at its address. */
	if (fields_read(row->fields, object, FIELDS_STRICT, &ret->hello, NULL, err) < 0) {
		err_prefix(err, "message %s", row->name);
		return -EBADMSG;
	}
	ret->type = type;
	return 0;
}

int msg_decode(const char *json, size_t len, enum proto_side sender, unsigned state,
	       struct msg *ret, struct err *err)
{
	json_t *object = json_parse(json, len, false, err);
	int r;

	*ret = (struct msg){ .type = MSG_NONE };
	if (!object) {
		err_prefix(err, "message");
		return -EBADMSG;
	}
	r = decode(object, sender, state, ret, err);
	json_decref(object);
	return r;
}

void msg_clear(struct msg *m)
{
	if (m->type > MSG_NONE && m->type < MSG_COUNT)
		fields_clear(rows[m->type].fields, &m->hello);
	m->type = MSG_NONE;
}

static char *framed(const char *text, size_t len, size_t *ret_len)
{
	char *out;

	if (len > LIMIT_FRAME)
		return NULL;
	out = malloc(FRAME_HEADER + len);
	if (!out)
		return NULL;
	frame_header(FRAME_JSON, (uint32_t)len, (unsigned char *)out);
	memcpy(out + FRAME_HEADER, text, len);
	*ret_len = FRAME_HEADER + len;
	return out;
}

char *msg_encode(const struct msg *m, size_t *ret_len)
{
	json_t *object;
	char *text = NULL, *out = NULL;

	if (m->type <= MSG_NONE || m->type >= MSG_COUNT)
		return NULL;
	object = fields_write(rows[m->type].fields, &m->hello);
	if (object && json_object_set_new(object, "type", json_string(rows[m->type].name)) == 0)
		text = json_dumps(object, JSON_COMPACT);
	if (text)
		out = framed(text, strlen(text), ret_len);
	free(text);
	json_decref(object);
	return out;
}
