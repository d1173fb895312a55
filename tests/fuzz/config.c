/*
 * Fuzz: a model's config blob and, behind a NUL, its model_index.json, as lists and "show"
 * read them. Owns a store in a temporary folder, made once.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/models.h"
#include "tests/fuzz/fuzz.h"

static const char config_digest[] = "sha256:c000000000000000000000000000000000000000000000000000000000000000";
static const char index_digest[] = "sha256:1000000000000000000000000000000000000000000000000000000000000000";

static struct {
	struct store *store;
	char root[64];
} place;

static void remove_place(void)
{
	static const char *const folders[] = { "blobs", "manifests", "" };
	char path[256];

	store_blob_path(place.store, config_digest, path, sizeof path);
	unlink(path);
	store_blob_path(place.store, index_digest, path, sizeof path);
	unlink(path);
	snprintf(path, sizeof path, "%s/.easel-lock", place.root);
	unlink(path);
	store_close(place.store);
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", place.root, folders[i]);
		rmdir(path);
	}
}

static void make_place(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(place.root, sizeof place.root, "%s/easel-fuzz-XXXXXX", base);
	fuzz_require(mkdtemp(place.root) && store_open(place.root, &place.store, NULL) == 0);
	atexit(remove_place);
}

static void write_blob(const char *digest, const void *data, size_t len)
{
	char path[256];
	FILE *file;

	store_blob_path(place.store, digest, path, sizeof path);
	file = fopen(path, "wb");
	fuzz_require(file && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = len ? memchr(data, 0, len) : NULL;
	const size_t config_len = end ? (size_t)(end - data) : len;
	struct manifest *m = manifest_create();
	struct model_card card;
	struct err err;
	json_t *details;
	char *text;

	if (!place.store)
		make_place();
	write_blob(config_digest, data, config_len);
	write_blob(index_digest, end ? end + 1 : data, end ? len - config_len - 1 : 0);
	fuzz_require(m != NULL);
	memcpy(m->config.digest, config_digest, sizeof config_digest);
	fuzz_require(manifest_add(m, MEDIA_JSON, index_digest, 1, "model_index.json") != NULL);
	if (model_card_read(place.store, m, &card, &err) == 0) {
		details = model_details(&card);
		text = json_dumps(details, JSON_COMPACT);
		fuzz_require(text != NULL);
		fuzz_require(!card.capabilities || json_is_array(card.capabilities));
		free(text);
		json_decref(details);
		model_card_clear(&card);
	} else {
		fuzz_require(err.text[0] && err.code < 0);
	}
	manifest_free(m);
	return 0;
}
