#ifndef EASEL_GATEWAY_PROCESS_H
#define EASEL_GATEWAY_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

#include "common/err.h"

/*
 * Child processes: started with nothing inherited but what is named, killed by the
 * kernel when this process dies, always waited for. Nothing here blocks.
 */
struct processes;                       /* all children; owns SIGCHLD */
struct process;

struct process_handler {
	/* One line of its stdout (1) or stderr (2), without the newline, cut when long. */
	void (*line)(void *owner, int stream, const char *line);
	/* It was waited for and said its last line. The process is freed on return. */
	void (*exited)(void *owner, int wait_status);
	/* Optional: killed by processes_destroy(), exited() will not come. */
	void (*abandoned)(void *owner);
};

int processes_create(struct event_base *base, struct processes **ret, struct err *err);
/* SIGKILL to all that are left, waits for them; of handlers only abandoned() is called. */
void processes_destroy(struct processes *all);

/* fd3 (or -1) becomes the child's descriptor 3; the caller keeps and closes its own copy. */
int process_spawn(struct processes *all, const char *const argv[], int fd3,
		  const struct process_handler *handler, void *owner, struct process **ret,
		  struct err *err);
pid_t process_pid(const struct process *p);
/* Of any process; 0 when it is gone. */
uint64_t process_resident_bytes(pid_t pid);
/* SIGTERM after term_ms, SIGKILL kill_ms later. A second call changes nothing. */
void process_stop(struct process *p, unsigned term_ms, unsigned kill_ms);
void process_kill(struct process *p);
/* "signal 9 (Killed)", "exit status 3" */
void process_status_text(int wait_status, char *ret, size_t size);

#endif
