/*
 * The list of models and what is kept of it. Owns its entries, one for each readable name
 * that was there last time; runs on the event loop, blocks on small files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/models.h"

/* Younger than this, a file may change again without its times telling. */
#define SETTLED_NS INT64_C(1000000000)
#define N_OPENED 4u                     /* manifests kept whole: those that are drawn with */

struct kept {
	struct catalog_entry entry;
	struct store_stamp stamp;       /* newest_ns 0: read it again */
};

/* One whole manifest. */
struct opened {
	struct model_name name;
	struct store_stamp stamp;
	struct manifest *manifest;      /* NULL: a free place */
};

struct catalog {
	struct store *store;
	struct kept *kept;              /* sorted by name */
	size_t n;
	struct opened opened[N_OPENED];
	size_t next;                    /* the place that is given away next */
};

int catalog_create(struct store *store, struct catalog **ret, struct err *err)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->store = store;
	*ret = c;
	return 0;
}

static void entry_clear(struct catalog_entry *e)
{
	json_decref(e->details);
	json_decref(e->capabilities);
	*e = (struct catalog_entry){ 0 };
}

static void forget(struct catalog *c)
{
	for (size_t i = 0; i < c->n; i++)
		entry_clear(&c->kept[i].entry);
	free(c->kept);
	c->kept = NULL;
	c->n = 0;
}

void catalog_destroy(struct catalog *c)
{
	if (!c)
		return;
	forget(c);
	for (size_t i = 0; i < N_OPENED; i++)
		manifest_free(c->opened[i].manifest);
	free(c);
}

struct store *catalog_store(struct catalog *c)
{
	return c->store;
}

static bool is_settled(const struct store_stamp *stamp)
{
	return time_now_ns() - stamp->newest_ns >= SETTLED_NS;
}

/* Where a manifest of that name is kept, true or not; else the next place. */
static struct opened *find_place(struct catalog *c, const struct model_name *name)
{
	for (size_t i = 0; i < N_OPENED; i++)
		if (c->opened[i].manifest && name_equal(&c->opened[i].name, name))
			return &c->opened[i];
	return &c->opened[c->next++ % N_OPENED];
}

int catalog_read(struct catalog *c, const struct model_name *name, struct manifest **ret,
		 struct err *err)
{
	struct opened *place = find_place(c, name);
	struct store_stamp stamp;
	int r;

	store_stamp(c->store, name, &stamp);
	if (place->manifest && name_equal(&place->name, name) &&
	    !memcmp(&place->stamp, &stamp, sizeof(stamp))) {
		*ret = manifest_share(place->manifest);
		return 0;
	}
	r = store_read(c->store, name, ret, err);
	if (r < 0 || !is_settled(&stamp))
		return r;
	manifest_free(place->manifest);
	*place = (struct opened){ *name, stamp, manifest_share(*ret) };
	return 0;
}

/* Moves out what is kept of that name if it is still true; *at is where to look first. */
static bool take_kept(struct catalog *c, const struct model_name *name,
		      const struct store_stamp *stamp, size_t *at, struct catalog_entry *ret)
{
	for (size_t i = *at; i < c->n; i++) {
		struct kept *k = &c->kept[i];

		if (!name_equal(&k->entry.name, name))
			continue;
		*at = i + 1;
		if (!k->entry.details || !k->stamp.newest_ns ||
		    memcmp(&k->stamp, stamp, sizeof(*stamp)) != 0)
			return false;
		*ret = k->entry;
		k->entry = (struct catalog_entry){ 0 };
		return true;
	}
	return false;
}

static int read_entry(struct catalog *c, const struct model_name *name, struct catalog_entry *ret,
		      struct err *err)
{
	struct manifest *m;
	struct model_card card;
	int r = store_read(c->store, name, &m, err);

	if (r < 0)
		return r;
	r = model_card_read(c->store, m, &card, err);
	if (r == 0) {
		*ret = (struct catalog_entry){
			.name = *name,
			.mtime_ns = m->mtime_ns,
			.size = manifest_size(m),
			.details = model_details(&card),
			.capabilities = json_array_size(card.capabilities) ?
					json_incref(card.capabilities) : NULL,
		};
		memcpy(ret->digest, m->digest, sizeof(ret->digest));
		model_card_clear(&card);
	}
	manifest_free(m);
	return r;
}

/* True when the name belongs into the list. */
static bool look(struct catalog *c, const struct model_name *name, size_t *at, struct kept *ret)
{
	struct err err;

	store_stamp(c->store, name, &ret->stamp);
	if (take_kept(c, name, &ret->stamp, at, &ret->entry))
		return true;
	if (read_entry(c, name, &ret->entry, &err) < 0) {
		log_warn("left out of the list: %s/%s: %s", name->model, name->tag, err.text);
		return false;
	}
	if (!is_settled(&ret->stamp))
		ret->stamp.newest_ns = 0;
	return true;
}

static int refresh(struct catalog *c, struct err *err)
{
	struct kept *kept;
	struct model_name *names;
	size_t n, at = 0, n_kept = 0;
	int r = store_names(c->store, &names, &n, err);

	if (r < 0)
		return r;
	kept = calloc(n + 1, sizeof(*kept));
	if (!kept) {
		free(names);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < n; i++)
		n_kept += look(c, &names[i], &at, &kept[n_kept]);
	free(names);
	forget(c);
	c->kept = kept;
	c->n = n_kept;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct catalog_entry *x = *(const struct catalog_entry *const *)a;
	const struct catalog_entry *y = *(const struct catalog_entry *const *)b;
	int64_t xs = x->mtime_ns / 1000000000, ys = y->mtime_ns / 1000000000;
	char xt[NAME_TEXT_SIZE], yt[NAME_TEXT_SIZE];

	if (xs != ys)
		return xs > ys ? -1 : 1;
	name_short(&x->name, xt);
	name_short(&y->name, yt);
	return strcmp(xt, yt);
}

int catalog_list(struct catalog *c, const struct catalog_entry ***ret, size_t *ret_n,
		 struct err *err)
{
	const struct catalog_entry **list;
	int r = refresh(c, err);

	if (r < 0)
		return r;
	list = calloc(c->n + 1, sizeof(*list));
	if (!list)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->n; i++)
		list[i] = &c->kept[i].entry;
	qsort(list, c->n, sizeof(*list), newest_first);
	*ret = list;
	*ret_n = c->n;
	return 0;
}
