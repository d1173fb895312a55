/*
 * The store: blobs, tags in both trees, names that differ in case, freeing of blobs,
 * and the store that the reference wrote.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/temp.h"

#define LEGACY "manifests/registry.ollama.ai/library/"
#define V2 "manifests-v2/ollama.com/library/"

struct place {
	char *root;
	struct store *store;
};

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	assert_non_null(p);
	p->root = temp_create();
	assert_int_equal(store_open(p->root, &p->store, NULL), 0);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	store_close(p->store);
	temp_remove(p->root);
	free(p);
	return 0;
}

static struct model_name named(const char *text)
{
	struct model_name name;

	assert_int_equal(name_parse(text, &name, NULL), 0);
	return name;
}

/* The file of a blob, relative to the root. */
static const char *blob_file(const char *digest)
{
	static char name[128];

	snprintf(name, sizeof name, "blobs/sha256-%s", digest + 7);
	return name;
}

/* Writes a model of one layer per word and a config; returns the manifest's digest in ret. */
static void put(struct place *p, const char *tag, const char *words, char ret[DIGEST_SIZE])
{
	struct manifest *m = manifest_create();
	struct model_name name = named(tag);
	char digest[DIGEST_SIZE], *text;
	size_t len;

	assert_int_equal(store_blob_add(p->store, "{}", 2, digest, NULL, NULL), 0);
	m->config = (struct layer){ .media_type = strdup(MEDIA_CONFIG), .size = 2 };
	memcpy(m->config.digest, digest, DIGEST_SIZE);
	for (; *words; words++) {
		assert_int_equal(store_blob_add(p->store, words, 1, digest, NULL, NULL), 0);
		assert_non_null(manifest_add(m, MEDIA_TENSOR, digest, 1, "c/t"));
	}
	text = manifest_print(m, &len);
	digest_bytes(text, len, ret);
	assert_int_equal(store_write(p->store, &name, text, len, NULL), 0);
	free(text);
	manifest_free(m);
}

static int read_tag(struct place *p, const char *tag, char ret[DIGEST_SIZE], struct err *err)
{
	struct model_name name = named(tag);
	struct manifest *m;
	int r = store_read(p->store, &name, &m, err);

	if (r < 0)
		return r;
	memcpy(ret, m->digest, DIGEST_SIZE);
	assert_true(m->mtime_ns > 0);
	manifest_free(m);
	return 0;
}

static void expect_tag(struct place *p, const char *tag, const char *digest)
{
	char got[DIGEST_SIZE] = "";
	struct err err = { 0 };

	if (read_tag(p, tag, got, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got, digest);
}

static bool has_word(struct place *p, const char *word)
{
	char digest[DIGEST_SIZE];

	digest_bytes(word, 1, digest);
	return temp_exists(p->root, blob_file(digest));
}

static void test_blobs(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], *text;
	struct blob_writer *w;
	struct stat st;
	uint64_t size;
	size_t len;
	bool added;
	int fd;

	assert_int_equal(blob_writer_begin(p->store, &w, NULL), 0);
	assert_int_equal(temp_count(p->root, "blobs"), 1);
	blob_writer_abort(w);
	blob_writer_abort(NULL);
	assert_int_equal(temp_count(p->root, "blobs"), 0);

	assert_int_equal(store_blob_add(p->store, "abc", 3, digest, &added, NULL), 0);
	assert_true(added);
	assert_string_equal(digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	temp_age(p->root, blob_file(digest), 7200);
	assert_int_equal(store_blob_add(p->store, "abc", 3, digest, &added, NULL), 0);
	assert_false(added);
	assert_int_equal(temp_count(p->root, "blobs"), 1);

	/* A blob found again is young again, which protects it from the sweep. */
	fd = store_blob_open(p->store, digest, NULL);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_true(time(NULL) - st.st_mtime < 3600);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(store_blob_stat(p->store, digest, &size, NULL), 0);
	assert_int_equal(size, 3);
	assert_int_equal(store_blob_read(p->store, digest, 3, &text, &len, NULL), 0);
	assert_string_equal(text, "abc");
	free(text);
	assert_true(store_blob_read(p->store, digest, 2, &text, &len, NULL) < 0);
}

static void test_missing_blob(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], target[512], path[512];
	struct err err;

	digest_bytes("x", 1, digest);
	assert_int_equal(store_blob_open(p->store, digest, &err), -ENOENT);
	assert_non_null(strstr(err.text, digest));
	/* A link is no blob, wherever it points. */
	snprintf(target, sizeof target, "%s/file", p->root);
	snprintf(path, sizeof path, "%s/%s", p->root, blob_file(digest));
	temp_write(p->root, "file", "x", 1);
	assert_int_equal(symlink(target, path), 0);
	assert_true(store_blob_open(p->store, digest, &err) < 0);
}

