#ifndef EASEL_GATEWAY_RUNNERS_H
#define EASEL_GATEWAY_RUNNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "common/err.h"
#include "common/proto.h"
#include "gateway/upload.h"

/*
 * easel-runner processes and the messages to and from them. A runner that breaks the
 * protocol is killed. Nothing here blocks.
 */
struct runners;                         /* all of them */
struct runner;

struct runner_handler {
	/* Checked for type, sender, state and fields. */
	void (*message)(void *owner, const struct msg *m);
	/* The binary frame that follows MSG_IMAGE. */
	void (*image)(void *owner, const void *file, size_t len);
	/* Gone and waited for; err says why, with its last words. The runner is freed on return. */
	void (*exited)(void *owner, const struct err *err);
	/* MSG_PARTIAL and its binary frame; may be NULL. */
	void (*partial)(void *owner, const struct msg_partial *p, const void *file, size_t len);
};

enum runner_mode { RUNNER_MODEL, RUNNER_IMPORT };

/* path: the runner's binary. */
int runners_create(struct event_base *base, const char *path, struct runners **ret,
		   struct err *err);
void runners_destroy(struct runners *all);      /* kills and reaps what is left */
/* Stops all; done is called when none is left, perhaps at once. */
void runners_stop(struct runners *all, void (*done)(void *ctx), void *ctx);

/*
 * label stands in log lines. Silence for longer than silence_ns before MSG_READY (or
 * between the messages of an import) ends the runner; INT64_MAX: never.
 */
int runner_spawn(struct runners *all, enum runner_mode mode, const char *label, int64_t silence_ns,
		 const struct runner_handler *handler, void *owner, struct runner **ret,
		 struct err *err);
/* -EPIPE when its socket is closed already: exited() is about to come. */
int runner_send(struct runner *r, const struct msg *m);
/*
 * The same with the binary frames that belong to the message right behind it. They are
 * not copied: owner, in which they lie, is held until they are sent.
 */
int runner_send_files(struct runner *r, const struct msg *m, struct upload *owner,
		      const struct piece *files, size_t n);
/* Lets it leave by itself for a moment, then signals. No more messages arrive. */
void runner_stop(struct runner *r);
/* At once; why becomes the reason that exited() tells. */
void runner_kill(struct runner *r, const char *why);
int runner_pid(const struct runner *r);

/* For other children of the same kind of care. */
struct processes;
struct processes *runners_processes(struct runners *all);
const char *runners_path(const struct runners *all);

/* "[{...}]" of easel-runner --devices, or NULL with a reason in err. */
typedef void (*runner_devices_fn)(void *ctx, const char *json, const struct err *err);
int runners_list_devices(struct runners *all, runner_devices_fn done, void *ctx, struct err *err);

#endif
