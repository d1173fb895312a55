/*
 * The file of compiled kernels: written, read, and left alone when it is anything else
 * than what this driver wrote. Software devices have one here only.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/log.h"
#include "runner/vk/device.h"
#include "shaders/shaders.h"
#include "tests/ops/vk/device.h"
#include "tests/temp.h"

enum { MAX_FILE = 1 << 20, HEAD = 88 };         /* the line before the driver's data */

static struct vk *open_in(const char *folder)
{
	struct vk *vk = device_open();

	cache_finish(vk);
	cache_open_in(vk, folder);
	return vk;
}

static void compile(struct vk *vk)
{
	const struct vk_dispatch d = {
		.shader = SHADER_blend, .spec = { vk_limits(vk)->subgroup_size }, .n_spec = 2,
	};
	VkPipeline pipeline;
	struct err err;

	if (pipelines_get(vk, &d, &pipeline, &err) < 0)
		fail_msg("%s", err.text);
}

static void finish(struct vk *vk)
{
	assert_int_equal(device_close(&vk, 0), 0);
}

/* Its name in ret; fails when there is not exactly one. */
static void only_file(const char *folder, char ret[256])
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			snprintf(ret, 256, "%s", entry->d_name);
			n++;
		}
	closedir(dir);
	assert_int_equal(n, 1);
}

static char *load(const char *folder, const char *name, size_t *ret_len)
{
	char path[4096], *text;
	struct err err;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (file_load(path, MAX_FILE, &text, ret_len, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

/* A folder with the file of one kernel. */
static char *made(char ret_name[256])
{
	char *folder = temp_create(), below[2048];
	struct vk *vk;

	snprintf(below, sizeof below, "%s/cache", folder);
	vk = open_in(below);
	assert_string_equal(vk->cache.digest, "");
	vk_kernels_save(vk);                    /* nothing compiled, nothing written */
	assert_int_equal(temp_count(folder, "cache"), 0);
	compile(vk);
	vk_kernels_save(vk);
	finish(vk);
	only_file(below, ret_name);
	assert_int_equal(strncmp(ret_name, "kernels-", 8), 0);
	return folder;
}

static void test_kept(void **unused)
{
	char name[256], below[2048];
	char *folder = made(name), *text, *again;
	size_t len, again_len;
	struct vk *vk;

	(void)unused;
	snprintf(below, sizeof below, "%s/cache", folder);
	text = load(below, name, &len);
	assert_true(len > HEAD);
	vk = open_in(below);
	assert_memory_equal(text + HEAD - 1 - strlen(vk->cache.digest), vk->cache.digest,
			    strlen(vk->cache.digest));
	assert_int_not_equal(strlen(vk->cache.digest), 0);
	compile(vk);
	vk_kernels_save(vk);
	finish(vk);
	again = load(below, name, &again_len);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, text, len);
	free(again);
	free(text);
	temp_remove(folder);
}

/* What lies in the file's place; a digest that fits makes the driver's own header count. */
struct damage {
	size_t keep;                            /* bytes; 0: all */
	size_t flip;                            /* this byte */
	bool true_digest;
};

static void spoil(const char *folder, const char *name, const struct damage *d)
{
	char digest[DIGEST_SIZE], path[300];
	size_t len;
	char *text = load(folder, name, &len);

	if (d->flip)
		text[d->flip] ^= 1;
	if (d->keep)
		len = d->keep;
	if (d->true_digest) {
		digest_bytes(text + HEAD, len - HEAD, digest);
		memcpy(text + HEAD - DIGEST_SIZE, digest, DIGEST_SIZE - 1);
	}
	snprintf(path, sizeof path, "%s", name);
	temp_write(folder, path, text, len);
	free(text);
}

static void test_damaged(void **unused)
{
	static const struct damage rows[] = {
		{ .keep = 10 }, { .keep = HEAD }, { .keep = HEAD + 20 }, { .flip = 3 },
		{ .flip = HEAD + 31 }, { .flip = 40 },
		{ .keep = HEAD + 20, .true_digest = true },
		{ .flip = HEAD + 4, .true_digest = true },      /* header version */
		{ .flip = HEAD + 8, .true_digest = true },      /* vendor */
		{ .flip = HEAD + 12, .true_digest = true },     /* device */
		{ .flip = HEAD + 16, .true_digest = true },     /* driver build */
	};
	char name[256], below[2048];
	char *folder = made(name), *want, *got;
	size_t len, got_len, i;

	(void)unused;
	snprintf(below, sizeof below, "%s/cache", folder);
	want = load(below, name, &len);
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct vk *vk;

		spoil(below, name, &rows[i]);
		vk = open_in(below);
		assert_string_equal(vk->cache.digest, "");
		compile(vk);
		vk_kernels_save(vk);
		finish(vk);
		got = load(below, name, &got_len);
		assert_int_equal(got_len, len);
		assert_memory_equal(got, want, len);
		free(got);
	}
	free(want);
	temp_remove(folder);
}

static void test_not_writable(void **unused)
{
	char *folder = temp_create(), below[2048];
	struct vk *vk;

	(void)unused;
	temp_write(folder, "file", "x", 1);
	snprintf(below, sizeof below, "%s/file/cache", folder);
	vk = open_in(below);
	compile(vk);
	vk_kernels_save(vk);
	assert_true(vk->cache.refused);
	vk_kernels_save(vk);
	finish(vk);
	temp_remove(folder);
}

static void test_software_keeps_none(void **unused)
{
	char *folder = temp_create();
	struct vk *vk;

	(void)unused;
	setenv("EASEL_CACHE_DIR", folder, 1);
	vk = device_open();
	if (vk_info(vk)->type == VK_SOFTWARE) {
		compile(vk);
		vk_kernels_save(vk);
		assert_int_equal(temp_count(folder, "."), 0);
	}
	finish(vk);
	unsetenv("EASEL_CACHE_DIR");
	temp_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_not_writable),
		cmocka_unit_test(test_software_keeps_none),
	};

	log_open("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