static void test_tag_forms(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], target[256] = "", path[512];

	put(p, "m", "ab", digest);
	expect_tag(p, "m", digest);
	expect_tag(p, "ollama.com/library/m", digest);
	assert_true(temp_exists(p->root, LEGACY "m/latest"));
	snprintf(path, sizeof path, "%s/" V2 "m/latest", p->root);
	assert_true(readlink(path, target, sizeof target - 1) > 0);
	snprintf(path, sizeof path, "../../../../%s", blob_file(digest));
	assert_string_equal(target, path);
	assert_int_equal(temp_count(p->root, V2 "m"), 1);
	assert_int_equal(temp_count(p->root, LEGACY "m"), 1);
}

static void test_legacy_only(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512];

	/* What a server that knows only the legacy tree leaves: no link, or a dangling one. */
	put(p, "m", "ab", digest);
	snprintf(path, sizeof path, "%s/%s", p->root, blob_file(digest));
	assert_int_equal(unlink(path), 0);
	expect_tag(p, "m", digest);
	snprintf(path, sizeof path, "%s/" V2 "m/latest", p->root);
	assert_int_equal(unlink(path), 0);
	expect_tag(p, "m", digest);
	assert_int_equal(setenv("EASEL_LEGACY_MANIFESTS", "0", 1), 0);
	put(p, "m", "ab", digest);
	unsetenv("EASEL_LEGACY_MANIFESTS");
	assert_false(temp_exists(p->root, LEGACY "m/latest"));
	expect_tag(p, "m", digest);
}

static void test_later_tree_wins(void **state)
{
	struct place *p = *state;
	char first[DIGEST_SIZE], second[DIGEST_SIZE], *bytes;
	size_t len;

	put(p, "m", "ab", first);
	put(p, "other", "cd", second);
	assert_int_equal(store_blob_read(p->store, second, 1 << 20, &bytes, &len, NULL), 0);
	temp_write(p->root, LEGACY "m/latest", bytes, len);
	free(bytes);
	temp_age(p->root, V2 "m/latest", 60);
	expect_tag(p, "m", second);
	temp_age(p->root, LEGACY "m/latest", 120);
	expect_tag(p, "m", first);
}

static void test_damaged(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], got[DIGEST_SIZE];
	struct model_name name = named("m");
	struct manifest *m;
	struct err err;

	assert_int_equal(store_read(p->store, &name, &m, &err), -ENOENT);
	assert_string_equal(err.text, "model 'm:latest' not found");
	put(p, "m", "ab", digest);
	temp_write(p->root, LEGACY "m/latest", "{", 1);
	temp_age(p->root, LEGACY "m/latest", 60);
	expect_tag(p, "m", digest);                     /* the good one of two */
	temp_write(p->root, blob_file(digest), "{}", 2);
	assert_int_equal(read_tag(p, "m", got, &err), -EBADMSG);
	put(p, "m", "ab", digest);                      /* writing repairs both */
	expect_tag(p, "m", digest);
	assert_int_equal(store_write(p->store, &name, "{", 1, &err), -EBADMSG);
	expect_tag(p, "m", digest);
	assert_int_equal(store_delete(p->store, &name, &err), 0);
	temp_write(p->root, LEGACY "m/latest", "{", 1);
	assert_int_equal(store_delete(p->store, &name, &err), 0);
	assert_int_equal(store_delete(p->store, &name, &err), -ENOENT);
}

static void test_foreign_link(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512], got[DIGEST_SIZE];
	struct err err;

	put(p, "m", "ab", digest);
	snprintf(path, sizeof path, "%s/" LEGACY "m/latest", p->root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof path, "%s/" V2 "m/latest", p->root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(read_tag(p, "m", got, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "is not a sha256 blob"));
}

static void resolve_to(struct place *p, const char *text, const char *want)
{
	struct model_name name = named(text), got;
	char shown[NAME_TEXT_SIZE];

	assert_int_equal(store_resolve(p->store, &name, &got, NULL), 0);
	name_short(&got, shown);
	assert_string_equal(shown, want);
}

