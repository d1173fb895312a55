#ifndef EASEL_RUNNER_IMPORT_TEXTS_H
#define EASEL_RUNNER_IMPORT_TEXTS_H

#include <stddef.h>

#include "common/err.h"
#include "runner/import/plan.h"
#include "runner/import/source.h"

/*
 * The small files of a model folder in layer order: the usual ones first, then every
 * other JSON file of the component folders and the chat template, sorted. JSON is parsed.
 */
int texts_find(const struct source *s, struct plan_text **ret, size_t *ret_n, struct err *err);
/* LICENSE* in the root of the folder. */
int texts_find_licenses(const struct source *s, struct plan_text **ret, size_t *ret_n,
			struct err *err);
void texts_free(struct plan_text *texts, size_t n);     /* NULL is fine */

#endif
