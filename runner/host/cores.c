/*
 * The cores this process may use. Reads the scheduler's mask and the control group's
 * files; keeps nothing. Any thread.
 */
#include "runner/host/cores.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned allowed_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* "max 100000" or "150000 100000" in cpu.max; quota and period in two files before v2. */
static double quota_of(const char *folder)
{
	char path[512];
	double quota = -1, period = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/cpu.max", folder);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%lf %lf", &quota, &period) != 2)
			quota = -1;
		fclose(f);
		return quota > 0 && period > 0 ? quota / period : INFINITY;
	}
	snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
	f = fopen(path, "re");
	if (!f)
		return INFINITY;
	if (fscanf(f, "%lf", &quota) != 1)
		quota = -1;
	fclose(f);
	snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
	f = fopen(path, "re");
	if (!f)
		return INFINITY;
	if (fscanf(f, "%lf", &period) != 1)
		period = 0;
	fclose(f);
	return quota > 0 && period > 0 ? quota / period : INFINITY;
}

/* The tightest quota of the group and the groups above it. */
static double quota_under(const char *mount, char *group)
{
	double least = INFINITY;

	for (;;) {
		char folder[448];
		char *slash;

		snprintf(folder, sizeof folder, "%s%s", mount, group);
		least = fmin(least, quota_of(folder));
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* A line of /proc/self/cgroup: "0::/group" (v2), "4:cpu,cpuacct:/group" (v1). */
static double quota_of_line(char *line)
{
	char *controllers = strchr(line, ':'), *group;

	line[strcspn(line, "\n")] = '\0';
	group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group)
		return INFINITY;
	*group++ = '\0';
	if (!strcmp(controllers, ":"))
		return quota_under("/sys/fs/cgroup", group);
	if (!strstr(controllers, ":cpu,") && !strstr(controllers, ",cpu,") && strcmp(controllers, ":cpu"))
		return INFINITY;
	return quota_under("/sys/fs/cgroup/cpu", group);
}

static double quota(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	double least = INFINITY;
	char line[400];

	if (!f)
		return least;
	while (fgets(line, sizeof line, f))
		least = fmin(least, quota_of_line(line));
	fclose(f);
	return least;
}

unsigned host_cores(void)
{
	const double cores = fmin(allowed_cpus(), ceil(quota()));

	return cores < 1 ? 1 : (unsigned)cores;
}
