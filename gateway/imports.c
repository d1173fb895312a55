/*
 * Creating models: one helper process each, told what to make, listened to, ended.
 * Owns the imports until their processes are gone; runs on the event loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "gateway/imports.h"
#include "gateway/pool.h"

struct import {
	LIST_ENTRY(import) link;
	struct imports *all;
	struct runner *runner;
	const struct import_handler *handler;   /* NULL: nobody listens any more */
	void *owner;
	struct model_name name;
	char short_name[NAME_TEXT_SIZE];
	struct msg_import order;                /* sent after the greeting; strings are owned */
};

struct imports {
	struct gateway *gw;
	LIST_HEAD(, import) list;
};

int imports_create(struct gateway *gw, struct imports **ret, struct err *err)
{
	struct imports *all = calloc(1, sizeof(*all));

	if (!all)
		return err_set(err, -ENOMEM, "out of memory");
	all->gw = gw;
	LIST_INIT(&all->list);
	*ret = all;
	return 0;
}

static void import_free(struct import *i)
{
	struct msg_import *o = &i->order;
	char *const texts[] = { o->directory, o->from, o->quantize, o->system, o->template,
			       o->requires };

	for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++)
		free(texts[n]);
	json_decref(o->files);
	json_decref(o->parameters);
	json_decref(o->licenses);
	json_decref(o->info);
	free(i);
}

void imports_destroy(struct imports *all)
{
	struct import *i;

	if (!all)
		return;
	while ((i = LIST_FIRST(&all->list))) {
		LIST_REMOVE(i, link);
		import_free(i);
	}
	free(all);
}

/* Says the outcome once. */
static void finish(struct import *i, const struct err *err)
{
	const struct import_handler *handler = i->handler;

	i->handler = NULL;
	if (handler)
		handler->done(i->owner, err);
}

static void on_imported(struct import *i, const struct msg_imported *m)
{
	if (i->order.verify) {
		log_info("verified %s: %llu blobs", i->short_name, (unsigned long long)m->layers);
		finish(i, NULL);
		return;
	}
	log_info("created %s with %llu layers", i->short_name, (unsigned long long)m->layers);
	/* What the name meant before leaves memory when it is idle. */
	pool_unload(i->all->gw->pool, NULL, i->short_name, m->digest);
	finish(i, NULL);
}

static void on_failed(struct import *i, const struct msg_failed *m)
{
	struct err err;

	err_set(&err, msg_failed_code(m->code), "%s", m->text);
	finish(i, &err);
}

static void on_message(void *owner, const struct msg *m)
{
	struct import *i = owner;

	switch (m->type) {
	case MSG_HELLO: {
		struct msg order = { .type = MSG_IMPORT, .import = i->order };

		if (runner_send(i->runner, &order) == -ENOMEM)
			runner_kill(i->runner, "out of memory while sending an order");
		return;
	}
	case MSG_STATUS:
		if (i->handler)
			i->handler->status(i->owner, &m->status);
		return;
	case MSG_IMPORTED:
		on_imported(i, &m->imported);
		break;
	case MSG_FAILED:
		on_failed(i, &m->failed);
		break;
	default:
		return;
	}
	runner_stop(i->runner);
}

static void on_image(void *owner, const void *png, size_t len)
{
	(void)owner;
	(void)png;
	(void)len;
}

static void on_exited(void *owner, const struct err *err)
{
	struct import *i = owner;

	LIST_REMOVE(i, link);
	finish(i, err);
	import_free(i);
}

static const struct runner_handler runner_handler = { on_message, on_image, on_exited };

void import_cancel(struct import *i)
{
	i->handler = NULL;
	runner_stop(i->runner);
}

static char *copy(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

static struct import *import_create(struct imports *all, const struct model_name *name,
				    const char *directory, const struct create_body *b)
{
	struct import *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->all = all;
	i->name = *name;
	name_short(name, i->short_name);
	i->order = (struct msg_import){
		.root = (char *)(uintptr_t)store_root(all->gw->store),
		.model = i->short_name,
		.directory = copy(directory),
		.files = json_object_size(b->files) ? json_incref(b->files) : NULL,
		.from = directory ? NULL : copy(b->from),
		.quantize = copy(b->quantize),
		.parameters = json_incref(b->parameters),
		.licenses = json_incref(b->licenses),
		.info = json_incref(b->info),
		.system = copy(b->system),
		.template = copy(b->template),
		.requires = copy(b->requires),
		.verify = b->verify,
	};
	return i;
}

static bool is_being_created(const struct imports *all, const struct model_name *name)
{
	const struct import *i;

	/* One that has told its outcome, or whose client left, only has to go. */
	LIST_FOREACH(i, &all->list, link)
		if (i->handler && name_equal(&i->name, name))
			return true;
	return false;
}

int import_start(struct imports *all, const struct model_name *name, const char *directory,
		 const struct create_body *b, const struct import_handler *handler, void *owner,
		 struct import **ret, struct err *err)
{
	char text[NAME_TEXT_SIZE];
	struct import *i;
	int r;

	name_short(name, text);
	if (is_being_created(all, name))
		return err_set(err, -EBUSY, "model '%.400s' is being created by another request",
			       text);
	i = import_create(all, name, directory, b);
	if (!i)
		return err_set(err, -ENOMEM, "out of memory");
	i->handler = handler;
	i->owner = owner;
	r = runner_spawn(all->gw->runners, RUNNER_IMPORT, i->short_name, INT64_MAX, &runner_handler,
			 i, &i->runner, err);
	if (r < 0) {
		import_free(i);
		/* A missing binary is not a missing model. */
		return err->code = -EIO;
	}
	LIST_INSERT_HEAD(&all->list, i, link);
	*ret = i;
	return 0;
}
