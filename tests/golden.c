/*
 * Reads recorded reference values for the tests. TEST_DATA is the tests/data folder.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fields.h"
#include "common/limits.h"
#include "tests/golden.h"

const char *golden_path(const char *format, ...)
{
	static char path[1024];
	int n = snprintf(path, sizeof path, "%s/goldens/", TEST_DATA);
	va_list ap;

	va_start(ap, format);
	vsnprintf(path + n, sizeof path - (size_t)n, format, ap);
	va_end(ap);
	return path;
}

json_t *golden_json(const char *path)
{
	struct err err;
	json_t *root = json_parse_file(path, LIMIT_CONFIG_FILE, &err);

	if (!root)
		fail_msg("%s: %s", path, err.text);
	return root;
}

char *golden_text(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	char *text;
	long len;

	if (!f)
		fail_msg("%s cannot be read", path);
	fseek(f, 0, SEEK_END);
	len = ftell(f);
	rewind(f);
	text = calloc(1, (size_t)len + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)len, f), len);
	fclose(f);
	*ret_len = (size_t)len;
	return text;
}

void golden_map(const char *path, struct safetensors *ret)
{
	struct err err;

	if (safetensors_map(path, ret, &err) < 0)
		fail_msg("%s", err.text);
}

const float *golden_floats(const struct safetensors *st, const char *name, size_t *ret_n)
{
	const struct st_tensor *t = safetensors_find(st, name);

	if (!t || t->dtype != DTYPE_F32)
		return NULL;
	*ret_n = (size_t)st_tensor_elements(t);
	return (const float *)(const void *)(st->map + st->data_start + t->begin);
}

double max_difference(const float *a, const float *b, size_t n)
{
	double max = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);

		if (!(d <= max))
			max = isnan(d) ? INFINITY : d;
	}
	return max;
}

double rms(const float *a, size_t n)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += (double)a[i] * a[i];
	return n ? sqrt(sum / (double)n) : 0;
}
