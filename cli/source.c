/*
 * Finds what easel create imports: reads the Modelfile and decides whether its FROM is
 * a folder of weights or the name of a model. Owns nothing but its result.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/source.h"
#include "common/name.h"
#include "common/text.h"

/* "folder/path", or path alone when it is absolute; the caller frees. */
static char *join(const char *folder, const char *path)
{
	char *joined;

	if (*path == '/')
		return strdup(path);
	return asprintf(&joined, "%s/%s", folder, path) < 0 ? NULL : joined;
}

static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return strdup(".");
	return strndup(file, slash == file ? 1 : (size_t)(slash - file));
}

/*
 * The absolute path of folder/path when it holds an image model, or is a GGUF file in a
 * folder that does; else NULL.
 */
static char *model_folder(const char *folder, const char *path)
{
	char *joined = join(folder, path);
	char *holder = joined && text_ends_with(joined, ".gguf") ? folder_of(joined) : NULL;
	char *index = joined ? join(holder ? holder : joined, "model_index.json") : NULL;
	char *found = index && access(index, F_OK) == 0 ? realpath(joined, NULL) : NULL;

	free(holder);
	free(index);
	free(joined);
	return found;
}

static int not_a_model(const char *path, struct err *err)
{
	return err_set(err, -EINVAL, "%s is not a supported model directory "
		       "(needs config.json + *.safetensors or model_index.json)", path);
}

static int use_folder(struct source *s, char *path)
{
	s->from = path;
	s->is_folder = true;
	return 0;
}

/* "~/models/x" as a path, or NULL when it is no such thing. */
static char *home_path(const char *path)
{
	const char *home = getenv("HOME");

	return home && !strncmp(path, "~/", 2) ? join(home, path + 2) : NULL;
}

/* FROM a folder beside the Modelfile, in the current folder, or else a model's name. */
static int resolve_from(struct source *s, const char *base, const char *from, struct err *err)
{
	struct model_name name;
	char *home = home_path(from), *path;

	path = model_folder(base, home ? home : from);
	free(home);
	if (!path)
		path = model_folder(".", from);
	if (path)
		return use_folder(s, path);
	if (strchr("/.~", *from) || name_parse(from, &name, NULL) < 0)
		return not_a_model(from, err);
	s->from = strdup(from);
	return s->from ? 0 : err_errno(err, ENOMEM, "reading the Modelfile");
}

/* Without a FROM the weights must lie where the Modelfile is. */
static int resolve_base(struct source *s, const char *base, bool has_modelfile, struct err *err)
{
	char *path = model_folder(base, ".");

	if (path)
		return use_folder(s, path);
	if (has_modelfile)
		return err_set(err, -EINVAL, "no FROM line");
	return not_a_model(base, err);
}

/* 1 when there is a Modelfile, 0 when there need not be one. */
static int read_modelfile(const char *file, const char *base, struct source *s, struct err *err)
{
	char *path = file ? strdup(file) : join(base, "Modelfile");
	int r;

	if (!path)
		return err_errno(err, ENOMEM, "reading the Modelfile");
	r = modelfile_read(path, &s->modelfile, err);
	free(path);
	if (r != -ENOENT)
		return r < 0 ? r : 1;
	return file ? err_set(err, -ENOENT, "specified Modelfile wasn't found") : 0;
}

static int resolve(struct source *s, const char *file, const char *folder, const char *base,
		   struct err *err)
{
	int r = read_modelfile(file, base, s, err);

	if (r < 0)
		return r;
	/* Both named: the folder has the weights, the Modelfile says the rest. */
	if (file && folder)
		return resolve_base(s, folder, false, err);
	if (s->modelfile.from)
		return resolve_from(s, base, s->modelfile.from, err);
	return resolve_base(s, base, r == 1, err);
}

int source_find(const char *file, const char *folder, struct source *ret, struct err *err)
{
	char *base = file ? folder_of(file) : strdup(folder ? folder : ".");
	int r;

	*ret = (struct source){ 0 };
	if (!base)
		return err_errno(err, ENOMEM, "reading the Modelfile");
	r = resolve(ret, file, folder, base, err);
	free(base);
	return r;
}

void source_finish(struct source *s)
{
	modelfile_finish(&s->modelfile);
	free(s->from);
	*s = (struct source){ 0 };
}
