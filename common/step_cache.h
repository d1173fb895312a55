#ifndef EASEL_COMMON_STEP_CACHE_H
#define EASEL_COMMON_STEP_CACHE_H

#include "common/err.h"

/* The setting "step_cache": whether and how denoising steps reuse an earlier one's work. */
enum step_cache_mode {
	STEP_CACHE_UNSAID,
	STEP_CACHE_OFF,
	STEP_CACHE_TEACACHE,            /* as published: reuses what the blocks change */
	STEP_CACHE_REFERENCE,           /* the reference server's: reuses the velocity */
};
struct step_cache_setting {
	enum step_cache_mode mode;
	double threshold;               /* more: more is reused; 0 to STEP_CACHE_MAX_THRESHOLD */
};
#define STEP_CACHE_THRESHOLD 0.15       /* where none is given */
#define STEP_CACHE_MAX_THRESHOLD 1000.0

/* "off", "teacache", "teacache:0.2", "reference:0.1". -EINVAL with what it must be. */
int step_cache_parse(const char *text, struct step_cache_setting *ret, struct err *err);
/* "off", "teacache", "reference": a literal. NULL when nothing is said. */
const char *step_cache_mode_name(enum step_cache_mode mode);
/* STEP_CACHE_UNSAID for NULL and what is none of the names. */
enum step_cache_mode step_cache_mode_of(const char *name);

#endif
