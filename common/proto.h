#ifndef EASEL_COMMON_PROTO_H
#define EASEL_COMMON_PROTO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/fields.h"

/*
 * Typed messages between gateway and runner (docs/PROTOCOL.md). The rows of
 * proto.def make the enum, the names, and the checks of both directions.
 */
#define PROTO_VERSION 6u
#define PROTO_FD 3                      /* the runner's end of the socketpair */

/* What the runner is doing, as both sides track it; a bit each. */
enum proto_state {
	PROTO_STARTING = 1,             /* spawned, no hello yet */
	PROTO_STARTED = 2,              /* hello seen */
	PROTO_STATE_LOADING = 4,
	PROTO_IDLE = 8,
	PROTO_BUSY = 16,
	PROTO_IMPORTING = 32,
};
enum proto_side { PROTO_GATEWAY = 1, PROTO_RUNNER = 2 };

enum msg_type {
	MSG_NONE = 0,
#define MSG(id, name, from, when) MSG_##id,
#include "common/proto.def"
#undef MSG
	MSG_COUNT
};

struct msg_hello {
	uint32_t version;               /* PROTO_VERSION; nothing else is read when it differs */
	char *device;                   /* name; absent in import mode */
	char *device_type;              /* "discrete", "integrated", "software", ... */
	char *driver;
	uint64_t memory_total;          /* bytes of the heap that weights go to */
	uint64_t memory_available;
};
struct msg_load {
	char *model;                    /* short name, for messages and pictures */
	char *digest;                   /* of the manifest as it is stored, for pictures */
	char *root;                     /* models directory */
	json_t *manifest;               /* the manifest itself, so that a re-tag in between changes nothing */
	char *prompt;                   /* of the first picture that waits; or NULL */
};
struct msg_loading { uint64_t completed, total; };      /* bytes */
struct msg_ready {
	uint64_t weights;               /* bytes of weights the device reads */
	uint64_t vram;                  /* bytes in GPU memory; 0 on a software device */
	uint64_t workspace;             /* bytes for the default size */
	uint32_t width, height, steps;  /* the family's defaults */
	double guidance;
};
struct msg_generate {
	uint64_t job;
	char *prompt;
	char *negative;                 /* absent: none */
	uint32_t width, height;         /* multiples of LIMIT_SIDE_MULTIPLE; 0: as the first picture says */
	uint32_t steps;
	uint64_t seed;                  /* final value, never "random" */
	double guidance;                /* diffusers' guidance_scale; 0 = off */
	double cfg_normalization;       /* 0 = off */
	double cfg_truncation;          /* 1 = never */
	uint32_t images;                /* binary frames that follow at once: PNG, JPEG or WebP files */
	char *mask;                     /* one more frame behind them: "alpha", "white"; absent: none */
	double strength;                /* 0..1; negative: the family's way with pictures */
	char *step_cache;               /* "off", "teacache", "reference"; absent: off */
	double step_cache_threshold;
	char *format;                   /* of the picture: "png", "jpeg", "webp"; absent: png */
	uint32_t quality;               /* JPEG and WebP: 0 to 100 */
	uint32_t partial_images;        /* wanted before it is finished */
};
struct msg_progress {
	uint64_t job;
	char *phase;                    /* "encode", "denoise", "decode" */
	uint32_t step, total;           /* denoising steps finished, of all */
};
struct msg_partial {
	uint64_t job;
	uint64_t bytes;                 /* of the file in the binary frame that follows */
	uint32_t index;                 /* 0, 1, ... of this job */
	uint32_t width, height;         /* of the finished one, too */
};
struct msg_drawn { uint64_t job; };
struct msg_image {
	uint64_t job;
	uint64_t bytes;                 /* of the file in the binary frame that follows */
	uint32_t width, height;
	uint64_t seed;
	uint32_t tokens;                /* of the prompt as the model reads it, no padding; 0: not told */
	uint32_t steps_reused;          /* by the step cache */
};
struct msg_failed {
	uint64_t job;                   /* 0: the load or import */
	char *code;                     /* "invalid", "not_found", "cancelled", "memory", "disk", "internal" */
	char *text;
};
struct msg_cancel { uint64_t job; };
struct msg_import {
	char *root;                     /* models directory */
	char *model;                    /* target name, short form */
	char *directory;                /* source folder, or ... */
	json_t *files;                  /* ... its files, path -> digest of a blob, or ... */
	char *from;                     /* ... source model of the same store */
	char *quantize;                 /* as the user wrote it, or absent */
	json_t *parameters;             /* object, merged over the source's */
	json_t *licenses;               /* array of strings */
	json_t *info;                   /* object: fields of the config */
	char *system, *template, *requires;     /* replace the source's when given */
	bool verify;                    /* nothing is made: the blobs of model are read and hashed */
};
struct msg_status {
	char *status;
	char *digest;                   /* or absent */
	uint64_t total, completed;      /* bytes; left out of the client's line when 0 */
};
struct msg_imported {
	char *digest;                   /* of the manifest */
	uint64_t layers;
};

struct msg {
	enum msg_type type;
	union {
#define MSG(id, name, from, when) struct msg_##name name;
#include "common/proto.def"
#undef MSG
	};
};

const char *msg_name(enum msg_type type);       /* "generate" */
/*
 * One frame's JSON -> message. Refused with -EBADMSG and the reason: unknown type,
 * wrong sender, not legal in state, unknown or missing or out-of-range field.
 * msg_clear() frees the payload.
 */
int msg_decode(const char *json, size_t len, enum proto_side sender, unsigned state,
	       struct msg *ret, struct err *err);
void msg_clear(struct msg *m);
/* A whole frame (header and JSON), the caller's to free; NULL without memory. */
char *msg_encode(const struct msg *m, size_t *ret_len);

/* msg_failed.code for an error code, and back: one of the codes of err.h; -EIO for "internal". */
const char *msg_failed_name(int code);
int msg_failed_code(const char *name);

#endif
