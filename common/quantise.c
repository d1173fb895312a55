/*
 * The words for quantised forms. Pure; any thread.
 */
#include <errno.h>
#include <stddef.h>
#include <strings.h>

#include "common/quantise.h"

static const struct {
	const char *word, *form;
} words[] = {
	{ "int8", "int8" }, { "q8", "int8" }, { "fp8", "int8" },
	{ "int4", "int4" }, { "q4", "int4" }, { "fp4", "int4" },
	{ "nvfp4", "nvfp4" }, { "mxfp4", "mxfp4" }, { "mxfp8", "mxfp8" },
};

const char *quantise_form(const char *word)
{
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcasecmp(words[i].word, word) == 0)
			return words[i].form;
	return NULL;
}

int quantise_check(const char *word, struct err *err)
{
	if (!word || !*word || quantise_form(word))
		return 0;
	return err_set(err, -EINVAL, "unsupported --quantize \"%.40s\": supported types are int4, int8, nvfp4, "
		       "mxfp4, mxfp8, fp8", word);
}
