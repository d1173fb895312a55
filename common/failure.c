/*
 * Names of error codes in the "failed" message. Owns nothing; any thread.
 */
#include <errno.h>
#include <string.h>

#include "common/proto.h"

/* The first row of a name is what it means on the other side. */
static const struct failure {
	const char *name;
	int code;
} failures[] = {
	{ "invalid", -EINVAL }, { "not_found", -ENOENT }, { "cancelled", -ECANCELED },
	{ "memory", -ENOMEM }, { "disk", -ENOSPC }, { "disk", -EDQUOT }, { "disk", -EROFS },
};
enum { N_FAILURES = sizeof failures / sizeof failures[0] };

const char *msg_failed_name(int code)
{
	for (size_t i = 0; i < N_FAILURES; i++)
		if (failures[i].code == code)
			return failures[i].name;
	return "internal";
}

int msg_failed_code(const char *name)
{
	for (size_t i = 0; i < N_FAILURES; i++)
		if (strcmp(failures[i].name, name) == 0)
			return failures[i].code;
	return -EIO;
}
