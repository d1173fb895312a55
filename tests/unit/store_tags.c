/*
 * Tags under others' hands: read while they are written over and over, beside what cannot
 * be read, on a file system that knows no links, in every spelling.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/temp.h"

#define LEGACY "manifests/registry.ollama.ai/library/"
#define V2 "manifests-v2/ollama.com/library/"
enum { RETAGS = 10000, RETAGS_SYNCED = 300 };

/* What the file system below is said not to know. */
static bool no_symlinks, no_links, no_entries;

/* All three instead of libc's. */
struct dirent *readdir(DIR *dir)
{
	struct dirent *(*real)(DIR *);

	errno = EIO;
	if (no_entries)
		return NULL;
	errno = 0;
	*(void **)&real = dlsym(RTLD_NEXT, "readdir64");
	return real(dir);
}

int symlink(const char *target, const char *path)
{
	if (!no_symlinks)
		return (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
	errno = EPERM;
	return -1;
}

int link(const char *from, const char *to)
{
	if (!no_links)
		return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
	errno = EPERM;
	return -1;
}

struct place {
	char *root;
	struct store *store;
	bool in_memory;
};

/* In memory, where a sync costs nothing. */
static int begin(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	assert_non_null(p);
	no_symlinks = no_links = no_entries = false;
	p->in_memory = access("/dev/shm", W_OK) == 0;
	if (p->in_memory)
		setenv("TMPDIR", "/dev/shm", 1);
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
	unsetenv("EASEL_LEGACY_MANIFESTS");
	free(p);
	return 0;
}

static struct model_name named(const char *text)
{
	struct model_name name;

	assert_int_equal(name_parse(text, &name, NULL), 0);
	return name;
}

/* A manifest of one blob that holds word. */
static char *manifest_of(struct store *s, const char *word, size_t *ret_len, char ret[DIGEST_SIZE])
{
	struct manifest *m = manifest_create();
	char digest[DIGEST_SIZE], *text;

	assert_int_equal(store_blob_add(s, word, strlen(word), digest, NULL, NULL), 0);
	assert_non_null(manifest_add(m, MEDIA_TENSOR, digest, strlen(word), "c/t"));
	text = manifest_print(m, ret_len);
	digest_bytes(text, *ret_len, ret);
	manifest_free(m);
	return text;
}

static void put(struct place *p, const char *tag, const char *word, char ret[DIGEST_SIZE])
{
	struct model_name name = named(tag);
	size_t len;
	char *text = manifest_of(p->store, word, &len, ret);
	struct err err;

	if (store_write(p->store, &name, text, len, &err) < 0)
		fail_msg("%s", err.text);
	free(text);
}

static bool has(struct place *p, const char *word)
{
	char digest[DIGEST_SIZE];
	uint64_t size;

	digest_bytes(word, strlen(word), digest);
	return store_blob_stat(p->store, digest, &size, NULL) == 0;
}

static const char *reads(struct place *p, const char *tag, struct err *err)
{
	struct model_name name = named(tag);
	static char digest[DIGEST_SIZE];
	struct manifest *m;

	if (store_read(p->store, &name, &m, err) < 0)
		return NULL;
	memcpy(digest, m->digest, sizeof digest);
	manifest_free(m);
	return digest;
}

/* ---- read while written ---- */

/* The writer's process: what the tag was is freed each time, as a create does. */
static void retag(const char *root, int times)
{
	struct model_name name = named("m");
	struct manifest *old;
	char digest[DIGEST_SIZE];
	struct store *s;

	assert_int_equal(store_open(root, &s, NULL), 0);
	for (int i = 0; i < times; i++) {
		size_t len;
		char *text = manifest_of(s, i % 2 ? "one" : "two", &len, digest);

		assert_int_equal(store_read(s, &name, &old, NULL), 0);
		assert_int_equal(store_write(s, &name, text, len, NULL), 0);
		assert_int_equal(store_release(s, old, NULL), 0);
		manifest_free(old);
		free(text);
	}
	store_close(s);
}

static void read_while_written(struct place *p)
{
	char one[DIGEST_SIZE], two[DIGEST_SIZE];
	int status = 0, n_read = 0;
	struct err err;
	pid_t child;

	put(p, "other", "one", one);
	put(p, "m", "two", two);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		retag(p->root, p->in_memory ? RETAGS : RETAGS_SYNCED);
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		const char *digest = reads(p, "m", &err);

		if (!digest || (strcmp(digest, one) && strcmp(digest, two))) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			fail_msg("read %d: %s", n_read, digest ? digest : err.text);
		}
		n_read++;
	}
	assert_int_equal(status, 0);
	assert_true(n_read > 10);
}

