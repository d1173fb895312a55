/*
 * Writing tags: the manifest's blob, the link of the v2 tree, the file of the legacy tree.
 * Owns nothing; blocks on the disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/store_internal.h"

/* A form of the tag that is written and only has to be renamed; temp "": none. */
struct staged {
	char temp[STORE_PATH], path[STORE_PATH];
};

static void say_kind(struct store *s, const char *kind)
{
	if (!s->v2_kind)
		log_info("no symbolic links in %s: tags of manifests-v2 are %s", s->root, kind);
	s->v2_kind = kind;
}

/* Whether the file system knows no such links: all else is an error to tell. */
static bool no_links(int error)
{
	return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK || error == EXDEV;
}

/* A relative link to the manifest's blob; where links fail, a hard link, then a copy. */
static int stage_v2(struct store *s, const struct model_name *name, const char *digest, const void *bytes,
		    size_t len, struct staged *v2, struct err *err)
{
	char target[DIGEST_SIZE + 32], blob[STORE_PATH];
	int r;

	tag_path(s, name, TAG_V2, v2->path);
	r = dir_make_parent(v2->path, err);
	if (r < 0)
		return r;
	snprintf(target, sizeof target, "../../../../blobs/sha256-%s", digest + strlen("sha256:"));
	store_blob_path(s, digest, blob, sizeof blob);
	file_temp_name(v2->path, v2->temp, sizeof v2->temp);
	if (symlink(target, v2->temp) == 0)
		return 0;
	if (no_links(errno) && link(blob, v2->temp) == 0) {
		say_kind(s, "hard links");
		return 0;
	}
	if (!no_links(errno)) {
		r = err_errno(err, errno, "create %s", v2->path);
		v2->temp[0] = '\0';
		return r;
	}
	say_kind(s, "copies");
	r = file_prepare(v2->path, bytes, len, v2->temp, sizeof v2->temp, err);
	if (r < 0)
		v2->temp[0] = '\0';
	return r;
}

static int stage_legacy(struct store *s, const struct model_name *name, const void *bytes, size_t len,
			struct staged *legacy, struct err *err)
{
	int r;

	tag_path(s, name, TAG_LEGACY, legacy->path);
	r = dir_make_parent(legacy->path, err);
	if (r == 0)
		r = file_prepare(legacy->path, bytes, len, legacy->temp, sizeof legacy->temp, err);
	if (r < 0)
		legacy->temp[0] = '\0';
	return r;
}

static int commit(struct staged *form, struct err *err)
{
	int r = file_commit(form->temp, form->path, err);

	unlink(form->temp);             /* still there where both were hard links of one file */
	form->temp[0] = '\0';
	return r;
}

static void discard(const struct staged *form)
{
	if (form->temp[0])
		unlink(form->temp);
}

/* The manifest blob exists and is whole: a damaged one is replaced. */
static int write_manifest_blob(struct store *s, const void *bytes, size_t len, char digest[DIGEST_SIZE],
			       struct err *err)
{
	char path[STORE_PATH], actual[DIGEST_SIZE] = "", *have = NULL;
	size_t have_len;

	digest_bytes(bytes, len, digest);
	if (store_blob_read(s, digest, len, &have, &have_len, NULL) == 0)
		digest_bytes(have, have_len, actual);
	free(have);
	if (!strcmp(actual, digest))
		return 0;
	store_blob_path(s, digest, path, sizeof path);
	return file_replace(path, bytes, len, err);
}

static void remove_form(struct store *s, const struct model_name *name, enum tag_tree tree)
{
	char path[STORE_PATH];

	tag_path(s, name, tree, path);
	if (unlink(path) == 0)
		tag_prune_parents(s, path);
}

int tag_write(struct store *s, const struct model_name *name, const void *bytes, size_t len, struct err *err)
{
	const bool has_legacy = settings_bool("LEGACY_MANIFESTS", true);
	struct staged v2 = { 0 }, legacy = { 0 };
	char digest[DIGEST_SIZE];
	int r = write_manifest_blob(s, bytes, len, digest, err);

	if (r == 0)
		r = stage_v2(s, name, digest, bytes, len, &v2, err);
	if (r == 0 && has_legacy)
		r = stage_legacy(s, name, bytes, len, &legacy, err);
	if (r == 0)
		r = commit(&v2, err);
	if (r == 0 && has_legacy)
		r = commit(&legacy, err);
	discard(&v2);
	discard(&legacy);
	if (r < 0)
		return r;
	if (tag_host_is_public(name->host))
		remove_form(s, name, TAG_LEGACY_OTHER);
	if (!has_legacy)
		remove_form(s, name, TAG_LEGACY);
	return 0;
}
