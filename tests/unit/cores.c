/*
 * cores.c: quotas of control groups of both versions, in files as the kernel writes them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runner/host/cores.h"
#include "tests/temp.h"

static void put(const char *folder, const char *name, const char *text)
{
	temp_write(folder, name, text, strlen(text));
}

/* The quota in a folder with groups of both versions. */
static double quota_of(const char *folder, const char *groups)
{
	char path[1024];

	put(folder, "groups", groups);
	snprintf(path, sizeof path, "%s/groups", folder);
	return host_cpu_quota(path, folder);
}

static void test_quotas(void **unused)
{
	char *folder = temp_create(), line[4200];

	(void)unused;
	put(folder, "outer/cpu.max", "150000 100000\n");
	put(folder, "outer/inner/cpu.max", "max 100000\n");
	put(folder, "cpu/box/cpu.cfs_quota_us", "250000\n");
	put(folder, "cpu/box/cpu.cfs_period_us", "100000\n");

	assert_true(isinf(quota_of(folder, "")));
	assert_true(isinf(quota_of(folder, "0::/\n")));
	assert_true(isinf(quota_of(folder, "none\nof: this\n")));
	assert_true(quota_of(folder, "0::/outer/inner\n") == 1.5);
	assert_true(quota_of(folder, "4:cpu,cpuacct:/box\n0::/\n") == 2.5);
	assert_true(quota_of(folder, "4:cpuacct,cpu:/box\n") == 2.5);
	assert_true(quota_of(folder, "4:cpu:/box\n0::/outer\n") == 1.5);
	assert_true(isinf(quota_of(folder, "4:cpuset:/box\n3:cpuacct:/box\n")));
	put(folder, "cpu/box/cpu.cfs_quota_us", "-1\n");
	assert_true(isinf(quota_of(folder, "4:cpu:/box\n")));

	/* A group whose name is long is looked up whole or not at all; those above it count. */
	snprintf(line, sizeof line, "0::/outer/%04000d\n", 0);
	assert_true(quota_of(folder, line) == 1.5);
	temp_remove(folder);
}

static void test_at_least_one(void **unused)
{
	(void)unused;
	assert_true(host_cores() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotas), cmocka_unit_test(test_at_least_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
