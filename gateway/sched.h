#ifndef EASEL_GATEWAY_SCHED_H
#define EASEL_GATEWAY_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/name.h"

/*
 * Which model is loaded, who waits for it, whom to unload. Pure logic: events are
 * reported to it with the time, and sched_next() hands out what to do about them, one
 * action at a time, until it says false. Times are monotonic nanoseconds.
 */
enum sched_state {
	SCHED_WAITING,                  /* in line to be loaded; no process */
	SCHED_LOADING,
	SCHED_IDLE,
	SCHED_BUSY,                     /* the first request that is not being written runs */
	SCHED_STOPPING,                 /* told to end, not gone yet */
};

TAILQ_HEAD(sched_requests, sched_request);
TAILQ_HEAD(sched_models, sched_model);

/* Embedded in a job. */
struct sched_request {
	TAILQ_ENTRY(sched_request) link;
	struct sched_model *model;      /* NULL: not in line */
	bool load_only;                 /* wants the model to be there, nothing more */
	struct err err;                 /* why it failed */
};

/* One process, or the wish for one. Two of a key can exist: one draining, one waiting. */
struct sched_model {
	TAILQ_ENTRY(sched_model) link;
	char key[DIGEST_SIZE];          /* digest of the manifest */
	char name[NAME_TEXT_SIZE];      /* as it was asked for first, short form */
	void *owner;                    /* the caller's process, set at SCHED_SPAWN */
	enum sched_state state;
	struct sched_requests requests; /* in order of arrival */
	struct sched_request *writing;  /* of them: drawn, not yet answered; or NULL */
	bool draining;                  /* ends after the requests it has; nobody joins */
	bool for_room;                  /* draining only because another model needs the place */
	int64_t keep_alive_ns;
	int64_t expires_ns;             /* while idle */
	int64_t used_ns;
	unsigned n_restarts;            /* since restarts_ns */
	int64_t restarts_ns;
};

struct sched {
	unsigned max_loaded;
	size_t max_queue;
	int64_t keep_alive_ns;          /* of models whose requests do not say */
	struct sched_models models;     /* in order of arrival */
	struct sched_requests failed;
};

enum sched_verb {
	SCHED_SPAWN,                    /* start a process for model, load it */
	SCHED_STOP,                     /* end the process */
	SCHED_RUN,                      /* send request to model's process */
	SCHED_READY,                    /* answer a load_only request, which left the line */
	SCHED_FAIL,                     /* answer with request->err, it left the line */
};

struct sched_action {
	enum sched_verb verb;
	struct sched_model *model;
	struct sched_request *request;
};

void sched_init(struct sched *s);
void sched_finish(struct sched *s);             /* no request may be left */

/*
 * Puts a request in line. keep_alive_ns replaces the model's when not NULL.
 * sched_busy() when too many wait.
 */
int sched_submit(struct sched *s, struct sched_request *q, const char *key, const char *name,
		 const int64_t *keep_alive_ns, int64_t now_ns, struct err *err);
/* -EBUSY in the reference's words. */
int sched_busy(struct err *err);
/*
 * The client is gone. True: the request left the line. False: it runs or is written; it
 * stays until sched_finished() or sched_exited(), so that nothing else is sent meanwhile.
 */
bool sched_cancel(struct sched *s, struct sched_request *q, int64_t now_ns);
/* A load ended well. */
void sched_loaded(struct sched *s, struct sched_model *m, int64_t now_ns);
/* A load was refused; all its requests fail and the process is to be stopped. */
void sched_refused(struct sched *s, struct sched_model *m, const struct err *err);
/*
 * The running request is drawn: the next may run while its picture is written. Until
 * sched_finished() nothing else is, and the process stays. Not while another is written.
 */
void sched_drawn(struct sched *s, struct sched_model *m);
/* A request that runs or is written ended, in whatever way. */
void sched_finished(struct sched *s, struct sched_request *q, int64_t now_ns);
/* The process is gone. m is freed unless requests wait for a new one. */
void sched_exited(struct sched *s, struct sched_model *m, const struct err *err, int64_t now_ns);
/* Unload: every model of that key or name; except_key (may be NULL) is left alone. */
void sched_unload(struct sched *s, const char *key, const char *name, const char *except_key,
		  int64_t now_ns);

/* Something is drawn or written. */
bool sched_in_use(const struct sched_model *m);
bool sched_next(struct sched *s, int64_t now_ns, struct sched_action *ret);
/* When sched_next() should be asked again; INT64_MAX: only after an event. */
int64_t sched_deadline(const struct sched *s);
/* End of the keep-alive, or an estimate while the model is in use; INT64_MAX: never. */
int64_t sched_expiry(const struct sched_model *m, int64_t now_ns);

#endif
