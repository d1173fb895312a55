/*
 * The list that follows the disk: whatever is done to a store behind its back, by easel or
 * by hand, it is what somebody sees who looks for the first time. With inotify, without it,
 * and with more changes than the kernel notes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/catalog.h"
#include "tests/temp.h"

#define LEGACY "manifests/registry.ollama.ai/library/"
#define V2 "manifests-v2/ollama.com/library/"

static bool no_inotify;                 /* what the kernel below says */

/* Instead of libc's. */
int inotify_init1(int flags)
{
	if (!no_inotify)
		return (int)syscall(SYS_inotify_init1, flags);
	errno = EMFILE;
	return -1;
}

struct place {
	char *root;
	struct store *store, *other;    /* the catalog's; whoever else writes */
	struct catalog *catalog;
	uint64_t random;
};

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	no_inotify = false;
	p->root = temp_create();
	p->random = 88172645463325252u;
	assert_int_equal(store_open(p->root, &p->store, NULL), 0);
	assert_int_equal(store_open(p->root, &p->other, NULL), 0);
	assert_int_equal(catalog_create(p->store, &p->catalog, NULL), 0);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	catalog_destroy(p->catalog);
	store_close(p->store);
	store_close(p->other);
	temp_remove(p->root);
	free(p);
	return 0;
}

static unsigned dice(struct place *p, unsigned sides)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return (unsigned)(p->random % sides);
}

/* ---- what is done to the store ---- */

static const char *const texts[] = { "a", "b:2", "b:3", "x/c", "host.example/y/d:1", "host.example/y/e" };
enum { N_NAMES = sizeof(texts) / sizeof(texts[0]), N_MODELS = 3 };

static struct model_name name_of(unsigned i)
{
	struct model_name name;

	assert_int_equal(name_parse(texts[i], &name, NULL), 0);
	return name;
}

/* A manifest of one blob; which decides which. */
static char *manifest_of(struct place *p, unsigned which, size_t *ret_len)
{
	struct manifest *m = manifest_create();
	char digest[DIGEST_SIZE], *text;

	assert_int_equal(store_blob_add(p->other, "{\"model_format\":\"safetensors\"}", 30, digest, NULL, NULL), 0);
	m->config = (struct layer){ .media_type = strdup(MEDIA_CONFIG), .size = 30 };
	memcpy(m->config.digest, digest, DIGEST_SIZE);
	assert_int_equal(store_blob_add(p->other, &"abc"[which], 1, digest, NULL, NULL), 0);
	assert_non_null(manifest_add(m, MEDIA_TENSOR, digest, 1, "c/t"));
	text = manifest_print(m, ret_len);
	manifest_free(m);
	return text;
}

static void write_tag(struct place *p)
{
	struct model_name name = name_of(dice(p, N_NAMES));
	size_t len;
	char *text = manifest_of(p, dice(p, N_MODELS), &len);

	/* A tag that is only a link shows what becomes of its blob. */
	setenv("EASEL_LEGACY_MANIFESTS", dice(p, 2) ? "1" : "0", 1);
	assert_int_equal(store_write(p->other, &name, text, len, NULL), 0);
	unsetenv("EASEL_LEGACY_MANIFESTS");
	free(text);
}

static void copy_tag(struct place *p)
{
	struct model_name from = name_of(dice(p, N_NAMES)), to = name_of(dice(p, N_NAMES));

	store_copy(p->other, &from, &to, NULL);
}

static void delete_tag(struct place *p)
{
	struct model_name name = name_of(dice(p, N_NAMES));

	store_delete(p->other, &name, NULL);
}

static void path_of(struct place *p, const char *name, char ret[512])
{
	snprintf(ret, 512, "%s/%s", p->root, name);
}

/* By hand, as another server does: only the legacy file. */
static void write_file(struct place *p)
{
	static const char *const files[] = { LEGACY "a/latest", LEGACY "new/1", "manifests/host.example/z/f/latest" };
	size_t len;
	char *text = manifest_of(p, dice(p, N_MODELS), &len);

	temp_write(p->root, files[dice(p, 3)], text, dice(p, 4) ? len : 3);
	free(text);
}

