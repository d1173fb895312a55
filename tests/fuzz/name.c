/*
 * Fuzz: names of models, as clients say them and as folders spell them. An accepted one is
 * safe as a path, and is what it is printed as.
 */
#include <stdio.h>
#include <string.h>

#include "common/store.h"
#include "tests/fuzz/fuzz.h"

static void check_part(const char *part)
{
	fuzz_require(part[0] && part[0] != '.' && part[0] != '-');
	for (const char *c = part; *c; c++)
		fuzz_require(*c != '/' && *c > ' ' && *c < 0x7f);
}

static void check(const struct model_name *name)
{
	char shown[NAME_TEXT_SIZE], folder[NAME_TEXT_SIZE + 32];
	struct model_name back;

	check_part(name->host);
	check_part(name->namespace);
	check_part(name->model);
	check_part(name->tag);
	fuzz_require(name_valid(name));
	name_short(name, shown);
	fuzz_require(name_parse(shown, &back, NULL) == 0 && name_equal(name, &back));
	/* Where its tag lies it is found by that name. */
	snprintf(folder, sizeof folder, "manifests/%s/%s/%s", name->host, name->namespace, name->model);
	fuzz_require(store_tag_name(folder, name->tag, &back));
	fuzz_require(name_equal(name, &back) || !strcmp(back.host, NAME_DEFAULT_HOST));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), *slash;
	struct model_name name;

	if (!text)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	if (name_parse(text, &name, NULL) == 0)
		check(&name);
	slash = strrchr(text, '/');
	if (slash) {
		*slash = '\0';
		if (store_tag_name(text, slash + 1, &name))
			check(&name);
	}
	free(text);
	return 0;
}
