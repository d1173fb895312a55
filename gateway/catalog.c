/*
 * The list of models and what is kept of it. Owns its entries, one for each name that was
 * there last time, the broken ones too; runs on the event loop, blocks on small files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/models.h"
#include "gateway/tag_watch.h"

/* Younger than this, a file may change again without its times telling. */
#define SETTLED_NS INT64_C(1000000000)
#define WATCH_AGAIN_NS (60 * INT64_C(1000000000))       /* after it could not be */
#define N_OPENED 4u                     /* manifests kept whole: those that are drawn with */

struct kept {
	struct catalog_entry entry;     /* listed NULL: broken */
	struct store_stamp stamp;       /* newest_ns 0: read it again */
	bool again;                     /* it could not be read for now: the disk will not tell when it can */
};

/* One whole manifest. */
struct opened {
	struct model_name name;
	struct store_stamp stamp;
	struct manifest *manifest;      /* NULL: a free place */
};

struct catalog {
	struct store *store;
	struct tag_watch *watch;        /* NULL: cannot be, or not yet */
	int64_t watch_ns;               /* when that may be tried, by the monotonic clock */
	struct kept **kept;             /* sorted by name */
	size_t n;
	const struct catalog_entry **list;      /* of the readable ones, newest first; NULL: to be made */
	size_t n_list;
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
	free(e->short_name);
	free(e->listed);
	e->short_name = e->listed = NULL;
}

static void kept_free(struct kept *k)
{
	if (k)
		entry_clear(&k->entry);
	free(k);
}

static void forget_list(struct catalog *c)
{
	free(c->list);
	c->list = NULL;
}