static void test_read_while_written(void **state)
{
	read_while_written(*state);
}

/* Nothing to fall back to when the link has moved on. */
static void test_read_while_written_links_only(void **state)
{
	setenv("EASEL_LEGACY_MANIFESTS", "0", 1);
	read_while_written(*state);
}

/* ---- no links ---- */

static void check_without_links(struct place *p, mode_t type, nlink_t links)
{
	char first[DIGEST_SIZE], second[DIGEST_SIZE], path[512];
	struct model_name name = named("m");
	struct stat st;

	put(p, "m", "one", first);
	snprintf(path, sizeof path, "%s/" V2 "m/latest", p->root);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & S_IFMT, type);
	assert_int_equal(st.st_nlink, links);
	assert_string_equal(reads(p, "m", NULL), first);
	put(p, "m", "two", second);
	put(p, "m", "two", second);             /* nothing is left of one that stays what it is */
	assert_int_equal(temp_count(p->root, V2 "m"), 1);
	assert_string_equal(reads(p, "m", NULL), second);
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_true(has(p, "two"));
	/* The copy is enough by itself. */
	snprintf(path, sizeof path, "%s/" LEGACY "m/latest", p->root);
	assert_int_equal(unlink(path), 0);
	assert_string_equal(reads(p, "m", NULL), second);
	assert_int_equal(store_delete(p->store, &name, NULL), 0);
	assert_false(has(p, "two"));
	assert_null(reads(p, "m", NULL));
	assert_false(temp_exists(p->root, V2 "m"));
}

static void test_hard_links(void **state)
{
	no_symlinks = true;
	check_without_links(*state, S_IFREG, 2);
}

static void test_copies(void **state)
{
	no_symlinks = no_links = true;
	check_without_links(*state, S_IFREG, 1);
}

/* ---- what cannot be read ---- */

static void expect_kept(struct place *p, const char *says)
{
	struct model_name name = named("victim");
	struct err err;

	assert_int_equal(store_delete(p->store, &name, NULL), 0);
	assert_null(reads(p, "victim", NULL));
	assert_true(has(p, "one"));
	assert_true(store_prune(p->store, &err) < 0);
	if (!strstr(err.text, says))
		fail_msg("%s", err.text);
}

static void test_dangling_blocks_freeing(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512];

	setenv("EASEL_LEGACY_MANIFESTS", "0", 1);
	put(p, "victim", "one", digest);
	put(p, "broken", "two", digest);
	snprintf(path, sizeof path, "%s/blobs/sha256-%s", p->root, digest + 7);
	assert_int_equal(unlink(path), 0);
	expect_kept(p, V2 "broken/latest");
}

static void test_bad_json_blocks_freeing(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE];

	put(p, "victim", "one", digest);
	temp_write(p->root, LEGACY "broken/latest", "{", 1);
	expect_kept(p, LEGACY "broken/latest");
}

/* A disk that fails while the tags are listed. */
static void test_unlisted_blocks_freeing(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE];

	put(p, "victim", "one", digest);
	put(p, "other", "one", digest);
	no_entries = true;
	expect_kept(p, "Input/output error");
	no_entries = false;
}

/* The same of what a pull that was interrupted wants. */
static void test_unread_pull_blocks_freeing(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512];

	put(p, "victim", "one", digest);
	temp_write(p->root, ".easel-pulls/.keep", "", 0);
	snprintf(path, sizeof path, "%s/.easel-pulls/%s", p->root, digest + 7);
	assert_int_equal(symlink(path, path), 0);
	expect_kept(p, "Too many levels of symbolic links");
	assert_true(temp_exists(p->root, path + strlen(p->root) + 1));
}

