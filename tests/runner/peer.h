#ifndef EASEL_TESTS_RUNNER_PEER_H
#define EASEL_TESTS_RUNNER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/frame.h"
#include "common/proto.h"

/*
 * The gateway's end of the socket, for tests: link_run() with a fake pipeline lives in a
 * child process. What is not as expected fails the test.
 */
struct peer {
	int fd;
	pid_t pid;
	struct frame_reader reader;
	char *root;                     /* models directory */
};

#define TEXT(literal) ((char[]){ literal })

void peer_start(struct peer *p, const char *device);
/* The exit status, which must come soon after what ends it. */
int peer_end(struct peer *p);
void peer_put(struct peer *p, struct msg m);
/* The next frame; false at the end of the stream. */
bool peer_next(struct peer *p, struct frame *ret);
/* The next message, which must be of that type. */
struct msg peer_get(struct peer *p, unsigned state, enum msg_type type);
/* Skips progress, and that it is drawn. */
struct msg peer_get_end(struct peer *p);
void peer_hello(struct peer *p);
void peer_put_load(struct peer *p, bool with_layers);
void peer_load(struct peer *p);
void peer_put_generate_of(struct peer *p, uint64_t job, char *prompt, uint32_t side);
void peer_put_generate(struct peer *p, uint64_t job, char *prompt);
void peer_expect_drawn(struct peer *p, uint64_t job);
void peer_expect_binary(struct peer *p, uint64_t bytes);
void peer_draw(struct peer *p, uint64_t job);
void peer_expect_failed(struct peer *p, uint64_t job, const char *code);
void peer_expect_refused(struct peer *p);

#endif
