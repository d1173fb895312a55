/*
 * easel serve: becomes the gateway. Finds it in a build folder, beside itself, or
 * where it was installed.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

/* Where the gateway may be, seen from the folder of this program. */
static const char *const places[] = {
	"../gateway/easel-gateway",             /* build folder */
	"easel-gateway",
	"../libexec/easel/easel-gateway",       /* installed somewhere else than planned */
};

static int own_folder(char ret[PATH_MAX], struct err *err)
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);

	if (n < 0)
		return err_errno(err, errno, "cannot find this program: /proc/self/exe");
	ret[n] = '\0';
	dirname(ret);
	return 0;
}

static int find_gateway(char *ret, size_t size, struct err *err)
{
	const char *forced = getenv("EASEL_GATEWAY");
	char folder[PATH_MAX];
	int r;

	if (forced && *forced) {
		snprintf(ret, size, "%s", forced);
		return 0;
	}
	r = own_folder(folder, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(ret, size, "%s/%s", folder, places[i]);
		if (access(ret, X_OK) == 0)
			return 0;
	}
	snprintf(ret, size, "%s/easel-gateway", EASEL_LIBEXECDIR);
	return 0;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	char path[PATH_MAX * 2];
	char *const argv[] = { path, NULL };
	int r = find_gateway(path, sizeof path, err);

	(void)cli;
	(void)values;
	(void)args;
	(void)n;
	if (r < 0)
		return r;
	/* Ignored signals would be inherited. */
	signal(SIGPIPE, SIG_DFL);
	fflush(NULL);
	execv(path, argv);
	return err_errno(err, errno, "cannot start the server %s (EASEL_GATEWAY names another)",
			 path);
}

const struct command cmd_serve = {
	.name = "serve", .alias = "start", .arguments = "", .brief = "Start easel",
	.settings = SETTINGS_SERVER, .run = run,
};