static void remove_file(struct place *p)
{
	static const char *const files[] = {
		LEGACY "a/latest", V2 "a/latest", LEGACY "new/1", V2 "b/2", "manifests/host.example/z/f/latest",
	};
	char path[512];

	path_of(p, files[dice(p, 5)], path);
	unlink(path);
}

static void move_folder(struct place *p)
{
	static const char *const folders[] = {
		LEGACY "a", LEGACY "moved", V2 "b", "manifests/host.example", "manifests/moved.example", "manifests-v2", "aside",
	};
	char from[512], to[512];

	path_of(p, folders[dice(p, 7)], from);
	path_of(p, folders[dice(p, 7)], to);
	rename(from, to);
}

/* The blob of a manifest is cut, goes, or comes back. */
static void change_blob(struct place *p)
{
	char digest[DIGEST_SIZE], name[128], path[512], *text;
	size_t len;

	text = manifest_of(p, dice(p, N_MODELS), &len);
	digest_bytes(text, len, digest);
	snprintf(name, sizeof(name), "blobs/sha256-%s", digest + 7);
	path_of(p, name, path);
	if (dice(p, 3) == 0)
		unlink(path);
	else
		temp_write(p->root, name, text, dice(p, 2) ? len : 1);
	free(text);
}

static void touch_file(struct place *p)
{
	if (temp_exists(p->root, LEGACY "a/latest"))
		temp_age(p->root, LEGACY "a/latest", (long)dice(p, 1000) - 500);
}

static void (*const deeds[])(struct place *p) = {
	write_tag, write_tag, write_tag, copy_tag, delete_tag, delete_tag, write_file, write_file, remove_file,
	move_folder, change_blob, touch_file,
};

/* ---- what must be seen ---- */

/* The same list, and the same names, as who looks for the first time. */
static void expect_current(struct place *p)
{
	const struct catalog_entry *const *got, *const *want;
	struct catalog *fresh;
	struct model_name name, one, two;
	size_t n_got, n_want;

	assert_int_equal(catalog_create(p->other, &fresh, NULL), 0);
	assert_int_equal(catalog_list(fresh, &want, &n_want, NULL), 0);
	assert_int_equal(catalog_list(p->catalog, &got, &n_got, NULL), 0);
	assert_int_equal(n_got, n_want);
	for (size_t i = 0; i < n_got; i++) {
		assert_string_equal(got[i]->listed, want[i]->listed);
		assert_string_equal(got[i]->short_name, want[i]->short_name);
	}
	for (unsigned i = 0; i < N_NAMES; i++) {
		name = name_of(i);
		name.model[0] ^= 0x20;
		assert_int_equal(catalog_resolve(p->catalog, &name, &one, NULL), 0);
		assert_int_equal(store_resolve(p->other, &name, &two, NULL), 0);
		assert_memory_equal(one.host, two.host, strlen(two.host) + 1);
		assert_memory_equal(one.model, two.model, strlen(two.model) + 1);
		assert_memory_equal(one.tag, two.tag, strlen(two.tag) + 1);
	}
	catalog_destroy(fresh);
}

static void do_things(struct place *p, int rounds)
{
	expect_current(p);
	for (int i = 0; i < rounds; i++) {
		for (unsigned k = dice(p, 3); k < 3; k++)
			deeds[dice(p, sizeof(deeds) / sizeof(deeds[0]))](p);
		/* What may be moved away must be there for the next deed. */
		temp_write(p->root, "manifests/.keep", "", 0);
		expect_current(p);
	}
}

static void test_watched(void **state)
{
	do_things(*state, 120);
}

static void test_unwatched(void **state)
{
	no_inotify = true;
	do_things(*state, 40);
}

/* The kernel's notes are full: everything is looked at. */
static void test_overflow(void **state)
{
	struct place *p = *state;
	char path[512], other[512];

	write_tag(p);
	expect_current(p);
	path_of(p, LEGACY "x", path);
	path_of(p, LEGACY "y", other);
	temp_write(p->root, LEGACY "x", "", 0);
	for (int i = 0; i < 40000; i++)
		assert_int_equal(rename(i % 2 ? other : path, i % 2 ? path : other), 0);
	assert_int_equal(unlink(path), 0);
	write_tag(p);
	delete_tag(p);
	expect_current(p);
	do_things(p, 10);
}

