/*
 * Fuzz: manifests. Digests of an accepted one are well-formed, and what is printed of
 * it is read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/manifest.h"
#include "tests/fuzz/fuzz.h"

static void check_layer(const struct layer *l)
{
	char digest[DIGEST_SIZE];

	fuzz_require(digest_parse(l->digest, digest, NULL) == 0 && !strcmp(digest, l->digest));
	fuzz_require(!l->name || (l->name[0] && l->name[0] != '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct manifest *m, *back;
	struct err err;
	size_t text_len;
	char *text;

	if (manifest_parse((const char *)data, len, &m, &err) < 0)
		return 0;
	for (size_t i = 0; i < m->n_layers; i++)
		check_layer(&m->layers[i]);
	text = manifest_print(m, &text_len);
	fuzz_require(text != NULL);
	fuzz_require(manifest_parse(text, text_len, &back, &err) == 0);
	fuzz_require(back->n_layers == m->n_layers && manifest_size(back) == manifest_size(m));
	free(text);
	manifest_free(back);
	manifest_free(m);
	return 0;
}
