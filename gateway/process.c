/*
 * Children of the gateway: fork and exec, their output as lines, signals, reaping.
 * Owns every child until it was waited for; runs on the event loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/process.h"

#define LINE_SIZE 16384
#define OUT_PIPES 2                             /* stdout, stderr */

/* A child's output, line by line. A line that does not fit is cut, never waited for. */
struct line_reader {
	struct process *process;
	struct event *event;
	int fd, stream;
	char line[LINE_SIZE];
	size_t len;
};

struct process {
	LIST_ENTRY(process) link;
	struct processes *all;
	const struct process_handler *handler;
	void *owner;
	pid_t pid;
	struct line_reader out[OUT_PIPES];
	struct event *ladder;                   /* the next signal on its way out */
	unsigned kill_ms;
	bool stopping, termed;
};

struct processes {
	struct event_base *base;
	struct event *child_event;
	LIST_HEAD(, process) list;
};

/* ---- output ---- */

static void emit(struct line_reader *r)
{
	struct process *p = r->process;

	r->line[r->len] = '\0';
	r->len = 0;
	p->handler->line(p->owner, r->stream, r->line);
}

static void take(struct line_reader *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			emit(r);
		else if (r->len < LINE_SIZE - 1)
			r->line[r->len++] = data[i];
	}
}

static void reader_close(struct line_reader *r)
{
	if (r->event)
		event_free(r->event);
	if (r->fd >= 0)
		close(r->fd);
	r->event = NULL;
	r->fd = -1;
}

/* False at the end. max bounds one turn, so that a chatty child cannot hold the loop. */
static bool read_some(struct line_reader *r, size_t max)
{
	char data[8192];
	size_t total = 0;

	while (total < max) {
		ssize_t n = read(r->fd, data, sizeof(data));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		take(r, data, (size_t)n);
		total += (size_t)n;
	}
	return true;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct line_reader *r = arg;

	(void)fd;
	(void)what;
	if (!read_some(r, 256u << 10))
		reader_close(r);
}

/* After the death of the child; a grandchild may still hold the pipe. */
static void read_rest(struct line_reader *r)
{
	if (r->fd >= 0)
		read_some(r, 1u << 20);
	if (r->len)
		emit(r);
	reader_close(r);
}

/* ---- the end ---- */

static void process_free(struct process *p)
{
	for (int i = 0; i < OUT_PIPES; i++)
		reader_close(&p->out[i]);
	if (p->ladder)
		event_free(p->ladder);
	free(p);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
	struct processes *all = arg;
	struct process *p, *next;

	(void)fd;
	(void)what;
	for (p = LIST_FIRST(&all->list); p; p = next) {
		int status;

		next = LIST_NEXT(p, link);
		if (waitpid(p->pid, &status, WNOHANG) != p->pid)
			continue;
		for (int i = 0; i < OUT_PIPES; i++)
			read_rest(&p->out[i]);
		/* Out of the list first: the handler may spawn or stop others. */
		LIST_REMOVE(p, link);
		p->pid = 0;
		p->handler->exited(p->owner, status);
		process_free(p);
		next = LIST_FIRST(&all->list);
	}
}

static void on_ladder(evutil_socket_t fd, short what, void *arg)
{
	struct process *p = arg;
	struct timeval later = { .tv_sec = p->kill_ms / 1000,
				 .tv_usec = (suseconds_t)(p->kill_ms % 1000) * 1000 };

	(void)fd;
	(void)what;
	if (!p->pid)
		return;                 /* waited for already: that pid is nobody's, or another's */
	kill(p->pid, p->termed ? SIGKILL : SIGTERM);
	p->termed = true;
	evtimer_add(p->ladder, &later);
}

void process_stop(struct process *p, unsigned term_ms, unsigned kill_ms)
{
	struct timeval first = { .tv_sec = term_ms / 1000,
				 .tv_usec = (suseconds_t)(term_ms % 1000) * 1000 };

	if (p->stopping)
		return;
	p->stopping = true;
	p->kill_ms = kill_ms;
	if (term_ms)
		evtimer_add(p->ladder, &first);
	else
		on_ladder(-1, 0, p);
}

void process_kill(struct process *p)
{
	p->stopping = true;
	if (p->pid)
		kill(p->pid, SIGKILL);
}

uint64_t process_resident_bytes(pid_t pid)
{
	unsigned long long all, resident = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &all, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}