static void test_case(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512];

	put(p, "Ns/Model:Tag", "a", digest);
	resolve_to(p, "Ns/Model:Tag", "Ns/Model:Tag");
	resolve_to(p, "nS/mODEL:tAG", "Ns/Model:Tag");
	resolve_to(p, "ns/MODEL:new", "Ns/Model:new");
	resolve_to(p, "ns/new", "Ns/new:latest");
	resolve_to(p, "new", "new:latest");
	resolve_to(p, "OLLAMA.com/ns/model:TAG", "Ns/Model:Tag");
	/* Two spellings that somebody else made: each is found by its own, and by its own prefix. */
	temp_write(p->root, "manifests/registry.ollama.ai/A/m/t", "{\"layers\":[]}", 13);
	temp_write(p->root, "manifests/registry.ollama.ai/a/M/t", "{\"layers\":[]}", 13);
	for (int i = 0; i < 20; i++) {
		resolve_to(p, "A/m:t", "A/m:t");
		resolve_to(p, "a/M:t", "a/M:t");
		resolve_to(p, "a/M:new", "a/M:new");
		resolve_to(p, "A/m:new", "A/m:new");
	}
	/* A second spelling is not made. */
	put(p, "ns/model:TAG", "b", digest);
	expect_tag(p, "Ns/Model:Tag", digest);
	snprintf(path, sizeof path, "manifests/registry.ollama.ai/%s", "Ns/Model");
	assert_int_equal(temp_count(p->root, path), 1);
}

static void test_delete_frees(void **state)
{
	struct place *p = *state;
	struct model_name first = named("first"), second = named("second");
	char digest[DIGEST_SIZE];

	put(p, "first", "ab", digest);
	put(p, "second", "bc", digest);
	assert_int_equal(store_delete(p->store, &first, NULL), 0);
	assert_false(has_word(p, "a"));
	assert_true(has_word(p, "b"));
	assert_true(has_word(p, "c"));
	assert_false(temp_exists(p->root, V2 "first"));
	assert_false(temp_exists(p->root, LEGACY "first"));
	expect_tag(p, "second", digest);
	assert_int_equal(store_delete(p->store, &second, NULL), 0);
	assert_int_equal(temp_count(p->root, "blobs"), 0);
	assert_int_equal(temp_count(p->root, "manifests"), 0);
	assert_true(temp_exists(p->root, "manifests-v2"));
}

static void test_unreadable_blocks_freeing(void **state)
{
	struct place *p = *state;
	struct model_name first = named("first");
	char digest[DIGEST_SIZE];
	struct err err;

	put(p, "first", "ab", digest);
	temp_write(p->root, LEGACY "broken/latest", "{", 1);
	assert_int_equal(store_delete(p->store, &first, NULL), 0);
	assert_true(has_word(p, "a"));
	temp_age(p->root, blob_file(digest), 7200);
	assert_int_equal(store_prune(p->store, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "corrupt manifests detected"));
	assert_non_null(strstr(err.text, "broken:latest"));
	assert_true(has_word(p, "a"));
}

static void test_release(void **state)
{
	struct place *p = *state;
	struct model_name name = named("m");
	struct manifest *old;
	char before[DIGEST_SIZE], after[DIGEST_SIZE];

	put(p, "m", "ab", before);
	assert_int_equal(store_read(p->store, &name, &old, NULL), 0);
	put(p, "m", "bc", after);
	assert_int_equal(store_release(p->store, old, NULL), 0);
	manifest_free(old);
	assert_false(has_word(p, "a"));
	assert_true(has_word(p, "b") && has_word(p, "c"));
	assert_false(temp_exists(p->root, blob_file(before)));
	expect_tag(p, "m", after);
}

/* Blobs that another process has found are not freed before it names them. */
static void test_held_blobs(void **state)
{
	struct place *p = *state;
	struct model_name name = named("m");
	char digest[DIGEST_SIZE];
	struct store *writer;

	put(p, "m", "ab", digest);
	assert_int_equal(store_open(p->root, &writer, NULL), 0);
	assert_int_equal(store_blob_add(writer, "a", 1, digest, NULL, NULL), 0);
	assert_int_equal(store_delete(p->store, &name, NULL), 0);
	assert_true(has_word(p, "a"));
	store_close(writer);
	put(p, "m", "ab", digest);
	assert_int_equal(store_delete(p->store, &name, NULL), 0);
	assert_false(has_word(p, "a"));
}

