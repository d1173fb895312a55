/*
 * A model store exactly as the reference wrote it is run in place: the pictures are
 * those of the folder it was made from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/recorded.h"
#include "tests/temp.h"

static struct vk *vk;

static void unpack(struct fixture *f)
{
	char command[4096], root[2048];
	struct store_entry *entries;
	struct err err;
	size_t n;

	*f = (struct fixture){ .folder = temp_create() };
	snprintf(command, sizeof command, "tar -C '%s' -xzf '%s/reference-store-v2.tar.gz'",
		 f->folder, TEST_DATA);
	assert_int_equal(system(command), 0);
	snprintf(root, sizeof root, "%s/models", f->folder);
	if (store_open(root, &f->store, &err) < 0 || store_list(f->store, &entries, &n, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(n, 1);
	f->manifest = entries[0].manifest;
	entries[0].manifest = NULL;
	store_list_free(entries, n);
}

static void test_same_picture(void **unused)
{
	json_t *root = golden_json(golden_path("cases/zimage-a.word.json"));
	const struct recording rec = {
		.name = "reference store", .request = json_object_get(root, "request"),
		.tensors = "cases/zimage-a.word.safetensors", .pictures = "cases/zimage-a.word",
		.tolerances = { .latents = 3e-5, .pixels = 5e-5 },
	};
	struct fixture f;
	struct err err;

	(void)unused;
	unpack(&f);
	if (pipeline_open(vk, f.store, f.manifest, &(struct pipeline_loading){ 0 }, &f.pipeline, &err) < 0)
		fail_msg("%s", err.text);
	recorded_check(f.pipeline, &rec);
	fixture_close(&f);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_picture) };

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
