/*
 * What an import takes of the machine: memory, threads, time until it refuses; and matrices
 * of shapes that no pipeline has. Models are put into the store by hand. Needs no GPU.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/safetensors.h"
#include "common/store.h"
#include "common/timefmt.h"
#include "runner/host/cores.h"
#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_FACTOR 4                 /* shadows and red zones */
#else
#define MEMORY_FACTOR 1
#endif

static const char config[] = "{\"model_format\":\"safetensors\",\"capabilities\":[\"image\"]}";

/* A blob of one BF16 matrix of zeros with holes for data: its name is no digest of it. */
static void put_zeros(const char *store, unsigned number, uint64_t rows, uint64_t cols, struct layer *ret)
{
	const uint64_t shape[] = { rows, cols };
	const struct st_entry entry = { "data", DTYPE_BF16, 2, shape };
	char path[PATH_MAX], *header;
	size_t len;
	FILE *f;

	assert_int_equal(safetensors_header(&entry, 1, NULL, &header, &len, NULL), 0);
	snprintf(ret->digest, sizeof ret->digest, "sha256:%064u", number);
	ret->size = len + 2 * rows * cols;
	snprintf(path, sizeof path, "%s/blobs/sha256-%s", store, ret->digest + strlen("sha256:"));
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(header, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(truncate(path, (off_t)ret->size), 0);
	free(header);
}

/* Model "base" of n such matrices. */
static void put_model(struct world *w, unsigned n, uint64_t rows, uint64_t cols)
{
	struct manifest *m = manifest_create();
	struct model_name name;
	struct store *s;
	char tensor[64];
	char *text;
	size_t len;

	assert_int_equal(store_open(w->store, &s, NULL), 0);
	for (unsigned i = 0; i < n; i++) {
		struct layer layer = { 0 };

		put_zeros(w->store, i, rows, cols, &layer);
		snprintf(tensor, sizeof tensor, "transformer/%u.weight", i);
		assert_non_null(manifest_add(m, MEDIA_TENSOR, layer.digest, layer.size, tensor));
	}
	m->config.media_type = strdup(MEDIA_CONFIG);
	m->config.size = strlen(config);
	assert_int_equal(store_blob_add(s, config, strlen(config), m->config.digest, NULL, NULL), 0);
	text = manifest_print(m, &len);
	assert_int_equal(name_parse("base", &name, NULL), 0);
	assert_int_equal(store_write(s, &name, text, len, NULL), 0);
	free(text);
	store_close(s);
	manifest_free(m);
}

/* ---- threads ---- */

struct threads {
	pthread_t seen[64];
	size_t n;
};

/* Called by one thread at a time. */
static bool note_thread(void *context)
{
	struct threads *t = context;

	for (size_t i = 0; i < t->n; i++)
		if (pthread_equal(t->seen[i], pthread_self()))
			return false;
	if (t->n < 64)
		t->seen[t->n++] = pthread_self();
	return false;
}

static void every_core(void **state)
{
	const unsigned cores = host_cores();
	struct threads threads = { .n = 0 };
	const struct import_hooks hooks = { .context = &threads, .cancelled = note_thread };
	struct import_result result;
	struct world w;
	struct err err;

	(void)state;
	world_init(&w, "zimage-a");
	put_model(&w, 64, 256, 4096);
	const struct msg_import request = { .root = w.store, .model = TEXT("m"), .from = TEXT("base"), .quantize = TEXT("int4") };

	if (import_run(&request, &hooks, &result, &err) < 0)
		fail_msg("%s", err.text);
	if (threads.n < (cores > 1 ? 2u : 1u) || threads.n > 16)
		fail_msg("%zu threads on %u cores", threads.n, cores);
	world_finish(&w);
}

/* ---- memory ---- */

/* Peak of a process that only imports, in kB; what it holds already is little. */
static long peak_of_import(struct world *w)
{
	struct rusage usage;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct import_result result;

		_exit(world_import(w, (struct msg_import){ .from = TEXT("base"), .quantize = TEXT("int8") }, &result, NULL) < 0);
	}
	assert_int_equal(wait4(child, &status, 0, &usage), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return usage.ru_maxrss;
}

/* One tensor larger than what an import may take: it is read and written in pieces. */
static void bounded_memory(void **state)
{
	struct world w;
	long peak;

	(void)state;
	world_init(&w, "zimage-a");
	put_model(&w, 1, 8192, 8192);
	peak = peak_of_import(&w);
	if (peak > MEMORY_FACTOR * 48 * 1024)
		fail_msg("%ld kB for a tensor of 131072 kB", peak);
	world_finish(&w);
}

/* ---- shapes ---- */

/* Whole groups of 32, but not of int4's 64. */
static void half_groups(void **state)
{
	struct import_result result;
	struct manifest *base, *m;
	struct world w;

	(void)state;
	world_init(&w, "zimage-a");
	put_model(&w, 1, 64, 96);
	world_must_import(&w, (struct msg_import){ .from = TEXT("base"), .quantize = TEXT("int4") }, &result);
	base = world_manifest(&w, "base");
	m = world_manifest(&w, "m");
	assert_int_equal(m->n_layers, 1);
	assert_string_equal(m->layers[0].digest, base->layers[0].digest);
	manifest_free(m);
	world_must_import(&w, (struct msg_import){ .from = TEXT("base"), .quantize = TEXT("mxfp4") }, &result);
	m = world_manifest(&w, "m");
	assert_string_equal(m->layers[0].dtype, "mxfp4");
	assert_true(m->layers[0].size < base->layers[0].size / 2);
	manifest_free(m);
	manifest_free(base);
	world_finish(&w);
}

/* ---- what is looked at first ---- */

static void refused_early(void **state)
{
	struct import_result result;
	struct world w;
	struct err err;
	int64_t began;

	(void)state;
	world_init(&w, "zimage-a");
	folder_write(w.model, "model_index.json", "{\"_class_name\":", 15);
	folder_write(w.model, TRANSFORMER, "", 0);
	began = time_monotonic_ns();
	assert_int_equal(world_import(&w, (struct msg_import){ 0 }, &result, &err), -EINVAL);
	/* Ten times as long as it may take. */
	assert_true(time_monotonic_ns() - began < 1000000000);
	assert_non_null(strstr(err.text, "failed to parse model_index.json"));

	/* What the request says, before what lies in the folder. */
	assert_int_equal(world_import(&w, (struct msg_import){ .quantize = TEXT("q5") }, &result, &err), -EINVAL);
	assert_non_null(strstr(err.text, "unsupported --quantize \"q5\""));
	assert_int_equal(folder_count(w.store), 0);
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_core),
		cmocka_unit_test(bounded_memory),
		cmocka_unit_test(half_groups),
		cmocka_unit_test(refused_early),
	};

	return cmocka_run_group_tests_name("import_bounds", tests, NULL, NULL);
}