void catalog_destroy(struct catalog *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		kept_free(c->kept[i]);
	for (size_t i = 0; i < N_OPENED; i++)
		manifest_free(c->opened[i].manifest);
	tag_watch_close(c->watch);
	forget_list(c);
	free(c->kept);
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

/* ---- whole manifests ---- */

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

/* ---- one entry ---- */

static json_t *describe(const struct catalog_entry *e, const struct model_card *card)
{
	char modified[TIME_TEXT_SIZE];
	json_t *object = json_object();

	time_format(e->mtime_ns, false, modified);
	json_object_set_new(object, "name", json_string(e->short_name));
	json_object_set_new(object, "model", json_string(e->short_name));
	json_object_set_new(object, "modified_at", json_string(modified));
	json_object_set_new(object, "size", json_integer((json_int_t)e->size));
	json_object_set_new(object, "digest", json_string(model_hex(e->digest)));
	json_object_set_new(object, "details", model_details(card));
	if (json_array_size(card->capabilities))
		json_object_set(object, "capabilities", card->capabilities);
	return object;
}

static int read_manifest(struct catalog *c, struct catalog_entry *e, const struct manifest *m, struct err *err)
{
	struct model_card card;
	json_t *object;
	int r = model_card_read(c->store, m, &card, err);

	if (r < 0)
		return r;
	memcpy(e->digest, m->digest, sizeof(e->digest));
	e->mtime_ns = m->mtime_ns;
	e->size = manifest_size(m);
	object = describe(e, &card);
	e->listed = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	model_card_clear(&card);
	return e->listed ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Reads a tag; broken it stays without an object. */
static void read_entry(struct catalog *c, struct kept *k)
{
	char text[NAME_TEXT_SIZE];
	struct manifest *m;
	struct err err;
	int r = store_read(c->store, &k->entry.name, &m, &err);

	entry_clear(&k->entry);
	k->entry.digest[0] = '\0';
	name_short(&k->entry.name, text);
	k->entry.short_name = strdup(text);
	if (r == 0) {
		r = k->entry.short_name ? read_manifest(c, &k->entry, m, &err) :
		    err_set(&err, -ENOMEM, "out of memory");
		manifest_free(m);
	}
	if (r < 0)
		log_warn("left out of the list: %s: %s", text, err.text);
	k->again = r < 0 && r != -EBADMSG && r != -ENOENT && r != -EACCES;
	if (r < 0 || !is_settled(&k->stamp))
		k->stamp.newest_ns = 0;
}

/* Looks at a tag's files, and reads those that are not what they were. */
static void look(struct catalog *c, struct kept *k)
{
	struct store_stamp stamp;

	store_stamp(c->store, &k->entry.name, &stamp);
	if (k->entry.listed && k->stamp.newest_ns && !memcmp(&k->stamp, &stamp, sizeof(stamp)))
		return;
	k->stamp = stamp;
	read_entry(c, k);
	forget_list(c);
}

static struct kept *make_kept(const struct model_name *name)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (k)
		k->entry.name = *name;
	return k;
}

/* ---- all of them ---- */

/* Takes the entry of that name out of the old ones, which are sorted as the names are; *at is where to look. */
static struct kept *take(struct kept **old, size_t n_old, size_t *at, const struct model_name *name)
{
	while (*at < n_old) {
		struct kept *k = old[*at];
		int order = name_order(&k->entry.name, name);

		if (order > 0)
			return NULL;
		++*at;
		if (order == 0) {
			old[*at - 1] = NULL;
			return k;
		}
	}
	return NULL;
}

/* The names of the disk, each looked at. */
static int look_at_all(struct catalog *c, struct err *err)
{
	struct kept **kept;
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
	for (size_t i = 0; i < n; i++) {
		struct kept *k = take(c->kept, c->n, &at, &names[i]);

		if (!k)
			k = make_kept(&names[i]);
		if (!k) {
			r = err_set(err, -ENOMEM, "out of memory");
			break;
		}
		kept[n_kept++] = k;
		look(c, k);
	}
	free(names);
	for (size_t i = 0; i < c->n; i++)
		if (c->kept[i])
			forget_list(c);
	for (size_t i = 0; i < c->n; i++)
		kept_free(c->kept[i]);
	free(c->kept);
	c->kept = kept;
	c->n = n_kept;
	return r;
}

/* ---- what changed ---- */

/* Where a name is, or belongs. */
static size_t place_of(const struct catalog *c, const struct model_name *name, bool *ret_there)
{
	size_t low = 0, high = c->n;

	*ret_there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = name_order(&c->kept[middle]->entry.name, name);

		if (order == 0)
			*ret_there = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int insert(struct catalog *c, size_t at, const struct model_name *name)
{
	struct kept **more = reallocarray(c->kept, c->n + 1, sizeof(*more));
	struct kept *k = make_kept(name);

	if (more)
		c->kept = more;
	if (!more || !k) {
		free(k);
		return -ENOMEM;
	}
	memmove(&c->kept[at + 1], &c->kept[at], (c->n - at) * sizeof(*more));
	c->kept[at] = k;
	c->n++;
	return 0;
}

static void remove_at(struct catalog *c, size_t at)
{
	kept_free(c->kept[at]);
	c->n--;
	memmove(&c->kept[at], &c->kept[at + 1], (c->n - at) * sizeof(*c->kept));
	forget_list(c);
}

static int update(struct catalog *c, const struct model_name *name)
{
	bool there, exists = store_has(c->store, name);
	size_t at = place_of(c, name, &there);

	if (exists && !there && insert(c, at, name) < 0)
		return -ENOMEM;
	if (exists) {
		c->kept[at]->stamp.newest_ns = 0;
		look(c, c->kept[at]);
	} else if (there) {
		remove_at(c, at);
	}
	return 0;
}

static int by_digest(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Tags whose manifest's blob changed, and those that could not be read: what they lacked may be there now. */
static void look_at_blobs(struct catalog *c, struct tag_changes *changes)
{
	if (!changes->n_digests)
		return;
	qsort(changes->digests, changes->n_digests, DIGEST_SIZE, by_digest);
	for (size_t i = 0; i < c->n; i++) {
		struct kept *k = c->kept[i];

		if (k->entry.listed &&
		    !bsearch(k->entry.digest, changes->digests, changes->n_digests, DIGEST_SIZE, by_digest))
			continue;
		k->stamp.newest_ns = 0;
		look(c, k);
	}
}

static void look_again(struct catalog *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->kept[i]->again)
			look(c, c->kept[i]);
}

static int look_at_changes(struct catalog *c, struct tag_changes *changes)
{
	int r = 0;

	look_again(c);
	look_at_blobs(c, changes);
	if (changes->n_names)
		qsort(changes->names, changes->n_names, sizeof(*changes->names), name_order);
	for (size_t i = 0; i < changes->n_names && r == 0; i++)
		if (i == 0 || name_order(&changes->names[i - 1], &changes->names[i]))
			r = update(c, &changes->names[i]);
	return r;
}

static bool is_unwatched(const struct catalog *c)
{
	return !c->watch && time_monotonic_ns() < c->watch_ns;
}

static void unwatch(struct catalog *c)
{
	tag_watch_close(c->watch);
	c->watch = NULL;
}

static void watch_anew(struct catalog *c)
{
	if (is_unwatched(c))
		return;
	unwatch(c);
	c->watch = tag_watch_open(store_root(c->store));
	if (!c->watch)
		c->watch_ns = time_monotonic_ns() + WATCH_AGAIN_NS;
}

static int refresh(struct catalog *c, struct err *err)
{
	struct tag_changes changes = { 0 };
	bool all = !c->watch || !tag_watch_poll(c->watch, &changes) || look_at_changes(c, &changes) < 0;
	int r;

	tag_changes_clear(&changes);
	if (!all)
		return 0;
	watch_anew(c);                  /* before the disk is looked at, so that nothing is missed */
	r = look_at_all(c, err);
	if (r < 0)
		unwatch(c);             /* what was not seen is not told again */
	return r;
}

/* ---- names ---- */

static const struct model_name *name_at(const void *context, size_t i)
{
	const struct catalog *c = context;

	return &c->kept[i]->entry.name;
}

int catalog_resolve(struct catalog *c, const struct model_name *name, struct model_name *ret, struct err *err)
{
	int r = 0;

	if (is_unwatched(c) || store_has(c->store, name))
		return store_resolve(c->store, name, ret, err);
	r = refresh(c, err);
	if (r == 0)
		store_resolve_among(name, name_at, c, c->n, ret);
	return r;
}

/* ---- the list ---- */

static int newest_first(const void *a, const void *b)
{
	const struct catalog_entry *x = *(const struct catalog_entry *const *)a;
	const struct catalog_entry *y = *(const struct catalog_entry *const *)b;
	int64_t xs = x->mtime_ns / 1000000000, ys = y->mtime_ns / 1000000000;

	if (xs != ys)
		return xs > ys ? -1 : 1;
	return strcmp(x->short_name, y->short_name);
}

static int make_list(struct catalog *c, struct err *err)
{
	if (c->list)
		return 0;
	c->list = calloc(c->n + 1, sizeof(*c->list));
	if (!c->list)
		return err_set(err, -ENOMEM, "out of memory");
	c->n_list = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->kept[i]->entry.listed)
			c->list[c->n_list++] = &c->kept[i]->entry;
	if (c->n_list)
		qsort(c->list, c->n_list, sizeof(*c->list), newest_first);
	return 0;
}

int catalog_list(struct catalog *c, const struct catalog_entry *const **ret, size_t *ret_n,
		 struct err *err)
{
	int r = refresh(c, err);

	if (r == 0)
		r = make_list(c, err);
	if (r < 0)
		return r;
	*ret = c->list;
	*ret_n = c->n_list;
	return 0;
}