void process_status_text(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(ret, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
}

/* ---- the beginning ---- */

static void child_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* dup2() onto itself would leave close-on-exec set. */
static int child_move(int from, int to)
{
	return from == to ? fcntl(from, F_SETFD, 0) : dup2(from, to);
}

/* Runs between fork and exec: what fails is said on stderr, which the parent reads. */
static _Noreturn void child_exec(const char *const argv[], int fd3, const int out[OUT_PIPES],
				 pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	child_reset_signals();
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	if (child_move(null, 0) < 0 || child_move(out[0], 1) < 0 || child_move(out[1], 2) < 0)
		_exit(126);
	if (fd3 >= 0 && child_move(fd3, 3) < 0)
		_exit(126);
	closefrom(fd3 >= 0 ? 4 : 3);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(2, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int watch_output(struct process *p, int i, int fd)
{
	struct line_reader *r = &p->out[i];

	r->process = p;
	r->stream = i + 1;
	r->fd = fd;
	r->event = event_new(p->all->base, fd, EV_READ | EV_PERSIST, on_output, r);
	return r->event && event_add(r->event, NULL) == 0 ? 0 : -ENOMEM;
}

/* One pipe: our end is watched, theirs is returned. */
static int open_output(struct process *p, int i)
{
	int pipe[2], r;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(pipe[0], F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		close(pipe[0]);
	} else {
		r = watch_output(p, i, pipe[0]);
	}
	if (r < 0)
		close(pipe[1]);
	return r < 0 ? r : pipe[1];
}

/*
 * No signal may reach the child before child_exec() reset the handlers: ours would run
 * there and write to the pipe that tells our own loop of signals, so that a SIGTERM for
 * a child just begun would end the gateway.
 */
static pid_t fork_child(const char *const argv[], int fd3, const int out[OUT_PIPES])
{
	sigset_t all, before;
	pid_t parent = getpid(), pid;
	int error;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	error = errno;
	if (pid == 0)
		child_exec(argv, fd3, out, parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return pid;
}

static int start(struct process *p, const char *const argv[], int fd3)
{
	int out[OUT_PIPES] = { -1, -1 }, r = 0;
	pid_t pid;

	for (int i = 0; i < OUT_PIPES && r >= 0; i++)
		r = out[i] = open_output(p, i);
	if (r >= 0) {
		pid = fork_child(argv, fd3, out);
		r = pid < 0 ? -errno : 0;
		p->pid = pid < 0 ? 0 : pid;
	}
	for (int i = 0; i < OUT_PIPES; i++)
		if (out[i] >= 0)
			close(out[i]);
	return r;
}

static struct process *process_create(struct processes *all, const struct process_handler *handler,
				      void *owner)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->all = all;
	p->handler = handler;
	p->owner = owner;
	for (int i = 0; i < OUT_PIPES; i++)
		p->out[i].fd = -1;
	p->ladder = evtimer_new(all->base, on_ladder, p);
	if (!p->ladder) {
		free(p);
		return NULL;
	}
	return p;
}

int process_spawn(struct processes *all, const char *const argv[], int fd3,
		  const struct process_handler *handler, void *owner, struct process **ret,
		  struct err *err)
{
	struct process *p = process_create(all, handler, owner);
	int r = p ? start(p, argv, fd3) : -ENOMEM;

	if (r < 0) {
		if (p)
			process_free(p);
		return err_errno(err, -r, "cannot start %s", argv[0]);
	}
	LIST_INSERT_HEAD(&all->list, p, link);
	*ret = p;
	return 0;
}

int processes_create(struct event_base *base, struct processes **ret, struct err *err)
{
	struct processes *all = calloc(1, sizeof(*all));

	if (!all)
		return err_set(err, -ENOMEM, "out of memory");
	all->base = base;
	LIST_INIT(&all->list);
	all->child_event = evsignal_new(base, SIGCHLD, on_child, all);
	if (!all->child_event || event_add(all->child_event, NULL) < 0) {
		processes_destroy(all);
		return err_set(err, -ENOMEM, "cannot watch SIGCHLD");
	}
	*ret = all;
	return 0;
}

void processes_destroy(struct processes *all)
{
	struct process *p;

	if (!all)
		return;
	while ((p = LIST_FIRST(&all->list))) {
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
		LIST_REMOVE(p, link);
		if (p->handler->abandoned)
			p->handler->abandoned(p->owner);
		process_free(p);
	}
	if (all->child_event)
		event_free(all->child_event);
	free(all);
}
