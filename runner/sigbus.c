/*
 * The SIGBUS handler and the list of mappings it knows. The list is global because a
 * signal handler has no other way to reach it; entries are published whole and, once
 * forgotten, only emptied, so that the handler may run at any moment in any thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/sigbus.h"

struct watch {
	_Atomic(uintptr_t) begin, end;          /* begin 0: free for reuse */
	char name[128];
	struct watch *next;
};

static _Atomic(struct watch *) watches;

static void say(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;                                /* nothing is left to do about it */
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;
	const struct sigaction end = { .sa_handler = SIG_DFL };
	uintptr_t at = (uintptr_t)info->si_addr;
	const struct watch *w;

	(void)context;
	/* Several threads read one blob: the first one speaks, then ends the process. */
	while (atomic_flag_test_and_set(&told))
		pause();
	for (w = atomic_load(&watches); w; w = w->next)
		if (at >= atomic_load(&w->begin) && at < atomic_load(&w->end)) {
			say("blob ");
			say(w->name);
			say(" was truncated or is unreadable while the model was loaded\n");
			break;
		}
	sigaction(signal, &end, NULL);
	raise(signal);
}

static void install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}

static struct watch *free_entry(void)
{
	struct watch *w;

	for (w = atomic_load(&watches); w; w = w->next)
		if (atomic_load(&w->begin) == 0)
			return w;
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->next = atomic_load(&watches);
	if (!w->next)
		install();
	atomic_store(&watches, w);
	return w;
}

bool sigbus_watch(const void *map, size_t len, const char *name)
{
	struct watch *w = free_entry();

	if (!w)
		return false;
	strncpy(w->name, name, sizeof w->name - 1);
	atomic_store(&w->end, (uintptr_t)map + len);
	atomic_store(&w->begin, (uintptr_t)map);
	return true;
}

void sigbus_forget(const void *map)
{
	struct watch *w;

	for (w = atomic_load(&watches); w; w = w->next)
		if (atomic_load(&w->begin) == (uintptr_t)map) {
			atomic_store(&w->begin, 0);
			atomic_store(&w->end, 0);
			return;
		}
}
