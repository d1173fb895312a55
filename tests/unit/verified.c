/*
 * The record of verified blobs: what is on it, what takes a blob off, what a crash or
 * another process may leave in its file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/store.h"
#include "tests/temp.h"

#define RECORD ".easel-verified"

static bool goes_away;                  /* what is to be touched */

/* Instead of libc's. */
int utimensat(int folder, const char *path, const struct timespec times[2], int flags)
{
	if (goes_away)
		unlinkat(folder, path, 0);
	return (int)syscall(SYS_utimensat, folder, path, times, flags);
}

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

static void path_of(struct place *p, const char *name, char ret[512])
{
	snprintf(ret, 512, "%s/%s", p->root, name);
}

static const char *blob_file(const char *digest)
{
	static char name[128];

	snprintf(name, sizeof name, "blobs/sha256-%s", digest + 7);
	return name;
}

/* A blob that nobody of us has written. */
static void put_foreign(struct place *p, const char *text, char digest[DIGEST_SIZE])
{
	digest_bytes(text, strlen(text), digest);
	temp_write(p->root, blob_file(digest), text, strlen(text));
}

static void put_own(struct place *p, const char *text, char digest[DIGEST_SIZE])
{
	assert_int_equal(store_blob_add(p->store, text, strlen(text), digest, NULL, NULL), 0);
}

static int check(struct place *p, const char *digest)
{
	return store_blob_check(p->store, digest, NULL, NULL, NULL);
}

/* Size and mtime stay what they were. */
static void flip(struct place *p, const char *digest)
{
	struct timespec times[2];
	char path[512], byte;
	struct stat st, now;
	int fd;

	path_of(p, blob_file(digest), path);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	byte ^= 1;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	do {                            /* until the file system's clock ticks */
		assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
		assert_int_equal(futimens(fd, times), 0);
		assert_int_equal(fstat(fd, &now), 0);
	} while (!memcmp(&now.st_ctim, &st.st_ctim, sizeof now.st_ctim));
	close(fd);
}

static size_t record_bytes(struct place *p)
{
	char path[512];
	struct stat st;

	path_of(p, RECORD, path);
	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void test_what_we_wrote(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], foreign[DIGEST_SIZE];

	put_own(p, "own", digest);
	assert_true(store_blob_known(p->store, digest, 3));
	assert_false(store_blob_known(p->store, digest, 4));
	put_foreign(p, "foreign", foreign);
	assert_false(store_blob_known(p->store, foreign, 7));
	assert_int_equal(check(p, foreign), 0);
	assert_true(store_blob_known(p->store, foreign, 7));
	digest_bytes("none", 4, foreign);
	assert_false(store_blob_known(p->store, foreign, 4));
	assert_int_equal(check(p, foreign), -ENOENT);
}

static void test_changed_and_replaced(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512], kept[512];
	struct err err;
	bool is_new;

	put_own(p, "content", digest);
	flip(p, digest);
	assert_false(store_blob_known(p->store, digest, 7));
	assert_int_equal(store_blob_check(p->store, digest, NULL, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, digest));
	assert_false(store_blob_known(p->store, digest, 7));
	/* Written again it is whole, although one of that size was there. */
	assert_int_equal(store_blob_add(p->store, "content", 7, digest, &is_new, NULL), 0);
	assert_false(is_new);
	assert_int_equal(check(p, digest), 0);
	assert_true(store_blob_known(p->store, digest, 7));
	/* The same bytes in another file. */
	path_of(p, blob_file(digest), path);
	path_of(p, "kept", kept);
	assert_int_equal(rename(path, kept), 0);
	temp_write(p->root, blob_file(digest), "content", 7);
	assert_false(store_blob_known(p->store, digest, 7));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(kept, path), 0);
	assert_false(store_blob_known(p->store, digest, 7));
}

/* What is found again stays on record, for all who look. */
static void test_touch_and_share(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], other[DIGEST_SIZE];
	struct store *second;

	put_own(p, "one", digest);
	assert_int_equal(store_open(p->root, &second, NULL), 0);
	assert_true(store_blob_known(second, digest, 3));
	assert_true(store_blob_reuse(second, digest, 3));
	assert_true(store_blob_known(p->store, digest, 3));
	put_own(p, "other", other);
	assert_true(store_blob_known(second, other, 5));
	assert_true(store_blob_known(p->store, digest, 3) && store_blob_known(p->store, other, 5));
	store_close(second);
}

static bool stop_at_once(void *context, size_t bytes)
{
	*(size_t *)context += bytes;
	return false;
}

static void test_cancel(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE];
	size_t seen = 0;

	put_foreign(p, "content", digest);
	assert_int_equal(store_blob_check(p->store, digest, stop_at_once, &seen, NULL), -ECANCELED);
	assert_int_equal(seen, 7);
	assert_false(store_blob_known(p->store, digest, 7));
}

