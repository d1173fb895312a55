/*
 * easel-gateway: settings, signals, the event loop. Owns the one context; one thread,
 * which never waits for anything but events once the server listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/gateway.h"
#include "gateway/imports.h"
#include "gateway/kept_files.h"
#include "gateway/metrics.h"
#include "gateway/pool.h"
#include "gateway/routes.h"

#define DEFAULT_KEEP_ALIVE_NS (300 * INT64_C(1000000000))
#define DEFAULT_LOAD_TIMEOUT_NS (300 * INT64_C(1000000000))
#define MODELS_PER_GPU 3u

struct server {
	struct gateway gw;
	struct event *signals[2];
	bool ending;
	bool choose_max_loaded;         /* by the number of GPUs */
};

/* ---- preparing the process ---- */

/* Where memory ends, half an answer must not follow: libevent's callers need no checks. */
static void *must_have(void *p, size_t size)
{
	if (p || !size)
		return p;
	log_error("out of memory (%zu bytes)", size);
	abort();
}

static void *event_malloc(size_t size)
{
	return must_have(malloc(size), size);
}

static void *event_realloc(void *p, size_t size)
{
	return must_have(realloc(p, size), size);
}

/* Descriptors 0 to 2 exist, so that no socket gets their numbers. */
static void open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* EASEL_RUNNER, else beside this program, else where a build tree has it. */
static char *find_runner(void)
{
	static const char *const places[] = { "easel-runner", "../runner/easel-runner" };
	char self[4096], *given = settings_get("RUNNER"), *ret = NULL;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *folder;

	if (given)
		return given;
	if (len < 0)
		return strdup(places[0]);
	self[len] = '\0';
	folder = dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		free(ret);
		if (asprintf(&ret, "%s/%s", folder, places[i]) < 0)
			return NULL;
		if (access(ret, X_OK) == 0)
			break;
	}
	return ret;
}

/* ---- what the log says first ---- */

static void log_settings(void)
{
	struct buf text = BUF_INIT(16384);

	for (const struct setting *s = settings; s->name; s++) {
		char *value = settings_get(s->name);

		buf_printf(&text, "%sEASEL_%s:%s", text.len ? " " : "", s->name,
			   value ? value : s->default_text);
		free(value);
	}
	log_info("server config env=map[%s]", text.data ? text.data : "");
	buf_finish(&text);
}

static uint64_t number_of(const json_t *device, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(device, name));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text_of(const json_t *device, const char *name)
{
	const char *text = json_string_value(json_object_get(device, name));

	return text ? text : "";
}

static void log_device(const json_t *device, size_t id)
{
	char total[32], available[32];

	human_bytes_binary(number_of(device, "memory_total"), total, sizeof(total));
	human_bytes_binary(number_of(device, "memory_available"), available, sizeof(available));
	log_info("inference compute id=%zu library=Vulkan name=%s type=%s driver=%s "
		 "total=%s available=%s", id, text_of(device, "name"), text_of(device, "type"),
		 text_of(device, "driver"), total, available);
}

static bool is_gpu(const json_t *device)
{
	const char *type = text_of(device, "type");

	return !strcmp(type, "discrete") || !strcmp(type, "integrated") || !strcmp(type, "virtual");
}

static void on_devices(void *ctx, const char *text, const struct err *err)
{
	struct server *server = ctx;
	json_t *devices = text ? json_parse(text, strlen(text), true, NULL) : NULL, *device;
	unsigned n_gpus = 0;
	size_t i;

	server->gw.unready[0] = '\0';
	if (err || !json_array_size(devices)) {
		snprintf(server->gw.unready, sizeof(server->gw.unready),
			 "no device to compute on: %s", err ? err->text : "the runner lists none");
		log_warn("%s", server->gw.unready);
	}
	json_array_foreach(devices, i, device) {
		log_device(device, i);
		n_gpus += is_gpu(device);
	}
	json_decref(devices);
	if (server->choose_max_loaded && !server->ending && n_gpus > 1)
		pool_set_max_loaded(server->gw.pool, MODELS_PER_GPU * n_gpus);
}

