#ifndef EASEL_GATEWAY_BODIES_H
#define EASEL_GATEWAY_BODIES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/fields.h"
#include "common/output_format.h"
#include "common/step_cache.h"
#include "gateway/picture_inputs.h"
#include "gateway/upload.h"

/*
 * Request bodies, checked: bytes of a stranger -> C values. Pure functions; every error
 * is -EINVAL with a sentence that names the member. *_clear() frees.
 */

/* The picture that is asked for. What is 0, NULL or negative was not said. */
struct picture_params {
	char *prompt, *negative;
	int64_t width, height;          /* any value; see picture_check() */
	int64_t steps;
	int64_t seed;                   /* <= 0: random */
	double guidance;
	double cfg_normalization, cfg_truncation;
	double effort;                  /* factor on the default steps */
	unsigned count;                 /* pictures, seeds s, s+1, ... */
	struct picture_inputs inputs;
	const char *mask_mode;          /* "alpha", "white": a literal */
	double strength;                /* 0..1; without inputs never said */
	struct step_cache_setting step_cache;
	enum output_format format;
	unsigned quality;               /* of JPEG and WebP */
	unsigned partial_images;        /* wanted of each before it is finished */
};

struct generate_body {
	char *model;                    /* as the client wrote it, "" when missing */
	struct picture_params picture;
	bool stream;
	bool has_keep_alive;
	int64_t keep_alive_ns;
};

/* The routes that take an images_body. */
struct images_kind {
	const char *go_type;            /* how the reference calls the body in messages */
	bool edits;                     /* needs a picture, takes forms */
};
extern const struct images_kind images_generations, images_edits;

/* Members that had no effect, as a header says it: comma separated. */
struct ignored {
	char text[256];
};
void ignored_add(struct ignored *ignored, const char *name);

struct images_body {
	char *model;
	struct picture_params picture;
	bool stream, has_stream;
	bool wants_url;
	bool says_partial;              /* partial_images was said, any number */
	const char *quality;            /* "auto", "low", ...: a literal */
	struct ignored ignored;
};

struct create_body {
	char *model, *from;
	json_t *files;
	char *quantize, *system, *template, *requires;
	json_t *parameters;             /* object or NULL */
	json_t *licenses;               /* array of strings or NULL */
	json_t *info;                   /* object or NULL */
	bool stream;
	bool insecure;                  /* 'from' may be pulled by plain HTTP */
	bool verify;                    /* never said by a client: see route_verify() */
};

/* A body that only names a model and little else. */
struct name_body {
	char *model;
	char *source, *destination;
	bool verbose;
};

/* These two change body, and keep a reference where there are pictures in it. */
int generate_body_read(struct upload *body, struct generate_body *ret, struct err *err);
void generate_body_clear(struct generate_body *b);
/* content_type may be NULL; a form is told by it. */
int images_body_read(const struct images_kind *kind, const char *content_type, struct upload *body,
		     struct images_body *ret, struct err *err);
void images_body_clear(struct images_body *b);
int create_body_read(const char *text, size_t len, struct create_body *ret, struct err *err);
void create_body_clear(struct create_body *b);
/* go_type: how the reference calls the body in messages, "api.ShowRequest". */
int name_body_read(const char *text, size_t len, const char *go_type, struct name_body *ret,
		   struct err *err);
void name_body_clear(struct name_body *b);

/* Sides above 4096 and steps above 1000. */
int picture_check(const struct picture_params *p, struct err *err);
void picture_params_clear(struct picture_params *p);

/* The text, an object or null, into *ret by a table; shared by the readers. */
int body_read(const char *text, size_t len, const char *go_type, const struct field *table,
	      void *ret, uint64_t *present, struct err *err);
/* The second half of body_read(), of a text that was parsed. */
int body_read_json(const json_t *root, const char *go_type, const struct field *table, void *ret,
		   uint64_t *present, struct err *err);
/*
 * The first half, with picture_members lifted: NULL with -EINVAL, or what is to be released;
 * *ret_lift is to be cleared after success.
 */
json_t *body_parse_lifted(struct upload *body, const char *go_type, struct lift *ret_lift,
			  struct err *err);
/* Adds the members that the table does not know; null is as absent. */
void body_find_unknown(const json_t *root, const struct field *table, struct ignored *ignored);
/* The first that is not empty, moved out of its variable; else an allocated "". */
char *body_take_first(char **a, char **b);
/* keep_alive: number of seconds or duration text -> ns, INT64_MAX for ever. */
int keep_alive_read(const json_t *value, int64_t *ret_ns, struct err *err);

#endif