/* Nothing changed: the same list, not one made anew. */
static void test_kept(void **state)
{
	struct place *p = *state;
	const struct catalog_entry *const *first, *const *second;
	size_t n;

	write_tag(p);
	assert_int_equal(catalog_list(p->catalog, &first, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(catalog_list(p->catalog, &second, &n, NULL), 0);
	assert_ptr_equal(first, second);
}

static void open_others(struct place *p)
{
	store_close(p->other);
	assert_int_equal(store_open(p->root, &p->other, NULL), 0);
}

/* The whole models directory is moved away, and later there again. */
static void test_other_root(void **state)
{
	struct place *p = *state;
	const struct catalog_entry *const *list;
	char *aside = malloc(512);
	size_t n;

	write_tag(p);
	expect_current(p);
	snprintf(aside, 512, "%s-aside", p->root);
	assert_int_equal(rename(p->root, aside), 0);
	assert_int_equal(catalog_list(p->catalog, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	open_others(p);
	write_tag(p);
	expect_current(p);
	write_tag(p);
	expect_current(p);
	temp_remove(aside);
	expect_current(p);
}

/* A folder of tags that is a link, there before or made later. */
static void test_linked_folders(void **state)
{
	struct place *p = *state;
	char from[512], to[512];
	size_t len;
	char *text = manifest_of(p, 0, &len);

	temp_write(p->root, "elsewhere/f/one", text, len);
	temp_write(p->root, "elsewhere/f/two", text, len);
	path_of(p, "elsewhere", to);
	for (int i = 0; i < 2; i++) {
		if (i)                          /* is watched by then */
			expect_current(p);
		temp_write(p->root, "manifests/host.example/.keep", "", 0);
		path_of(p, "manifests/host.example/linked", from);
		assert_int_equal(symlink(to, from), 0);
		expect_current(p);
		temp_write(p->root, "elsewhere/f/three", text, len);
		expect_current(p);
		assert_int_equal(unlink(from), 0);
		expect_current(p);
		catalog_destroy(p->catalog);
		assert_int_equal(catalog_create(p->store, &p->catalog, NULL), 0);
		path_of(p, "elsewhere/f/three", from);
		assert_int_equal(unlink(from), 0);
	}
	free(text);
}

/* A manifest's blob comes back as a link. */
static void test_linked_blob(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], name[128], path[512], kept[512];
	struct model_name model = name_of(0);
	size_t len;
	char *text = manifest_of(p, 0, &len);

	setenv("EASEL_LEGACY_MANIFESTS", "0", 1);
	assert_int_equal(store_write(p->other, &model, text, len, NULL), 0);
	unsetenv("EASEL_LEGACY_MANIFESTS");
	digest_bytes(text, len, digest);
	snprintf(name, sizeof(name), "blobs/sha256-%s", digest + 7);
	path_of(p, name, path);
	path_of(p, "kept", kept);
	expect_current(p);
	assert_int_equal(rename(path, kept), 0);
	expect_current(p);
	assert_int_equal(link(kept, path), 0);
	expect_current(p);
	free(text);
}

/* What cannot be looked at for now is looked at the next time. */
static void test_few_descriptors(void **state)
{
	struct place *p = *state;
	const struct catalog_entry *const *list;
	struct rlimit old, low;
	const int first = dup(0);
	size_t n;

	close(first);
	write_tag(p);
	write_tag(p);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	for (unsigned more = 0; more < 10; more++) {
		catalog_destroy(p->catalog);
		assert_int_equal(catalog_create(p->store, &p->catalog, NULL), 0);
		low.rlim_cur = (rlim_t)first + more;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		(void)catalog_list(p->catalog, &list, &n, NULL);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		expect_current(p);
		write_tag(p);
		low.rlim_cur = (rlim_t)first + more;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		(void)catalog_list(p->catalog, &list, &n, NULL);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		expect_current(p);
	}
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(test_watched), PLACE_TEST(test_unwatched), PLACE_TEST(test_overflow), PLACE_TEST(test_kept),
		PLACE_TEST(test_other_root), PLACE_TEST(test_linked_folders), PLACE_TEST(test_linked_blob),
		PLACE_TEST(test_few_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