/* ---- the end ---- */

static void on_runners_gone(void *ctx)
{
	struct server *server = ctx;

	event_base_loopbreak(server->gw.base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct server *server = arg;

	(void)what;
	if (server->ending) {
		log_info("second signal: ending at once");
		event_base_loopbreak(server->gw.base);
		return;
	}
	log_info("%s: ending", strsignal((int)number));
	server->ending = true;
	http_server_destroy(server->gw.http);
	server->gw.http = NULL;
	runners_stop(server->gw.runners, on_runners_gone, server);
}

static void server_finish(struct server *server)
{
	struct gateway *gw = &server->gw;

	http_server_destroy(gw->http);
	transfers_destroy(gw->transfers);       /* what its threads have done yet is told to those below */
	kept_files_destroy(gw->files);
	metrics_destroy(gw->metrics);
	pool_destroy(gw->pool);
	imports_destroy(gw->imports);
	runners_destroy(gw->runners);
	access_destroy(gw->access);
	catalog_destroy(gw->catalog);
	store_close(gw->store);
	for (size_t i = 0; i < sizeof(server->signals) / sizeof(server->signals[0]); i++)
		if (server->signals[i])
			event_free(server->signals[i]);
	if (gw->base)
		event_base_free(gw->base);
}

/* ---- the beginning ---- */

static int watch_signals(struct server *server, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct event *e = evsignal_new(server->gw.base, numbers[i], on_signal, server);

		/* What libevent restores at the very end: one more must not kill us then. */
		signal(numbers[i], SIG_IGN);
		if (event_add(e, NULL) < 0)
			return err_set(err, -EIO, "cannot watch signals");
		server->signals[i] = e;
	}
	return 0;
}

static int open_store(struct gateway *gw, struct err *err)
{
	char *root = settings_models_dir(err);
	struct err prune;
	int r;

	if (!root)
		return err->code;
	r = store_open(root, &gw->store, err);
	free(root);
	if (r == 0 && !settings_bool("NOPRUNE", false) && store_prune(gw->store, &prune) < 0)
		log_warn("%s", prune.text);
	return r;
}

static int create_access(struct gateway *gw, struct err *err)
{
	char *origins = settings_get("ORIGINS");
	int r = access_create(origins, &gw->access, err);

	free(origins);
	return r;
}

static int create_runners(struct gateway *gw, struct err *err)
{
	char *path = find_runner();
	int r = path ? runners_create(gw->base, path, &gw->runners, err) :
		err_set(err, -ENOMEM, "out of memory");

	free(path);
	return r;
}

static int create_pool(struct server *server, struct err *err)
{
	uint64_t max_loaded = settings_u64("MAX_LOADED_MODELS", 0);
	bool given = max_loaded && max_loaded < UINT32_MAX;
	struct pool_limits limits = {
		.max_loaded = given ? (unsigned)max_loaded : MODELS_PER_GPU,
		.max_queue = (size_t)settings_u64("MAX_QUEUE", 512),
		.keep_alive_ns = settings_duration_ns("KEEP_ALIVE", DEFAULT_KEEP_ALIVE_NS),
	};

	server->choose_max_loaded = !given;
	return pool_create(&server->gw, &limits, &server->gw.pool, err);
}

static void read_step_cache(struct step_cache_setting *ret)
{
	char *text = settings_get("STEP_CACHE");
	struct err err;

	if (text && step_cache_parse(text, ret, &err) < 0)
		log_warn("EASEL_STEP_CACHE is not used: %s", err.text);
	free(text);
}