/* What somebody cut off is made whole by writing it again. */
static void test_damaged_blob(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE];
	uint64_t size;
	bool is_new;

	assert_int_equal(store_blob_add(p->store, "whole", 5, digest, NULL, NULL), 0);
	temp_write(p->root, blob_file(digest), "who", 3);
	assert_int_equal(store_blob_add(p->store, "whole", 5, digest, &is_new, NULL), 0);
	assert_true(is_new);
	assert_int_equal(store_blob_stat(p->store, digest, &size, NULL), 0);
	assert_int_equal(size, 5);
	assert_int_equal(store_blob_add(p->store, "whole", 5, digest, &is_new, NULL), 0);
	assert_false(is_new);
	assert_int_equal(temp_count(p->root, "blobs"), 1);
}

/* What lies there whole need not be written; by its size it is known to be worth hashing. */
static void test_reuse(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], other[DIGEST_SIZE];
	uint64_t *sizes;
	size_t n;

	assert_int_equal(store_blob_sizes(p->store, &sizes, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(sizes);
	assert_int_equal(store_blob_add(p->store, "whole", 5, digest, NULL, NULL), 0);
	assert_int_equal(store_blob_add(p->store, "x", 1, other, NULL, NULL), 0);
	assert_int_equal(store_blob_sizes(p->store, &sizes, &n, NULL), 0);
	assert_true(n == 2 && sizes[0] == 1 && sizes[1] == 5);
	assert_true(store_sizes_have(sizes, n, 5) && !store_sizes_have(sizes, n, 4));
	free(sizes);
	assert_true(store_blob_reuse(p->store, digest, 5));
	assert_false(store_blob_reuse(p->store, digest, 4));
	/* Somebody had it in hands: it may be anything, but is kept. */
	temp_age(p->root, blob_file(digest), 7200);
	assert_false(store_blob_known(p->store, digest, 5));
	assert_true(store_blob_touch(p->store, digest, 5));
	assert_false(store_blob_touch(p->store, digest, 4));
	assert_false(store_blob_reuse(p->store, digest, 5));
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_true(temp_exists(p->root, blob_file(digest)));
	digest_bytes("absent", 6, digest);
	assert_false(store_blob_reuse(p->store, digest, 6) || store_blob_touch(p->store, digest, 6));
}

/* A folder of tags goes only while nobody can be writing into it. */
static void test_held_folders(void **state)
{
	struct place *p = *state;
	struct model_name name = named("m");
	char digest[DIGEST_SIZE];
	struct store *writer;

	put(p, "m", "a", digest);
	assert_int_equal(store_open(p->root, &writer, NULL), 0);
	store_hold(writer);
	assert_int_equal(store_delete(p->store, &name, NULL), 0);
	assert_int_equal(temp_count(p->root, LEGACY "m"), 0);
	assert_true(temp_exists(p->root, LEGACY "m") && temp_exists(p->root, V2 "m"));
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_true(temp_exists(p->root, LEGACY "m"));
	store_close(writer);
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_false(temp_exists(p->root, LEGACY "m") || temp_exists(p->root, V2 "m"));
}

static void test_prune(void **state)
{
	struct place *p = *state;
	static const char *const old[] = {
		"blobs/sha256-12345", "blobs/sha256-x.tmp", "blobs/junk", V2 "m/.easel-1",
	};
	char digest[DIGEST_SIZE], loose[DIGEST_SIZE];

	put(p, "m", "a", digest);
	temp_age(p->root, blob_file(digest), 7200);
	assert_int_equal(store_blob_add(p->store, "z", 1, loose, NULL, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		temp_write(p->root, old[i], "x", 1);
		temp_age(p->root, old[i], 7200);
	}
	temp_write(p->root, "blobs/sha256-999", "x", 1);
	temp_write(p->root, "manifests/host/empty/x", "", 0);
	temp_write(p->root, "manifests/host/empty/.easel-2", "", 0);
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_true(has_word(p, "z"));                          /* young */
	assert_true(temp_exists(p->root, "blobs/sha256-999"));  /* young */
	assert_true(temp_exists(p->root, "blobs/sha256-x.tmp"));        /* partial: a week */
	assert_false(temp_exists(p->root, old[0]) || temp_exists(p->root, old[2]) || temp_exists(p->root, old[3]));
	temp_age(p->root, blob_file(loose), 7200);
	temp_age(p->root, old[1], 8 * 24 * 3600);
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_false(has_word(p, "z"));
	assert_false(temp_exists(p->root, old[1]));
	expect_tag(p, "m", digest);
	assert_true(has_word(p, "a"));
}

static void test_list_and_copy(void **state)
{
	struct place *p = *state;
	struct model_name from = named("old"), to = named("x/copy:1"), none = named("none");
	struct store_entry *entries;
	char digest[DIGEST_SIZE], other[DIGEST_SIZE], shown[NAME_TEXT_SIZE];
	struct err err;
	size_t n;

	put(p, "old", "a", digest);
	put(p, "new", "b", other);
	temp_age(p->root, V2 "old/latest", 100);
	temp_age(p->root, LEGACY "old/latest", 100);
	temp_write(p->root, LEGACY "broken/latest", "{", 1);
	temp_write(p->root, "manifests/too/short", "{}", 2);
	temp_write(p->root, LEGACY "bad name/latest", "{}", 2);
	assert_int_equal(store_list(p->store, &entries, &n, NULL), 0);
	assert_int_equal(n, 2);
	name_short(&entries[0].name, shown);
	assert_string_equal(shown, "new:latest");
	assert_string_equal(entries[1].manifest->digest, digest);
	store_list_free(entries, n);

	assert_int_equal(store_copy(p->store, &from, &to, NULL), 0);
	expect_tag(p, "x/copy:1", digest);
	assert_int_equal(store_copy(p->store, &from, &from, NULL), 0);
	assert_int_equal(store_copy(p->store, &none, &to, &err), -ENOENT);
	assert_string_equal(err.text, "model \"none:latest\" not found");
	assert_int_equal(store_delete(p->store, &from, NULL), 0);
	assert_true(has_word(p, "a"));
}

/* A write that fails half way names the path and the cause, and leaves nothing. */
static void test_write_error(void **state)
{
	struct place *p = *state;
	struct rlimit old, low;
	char digest[DIGEST_SIZE], before[DIGEST_SIZE], text[5000];
	struct err err;
	int r;

	put(p, "m", "a", before);
	memset(text, 'x', sizeof text);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	r = store_blob_add(p->store, text, sizeof text, digest, NULL, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(err.text, p->root));
	assert_non_null(strstr(err.text, ": File too large"));
	assert_int_equal(temp_count(p->root, "blobs"), 3);
	expect_tag(p, "m", before);
}

static void test_reference_store(void **state)
{
	struct place *p = *state;
	struct model_name za = named("za"), copy = named("za2");
	struct store_entry *entries;
	struct store *store;
	char command[1024], path[512];
	uint64_t size;
	size_t n;

	snprintf(command, sizeof command, "tar xzf '%s/reference-store-v2.tar.gz' -C '%s'", TEST_DATA, p->root);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof path, "%s/models", p->root);
	assert_int_equal(store_open(path, &store, NULL), 0);
	assert_int_equal(store_prune(store, NULL), 0);
	assert_int_equal(store_list(store, &entries, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_true(name_equal(&entries[0].name, &za));
	assert_non_null(manifest_find(entries[0].manifest, MEDIA_JSON, "model_index.json"));
	for (size_t i = 0; i < entries[0].manifest->n_layers; i++) {
		const struct layer *l = &entries[0].manifest->layers[i];

		assert_int_equal(store_blob_stat(store, l->digest, &size, NULL), 0);
		assert_int_equal(size, l->size);
	}
	n = temp_count(path, "blobs");
	assert_int_equal(store_copy(store, &za, &copy, NULL), 0);
	assert_int_equal(store_delete(store, &za, NULL), 0);
	assert_int_equal(temp_count(path, "blobs"), n);
	assert_int_equal(store_delete(store, &copy, NULL), 0);
	assert_int_equal(temp_count(path, "blobs"), 0);
	store_list_free(entries, 1);
	store_close(store);
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_blobs), STORE_TEST(test_missing_blob), STORE_TEST(test_tag_forms),
		STORE_TEST(test_legacy_only), STORE_TEST(test_later_tree_wins), STORE_TEST(test_damaged),
		STORE_TEST(test_foreign_link), STORE_TEST(test_case), STORE_TEST(test_delete_frees),
		STORE_TEST(test_unreadable_blocks_freeing), STORE_TEST(test_release), STORE_TEST(test_held_blobs),
		STORE_TEST(test_held_folders), STORE_TEST(test_damaged_blob), STORE_TEST(test_reuse),
		STORE_TEST(test_prune), STORE_TEST(test_list_and_copy), STORE_TEST(test_write_error),
		STORE_TEST(test_reference_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
