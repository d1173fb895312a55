#ifndef EASEL_CLI_CLIENT_H
#define EASEL_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "common/err.h"
#include "common/settings.h"

struct addrinfo;
struct progress;

/* The server that EASEL_HOST or OLLAMA_HOST names; one connection per request. */
struct client {
	const struct cli *cli;
	struct host host;
	struct addrinfo *addresses;
	struct progress *progress;      /* redrawn while waiting; NULL: none */
	int64_t deadline_ns;            /* of every wait, monotonic; 0: none */
	int signal_fd;                  /* of interrupt_open(); -1: signals act as usual */
};

/* Reads the settings and finds the addresses. client_close() in any case. */
int client_init(struct client *c, const struct cli *cli, struct err *err);
/* client_init(), then HEAD /: says how to start the server when there is none. */
int client_open(struct client *c, const struct cli *cli, struct err *err);
/* Waiting ends with -ECANCELED at a signal from now on; p (or NULL) is redrawn. */
int client_watch(struct client *c, struct progress *p, struct err *err);
/* Requests fail with -ETIMEDOUT when they take longer than this from now. */
void client_limit(struct client *c, unsigned ms);
void client_close(struct client *c);

/* Whether the server runs on this machine, as far as its address tells. */
bool client_is_local(const struct client *c);

/*
 * One request, one JSON answer (*ret may be NULL: any or no answer will do). body
 * may be NULL. An error answer is the server's sentence, with the code -ENOENT for
 * 404 and -EREMOTEIO for all else.
 */
int client_call(struct client *c, const char *method, const char *path, const json_t *body,
		json_t **ret, struct err *err);

/*
 * A POST whose answer is lines of JSON, handed to fn one by one; a negative code
 * from fn ends it. An error line is the server's sentence alone, an error status
 * "400 Bad Request: " and the sentence; codes as client_call().
 */
typedef int (*client_line_fn)(void *ctx, const json_t *line, struct err *err);
int client_stream(struct client *c, const char *path, const json_t *body,
		  client_line_fn fn, void *ctx, struct err *err);

/*
 * A POST of the first size bytes of a file, whose name is for errors; sent (or NULL) is told
 * how many are on their way. Errors as client_call().
 */
struct client_upload {
	int fd;
	const char *name;
	uint64_t size;
	void (*sent)(void *ctx, uint64_t bytes);
	void *ctx;
};
int client_upload(struct client *c, const char *path, const struct client_upload *u,
		  struct err *err);

/* For long work between requests: draws what is due; -ECANCELED after a signal. */
int client_breathe(struct client *c, struct err *err);

#endif