static int create_all(struct server *server, struct err *err)
{
	struct gateway *gw = &server->gw;
	int r;

	gw->load_timeout_ns = settings_duration_ns("LOAD_TIMEOUT", DEFAULT_LOAD_TIMEOUT_NS);
	read_step_cache(&gw->step_cache);
	gw->uploads.max = LIMIT_UPLOADS_HELD;
	gw->kept.max = LIMIT_KEPT_BYTES;
	gw->started_ns = time_now_ns();
	snprintf(gw->unready, sizeof(gw->unready), "still looking for devices");
	gw->no_cloud_is_set = settings_bool("NO_CLOUD", false);
	gw->base = event_base_new();
	r = gw->base ? watch_signals(server, err) : err_set(err, -EIO, "cannot make an event loop");
	if (r == 0)
		r = metrics_create(&gw->metrics, err);
	if (r == 0)
		r = create_access(gw, err);
	if (r == 0)
		r = open_store(gw, err);
	if (r == 0)
		r = catalog_create(gw->store, &gw->catalog, err);
	if (r == 0)
		r = create_runners(gw, err);
	if (r == 0)
		r = create_pool(server, err);
	if (r == 0)
		r = imports_create(gw, &gw->imports, err);
	if (r == 0)
		r = transfers_create(gw->base, gw->store, &gw->transfers, err);
	if (r == 0)
		r = kept_files_create(gw->base, &gw->kept, &gw->files, err);
	if (r == 0)
		r = http_server_create(gw->base, &routes_handler, gw, &gw->uploads, &gw->http);
	return r;
}

static int start_listening(struct gateway *gw, struct err *err)
{
	char *text = settings_get("HOST");
	struct host host;
	bool loopback;
	int r = settings_host(text, &host, err);

	free(text);
	if (r < 0)
		return r;
	r = http_server_listen(gw->http, &host, gw->address, &loopback, err);
	host_finish(&host);
	if (r < 0)
		return r;
	access_check_host(gw->access, loopback);
	log_info("Listening on %s (version %s)", gw->address, EASEL_VERSION);
	return 0;
}

static int serve(struct server *server, struct err *err)
{
	struct err devices;
	int r;

	log_settings();
	r = create_all(server, err);
	if (r == 0)
		r = start_listening(&server->gw, err);
	if (r < 0)
		return r;
	if (runners_list_devices(server->gw.runners, on_devices, server, &devices) < 0)
		on_devices(server, NULL, &devices);
	if (event_base_dispatch(server->gw.base) < 0)
		return err_set(err, -EIO, "the event loop failed");
	return 0;
}

static void print_help(void)
{
	printf("Usage: easel-gateway [--help] [--version]\n\n"
	       "Serves the HTTP API of easel. Usually started by \"easel serve\".\n\n"
	       "Environment Variables:\n");
	for (const struct setting *s = settings; s->name; s++)
		printf("      EASEL_%-21s   %s%s%s%s\n", s->name, s->help,
		       *s->default_text ? " (default " : "", s->default_text,
		       *s->default_text ? ")" : "");
}

/* An unknown word is an error: whoever set it parses the log. */
static int open_log(struct err *err)
{
	char *format = settings_get("LOG_FORMAT");
	int r = 0;

	log_open("gateway", log_level_from_env());
	if (format && !strcmp(format, "json"))
		log_set_format(LOG_JSON);
	else if (format && strcmp(format, "logfmt"))
		r = err_set(err, -EINVAL, "EASEL_LOG_FORMAT is \"%.40s\", must be logfmt or json",
			    format);
	free(format);
	return r;
}

int main(int argc, char **argv)
{
	struct server server = { 0 };
	struct err err;
	int r;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("easel-gateway %s\n", EASEL_VERSION);
		return 0;
	}
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		print_help();
		return 0;
	}
	if (argc > 1) {
		fprintf(stderr, "Error: unknown argument \"%s\"; see easel-gateway --help\n",
			argv[1]);
		return 1;
	}
	open_standard_streams();
	raise_file_limit();
	event_set_mem_functions(event_malloc, event_realloc, free);
	r = open_log(&err);
	if (r == 0)
		r = serve(&server, &err);
	if (r < 0)
		fprintf(stderr, "Error: %s\n", err.text);
	server_finish(&server);
	return r < 0 ? 1 : 0;
}