/* Opens the store anew, so that the file is all there is to know from. */
static bool known_from_file(struct place *p, const char *digest, uint64_t size)
{
	store_close(p->store);
	assert_int_equal(store_open(p->root, &p->store, NULL), 0);
	return store_blob_known(p->store, digest, size);
}

static void test_torn_and_strange_lines(void **state)
{
	static const char junk[] = "deadbeef 1 2 3 4\n\n\xff\xfe\0x\nsha256:1 2\n";
	struct place *p = *state;
	char digest[DIGEST_SIZE], second[DIGEST_SIZE], third[DIGEST_SIZE], path[512], *line, *text;
	size_t len;
	int fd;

	put_own(p, "first", digest);
	len = record_bytes(p);
	assert_in_range(len, 100, 200);
	path_of(p, RECORD, path);
	put_own(p, "second", second);
	/* The last line torn at every length: that blob is not on record, the first one is. */
	line = malloc(1024);
	fd = open(path, O_RDONLY);
	assert_int_equal(pread(fd, line, 1024, 0), record_bytes(p));
	close(fd);
	for (size_t cut = record_bytes(p) - 1; cut >= len; cut--) {
		assert_int_equal(truncate(path, (off_t)cut), 0);
		assert_true(known_from_file(p, digest, 5));
		assert_false(known_from_file(p, second, 6));
	}
	/* Whatever else is in there is passed over. */
	text = malloc(200000 + sizeof junk + len);
	memset(text, 'x', 200000);
	memcpy(text + 200000, "\n", 1);
	memcpy(text + 200001, junk, sizeof junk - 1);
	memcpy(text + 200000 + sizeof junk, line, len);
	temp_write(p->root, RECORD, text, 200000 + sizeof junk + len);
	assert_true(known_from_file(p, digest, 5));
	put_own(p, "third", third);
	assert_true(known_from_file(p, third, 5));
	/* The sweep leaves what is true. */
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_int_equal(record_bytes(p), 2 * len);
	assert_true(known_from_file(p, digest, 5) && known_from_file(p, third, 5));
	free(line);
	free(text);
}

static void test_unreadable(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE], path[512];

	path_of(p, RECORD, path);
	assert_int_equal(mkdir(path, 0755), 0);
	put_own(p, "own", digest);
	assert_false(store_blob_known(p->store, digest, 3));
	assert_int_equal(check(p, digest), 0);
	assert_int_equal(rmdir(path), 0);
	/* A fifo would hang whoever opens it; one that is too large takes no memory. */
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_false(store_blob_known(p->store, digest, 3));
	put_own(p, "other", digest);
	assert_int_equal(unlink(path), 0);
	temp_write(p->root, RECORD, "", 0);
	assert_int_equal(truncate(path, INT64_C(1) << 32), 0);
	assert_false(store_blob_known(p->store, digest, 5));
	put_own(p, "other", digest);
	assert_false(store_blob_known(p->store, digest, 5));
	assert_int_equal(store_prune(p->store, NULL), 0);
	assert_int_equal(record_bytes(p), 0);
	put_own(p, "other", digest);
	assert_true(store_blob_known(p->store, digest, 5));
}

/* The file does not grow for ever, whoever finds his blobs again and again. */
static void test_stays_small(void **state)
{
	struct place *p = *state;
	char digests[700][DIGEST_SIZE], text[16];
	size_t most = 0;

	for (int i = 0; i < 700; i++) {
		snprintf(text, sizeof text, "blob %d", i);
		put_own(p, text, digests[i]);
	}
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < 700; i++) {
			assert_true(store_blob_reuse(p->store, digests[i], strlen("blob ") + 1 + (i > 9) + (i > 99)));
			most = record_bytes(p) > most ? record_bytes(p) : most;
		}
	assert_in_range(most, 700 * 100, 5000 * 200);
	for (int i = 0; i < 700; i++)
		assert_true(store_blob_known(p->store, digests[i], strlen("blob ") + 1 + (i > 9) + (i > 99)));
}

/* Another program frees the blob between our look and our touch: it is written after all. */
static void test_freed_meanwhile(void **state)
{
	struct place *p = *state;
	char digest[DIGEST_SIZE];
	bool is_new;

	put_own(p, "content", digest);
	goes_away = true;
	assert_false(store_blob_reuse(p->store, digest, 7));
	put_own(p, "content", digest);
	assert_int_equal(store_blob_add(p->store, "content", 7, digest, &is_new, NULL), 0);
	goes_away = false;
	assert_true(is_new);
	assert_true(temp_exists(p->root, blob_file(digest)));
	assert_true(store_blob_known(p->store, digest, 7));
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(test_what_we_wrote), PLACE_TEST(test_changed_and_replaced), PLACE_TEST(test_touch_and_share),
		PLACE_TEST(test_cancel), PLACE_TEST(test_torn_and_strange_lines), PLACE_TEST(test_unreadable),
		PLACE_TEST(test_stays_small), PLACE_TEST(test_freed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
