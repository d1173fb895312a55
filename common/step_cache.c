/*
 * The words of the setting "step_cache". Pure; any thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/step_cache.h"

static const char *const names[] = {
	[STEP_CACHE_OFF] = "off",
	[STEP_CACHE_TEACACHE] = "teacache",
	[STEP_CACHE_REFERENCE] = "reference",
};
enum { N_MODES = sizeof names / sizeof names[0] };

const char *step_cache_mode_name(enum step_cache_mode mode)
{
	return names[mode];
}

enum step_cache_mode step_cache_mode_of(const char *name)
{
	for (int i = STEP_CACHE_OFF; name && i < N_MODES; i++)
		if (!strcmp(names[i], name))
			return (enum step_cache_mode)i;
	return STEP_CACHE_UNSAID;
}

/* Digits with at most one point: strtod() knows more than a person means. */
static bool read_threshold(const char *text, double *ret)
{
	const size_t whole = strspn(text, "0123456789");
	const size_t point = text[whole] == '.';
	const size_t part = strspn(text + whole + point, "0123456789");

	if (whole + part == 0 || text[whole + point + part])
		return false;
	*ret = strtod(text, NULL);
	return *ret <= STEP_CACHE_MAX_THRESHOLD;
}

int step_cache_parse(const char *text, struct step_cache_setting *ret, struct err *err)
{
	for (int i = STEP_CACHE_OFF; i < N_MODES; i++) {
		const size_t len = strlen(names[i]);

		*ret = (struct step_cache_setting){ (enum step_cache_mode)i, STEP_CACHE_THRESHOLD };
		if (strncmp(text, names[i], len))
			continue;
		if (!text[len])
			return 0;
		if (i != STEP_CACHE_OFF && text[len] == ':' &&
		    read_threshold(text + len + 1, &ret->threshold))
			return 0;
	}
	*ret = (struct step_cache_setting){ 0 };
	return err_set(err, -EINVAL, "step_cache must be off, teacache or reference, the latter two "
		       "also with a threshold from 0 to %.0f as in teacache:0.2, not '%.40s'",
		       STEP_CACHE_MAX_THRESHOLD, text);
}