/* A folder of tags that may not be entered: for somebody who is not root. */
static void as_nobody(struct place *p)
{
	char digest[DIGEST_SIZE], path[512];

	put(p, "victim", "one", digest);
	put(p, "broken", "two", digest);
	snprintf(path, sizeof path, "%s/" LEGACY "broken/latest", p->root);
	assert_int_equal(chmod(path, 0), 0);
	snprintf(path, sizeof path, "%s/" V2 "broken/latest", p->root);
	assert_int_equal(unlink(path), 0);
	expect_kept(p, LEGACY "broken/latest: Permission denied");
	put(p, "victim", "one", digest);
	snprintf(path, sizeof path, "%s/" LEGACY "broken", p->root);
	assert_int_equal(chmod(path, 0), 0);
	expect_kept(p, "Permission denied");
	assert_int_equal(chmod(path, 0755), 0);
}

static void test_forbidden_blocks_freeing(void **state)
{
	struct place *p = *state;
	struct place own = { .in_memory = p->in_memory };
	char folder[512];
	int status;
	pid_t child;

	if (geteuid() != 0) {
		as_nobody(p);
		return;
	}
	snprintf(folder, sizeof folder, "%s/own", p->root);
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(chown(folder, 65534, 65534), 0);
	assert_int_equal(chmod(p->root, 0755), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		own.root = folder;
		if (setgid(65534) < 0 || setuid(65534) < 0 || store_open(folder, &own.store, NULL) < 0)
			_exit(2);
		as_nobody(&own);        /* a failed assertion ends by a signal or another status */
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- spelling ---- */

static void test_two_spellings(void **state)
{
	struct place *p = *state;

	temp_write(p->root, "manifests/registry.ollama.ai/A/m/t", "{\"layers\":[]}", 13);
	temp_write(p->root, "manifests/registry.ollama.ai/a/M/t", "{\"layers\":[]}", 13);
	for (int i = 0; i < 100; i++) {
		static const char *const rows[][2] = {
			{ "A/m:t", "A/m:t" }, { "a/M:t", "a/M:t" }, { "A/M:t", "A/m:t" }, { "a/m:t", "a/M:t" },
			{ "A/m:New", "A/m:New" }, { "a/M:New", "a/M:New" }, { "a/other", "a/other:latest" },
		};

		for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
			struct model_name name = named(rows[k][0]), got;
			char shown[NAME_TEXT_SIZE];

			assert_int_equal(store_resolve(p->store, &name, &got, NULL), 0);
			name_short(&got, shown);
			assert_string_equal(shown, rows[k][1]);
		}
	}
}

/* ---- the manifest's digest ---- */

/* All bytes count, also those behind the JSON, wherever a reader's buffer ends. */
static void test_whole_file_is_hashed(void **state)
{
	struct place *p = *state;
	char want[DIGEST_SIZE], *text = malloc(70000);

	for (size_t size = 512; size <= 65536; size *= 2)
		for (size_t len = size - 2; len <= size + 2; len++)
			for (unsigned newlines = 0; newlines < 3; newlines++) {
				memset(text, ' ', len);
				memcpy(text, "{\"schemaVersion\":2,\"layers\":[]", 30);
				text[len - newlines - 1] = '}';
				memset(text + len - newlines, '\n', newlines);
				temp_write(p->root, LEGACY "m/latest", text, len);
				digest_bytes(text, len, want);
				assert_string_equal(reads(p, "m", NULL), want);
			}
	free(text);
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_read_while_written), STORE_TEST(test_read_while_written_links_only),
		STORE_TEST(test_hard_links), STORE_TEST(test_copies), STORE_TEST(test_dangling_blocks_freeing),
		STORE_TEST(test_bad_json_blocks_freeing), STORE_TEST(test_unlisted_blocks_freeing),
		STORE_TEST(test_unread_pull_blocks_freeing), STORE_TEST(test_forbidden_blocks_freeing),
		STORE_TEST(test_two_spellings), STORE_TEST(test_whole_file_is_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
