#ifndef EASEL_COMMON_ERR_H
#define EASEL_COMMON_ERR_H

#include <stdarg.h>

/*
 * An error is a negative errno and one sentence for a person: what failed, on
 * which thing, and what to do. Functions return the code; the sentence is made
 * where it is known and shown by the top. A NULL err is allowed everywhere.
 *
 * Codes with a meaning beyond their own:
 *   -EINVAL     the caller's input is wrong          HTTP 400
 *   -ENOENT     no such model, blob or file          HTTP 404
 *   -EPERM      refused by policy                    HTTP 403
 *   -EMSGSIZE   a body or frame above its limit      HTTP 413
 *   -EBUSY      queue full                           HTTP 503
 *   -ECANCELED  the client went away                 HTTP 499
 *   -EBADMSG    damaged data on disk or on the wire  HTTP 500
 *   anything else                                    HTTP 500
 */
struct err {
	int code;
	char text[512];
};

/* Stores the sentence (cut to fit) and returns code, which is < 0. */
int err_set(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* err_set() with ": <strerror>" appended for errno_value; returns -errno_value. */
int err_errno(struct err *err, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the sentence; returns the code already stored. */
int err_prefix(struct err *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
