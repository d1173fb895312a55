/*
 * The cores this process may use. Reads the scheduler's mask and the control group's
 * files; keeps nothing. Any thread.
 */
#include "runner/host/cores.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned allowed_cpus(void)
{
	const long all = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	/* The kernel's mask may be longer than this one. */
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return all > 0 ? (unsigned)all : 1;
	return (unsigned)CPU_COUNT(&set);
}

/* "max 100000" or "150000 100000" in cpu.max; quota and period in two files before v2. */
static double quota_of(const char *folder)
{
	char path[PATH_MAX];
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
		char folder[PATH_MAX - sizeof "/cpu.cfs_period_us"];
		char *slash;

		snprintf(folder, sizeof folder, "%s%s", mount, group);
		least = fmin(least, quota_of(folder));
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* Whether "cpu" is in "cpuset,cpu,cpuacct". */
static bool has_cpu(const char *controllers)
{
	for (; *controllers; controllers += strspn(controllers, ",")) {
		const size_t n = strcspn(controllers, ",");

		if (n == 3 && !strncmp(controllers, "cpu", n))
			return true;
		controllers += n;
	}
	return false;
}

/* A line of /proc/self/cgroup: "0::/group" (v2), "4:cpu,cpuacct:/group" (v1). */
static double quota_of_line(char *line, const char *mount)
{
	char *controllers = strchr(line, ':'), *group, folder[256];

	group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group)
		return INFINITY;
	controllers++;
	*group++ = '\0';
	if (!*controllers)
		return quota_under(mount, group);
	if (!has_cpu(controllers))
		return INFINITY;
	snprintf(folder, sizeof folder, "%s/cpu", mount);
	return quota_under(folder, group);
}

double host_cpu_quota(const char *groups, const char *mount)
{
	FILE *f = fopen(groups, "re");
	double least = INFINITY;
	char *line = NULL;
	size_t size = 0;

	if (!f)
		return least;
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		least = fmin(least, quota_of_line(line, mount));
	}
	free(line);
	fclose(f);
	return least;
}

unsigned host_cores(void)
{
	const double quota = host_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
	const double cores = fmin(allowed_cpus(), ceil(quota));

	return cores < 1 ? 1 : (unsigned)cores;
}
