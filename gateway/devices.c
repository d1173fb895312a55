/*
 * Asks easel-runner --devices what there is to compute on, without waiting for it: the
 * gateway itself never touches Vulkan. Owns the question until it is answered; runs on
 * the event loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/buf.h"
#include "gateway/last_words.h"
#include "gateway/process.h"
#include "gateway/runners.h"

#define OUTPUT_MAX (1u << 20)

struct question {
	struct buf out;
	struct last_words words;
	runner_devices_fn done;
	void *ctx;
};

static void on_line(void *owner, int stream, const char *line)
{
	struct question *q = owner;

	if (stream == 1) {
		buf_puts(&q->out, line);
		buf_puts(&q->out, "\n");
	} else {
		last_words_add(&q->words, line);
	}
}

static void forget(void *owner)
{
	struct question *q = owner;

	buf_finish(&q->out);
	free(q);
}

static void on_exited(void *owner, int wait_status)
{
	struct question *q = owner;
	struct err err;

	if (wait_status == 0 && q->out.data && !buf_failed(&q->out)) {
		q->done(q->ctx, q->out.data, NULL);
	} else {
		err_set(&err, -ENODEV, "the runner could not list the devices%s%s",
			last_words_any(&q->words) ? ": " : "", last_words_text(&q->words));
		q->done(q->ctx, NULL, &err);
	}
	forget(q);
}

static const struct process_handler handler = { on_line, on_exited, forget };

int runners_list_devices(struct runners *all, runner_devices_fn done, void *ctx, struct err *err)
{
	const char *const argv[] = { runners_path(all), "--devices", NULL };
	struct question *q = calloc(1, sizeof(*q));
	struct process *process;
	int r;

	if (!q)
		return err_set(err, -ENOMEM, "out of memory");
	buf_init(&q->out, OUTPUT_MAX);
	q->done = done;
	q->ctx = ctx;
	r = process_spawn(runners_processes(all), argv, -1, &handler, q, &process, err);
	if (r < 0)
		forget(q);
	return r;
}
