/*
 * Pictures that can be fetched by URL for a while. Owns their bytes, also while they are
 * being sent; runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "common/limits.h"
#include "common/timefmt.h"
#include "gateway/kept_files.h"

#define LIFE_NS (3600 * INT64_C(1000000000))

struct kept_file {
	TAILQ_ENTRY(kept_file) link;
	char name[KEPT_NAME_SIZE];
	int64_t ends_ns;
	struct upload *bytes;
};

struct kept_files {
	TAILQ_HEAD(, kept_file) list;   /* the oldest first */
	size_t n;
	struct uploads *held;
	struct event *timer;
};

static void drop(struct kept_files *files, struct kept_file *f)
{
	TAILQ_REMOVE(&files->list, f, link);
	files->n--;
	upload_unref(f->bytes);
	free(f);
}

static void set_timer(struct kept_files *files)
{
	const struct kept_file *first = TAILQ_FIRST(&files->list);
	int64_t wait_ns = first ? first->ends_ns - time_monotonic_ns() : 0;
	struct timeval wait = { 0 };

	if (!first)
		return;
	if (wait_ns > 0)
		wait.tv_sec = wait_ns / 1000000000 + 1;
	evtimer_add(files->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct kept_files *files = arg;
	struct kept_file *f;

	(void)fd;
	(void)what;
	while ((f = TAILQ_FIRST(&files->list)) && f->ends_ns <= time_monotonic_ns())
		drop(files, f);
	set_timer(files);
}

int kept_files_create(struct event_base *base, struct uploads *held, struct kept_files **ret,
		      struct err *err)
{
	struct kept_files *files = calloc(1, sizeof(*files));

	if (!files)
		return err_set(err, -ENOMEM, "out of memory");
	TAILQ_INIT(&files->list);
	files->held = held;
	files->timer = evtimer_new(base, on_timer, files);
	if (!files->timer) {
		free(files);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = files;
	return 0;
}

void kept_files_destroy(struct kept_files *files)
{
	struct kept_file *f;

	if (!files)
		return;
	while ((f = TAILQ_FIRST(&files->list)))
		drop(files, f);
	event_free(files->timer);
	free(files);
}

static int make_name(const char *extension, char ret[KEPT_NAME_SIZE])
{
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	snprintf(ret, KEPT_NAME_SIZE, "%016llx%016llx.%.8s", (unsigned long long)random[0],
		 (unsigned long long)random[1], extension);
	return 0;
}

/* What is still being sent counts too, so that room may be missing with nothing to drop. */
static bool make_room(struct kept_files *files, size_t len)
{
	while (!TAILQ_EMPTY(&files->list) &&
	       (files->n >= LIMIT_KEPT_FILES || files->held->held + len > files->held->max))
		drop(files, TAILQ_FIRST(&files->list));
	return files->held->held + len <= files->held->max;
}

int kept_files_add(struct kept_files *files, const void *data, size_t len, const char *extension,
		   char ret[KEPT_NAME_SIZE])
{
	struct kept_file *f;
	char *copy;

	if (!make_room(files, len) || make_name(extension, ret) < 0)
		return -ENOMEM;
	f = calloc(1, sizeof(*f));
	copy = f ? malloc(len) : NULL;
	if (copy)
		memcpy(copy, data, len);
	if (!copy || !(f->bytes = upload_create(files->held, copy, len))) {
		free(f);
		return -ENOMEM;
	}
	snprintf(f->name, sizeof(f->name), "%s", ret);
	f->ends_ns = time_monotonic_ns() + LIFE_NS;
	TAILQ_INSERT_TAIL(&files->list, f, link);
	files->n++;
	set_timer(files);
	return 0;
}

static void unref_bytes(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	upload_unref(arg);
}

int kept_files_append(struct kept_files *files, const char *name, struct evbuffer *out)
{
	struct kept_file *f;

	TAILQ_FOREACH(f, &files->list, link)
		if (!strcmp(f->name, name))
			break;
	if (!f)
		return -ENOENT;
	return evbuffer_add_reference(out, f->bytes->data, f->bytes->len, unref_bytes,
				      upload_ref(f->bytes));
}
