/*
 * easel-runner: arguments, the inherited socket, and which of the process's lives it is.
 * Started by the gateway, one process per loaded model or import.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/log.h"
#include "common/proto.h"
#include "common/settings.h"
#include "runner/bench/bench.h"
#include "runner/import/import.h"
#include "runner/link.h"
#include "runner/vk/vk.h"
#include "runner/wide_vectors.h"

static const char help[] =
	"Usage: easel-runner [--import | --devices | --bench ... | --version | --help]\n"
	"\n"
	"Holds one model and draws with it. easel-gateway starts it with a socket as\n"
	"descriptor 3; it is not started by hand.\n"
	"\n"
	"  --import    make a model of the store instead, without a GPU\n"
	"  --devices   print the compute devices as JSON and end\n"
	"  --bench     time ops, or the stages of a model; \"--bench --help\" says more\n"
	"  --version   print the version and end\n"
	"  --help      print this and end\n";

static json_t *device_json(const struct vk_device_info *d)
{
	return json_pack("{sI ss ss ss sI sI sb ss}", "index", (json_int_t)d->index,
			 "name", d->name, "type", vk_type_name(d->type), "driver", d->driver,
			 "memory_total", (json_int_t)d->memory_total,
			 "memory_available", (json_int_t)d->memory_available,
			 "usable", d->usable, "missing", d->missing);
}

static int print_json(json_t *list)
{
	char *text = json_dumps(list, JSON_COMPACT);
	int r = text && puts(text) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;

	free(text);
	return r;
}

static int print_devices(void)
{
	struct vk_device_info *devices;
	struct err err;
	json_t *list;
	size_t n;
	int status;

	if (vk_list(&devices, &n, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, device_json(&devices[i]));
	free(devices);
	status = print_json(list);
	json_decref(list);
	return status;
}

static int print_version(void)
{
	puts("easel-runner version " EASEL_VERSION);
	return EXIT_SUCCESS;
}

static int print_help(void)
{
	fputs(help, stdout);
	return EXIT_SUCCESS;
}

/* The gateway's end of the socketpair, not to be handed on to anything. */
static int take_socket(void)
{
	struct stat st;

	if (fstat(PROTO_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fprintf(stderr, "easel-runner is started by easel-gateway with a socket as descriptor "
			"%d; use \"easel serve\"\n", PROTO_FD);
		return -ENOTSOCK;
	}
	return fcntl(PROTO_FD, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int serve_model(void)
{
	char *device;
	int status;

	if (take_socket() < 0)
		return EXIT_FAILURE;
	wide_vectors_choose();
	device = settings_get("DEVICE");
	status = link_run(PROTO_FD, device);
	free(device);
	return status;
}

static int serve_import(void)
{
	return take_socket() < 0 ? EXIT_FAILURE : import_serve(PROTO_FD);
}

static const struct mode {
	const char *option;
	int (*run)(void);
} modes[] = {
	{ "--import", serve_import },
	{ "--devices", print_devices },
	{ "--version", print_version },
	{ "--help", print_help },
};

int main(int argc, char **argv)
{
	/* A closed socket is an error of write(), not the end. */
	signal(SIGPIPE, SIG_IGN);
	log_open("runner", log_level_from_env());
	if (argc < 2)
		return serve_model();
	if (strcmp(argv[1], "--bench") == 0)
		return bench_main(argc - 1, argv + 1);
	for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(argv[1], modes[i].option) == 0)
			return modes[i].run();
	fprintf(stderr, "easel-runner: unknown arguments\n\n%s", help);
	return 2;
}
