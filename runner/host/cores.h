#ifndef EASEL_RUNNER_HOST_CORES_H
#define EASEL_RUNNER_HOST_CORES_H

/*
 * How many threads may run at once: the CPUs this process is allowed on, less what a
 * control group's quota (cgroup v2 cpu.max, v1 cpu.cfs_quota_us) leaves of them. At least 1.
 */
unsigned host_cores(void);
/*
 * The least quota of the groups that a file like /proc/self/cgroup lists, in CPUs, their
 * folders under mount; infinite without any.
 */
double host_cpu_quota(const char *groups, const char *mount);

#endif
