/*
 * Safetensors headers, checked. A struct safetensors owns its
 * entries and its map; one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/safetensors.h"

enum { LENGTH_BYTES = 8 };

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

static int by_begin(const void *a, const void *b)
{
	const struct st_tensor *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

static bool read_size(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

static int read_shape(const json_t *shape, struct st_tensor *t, uint64_t *ret_bytes, struct err *err)
{
	uint64_t bytes = dtype_size(t->dtype);
	const json_t *value;
	size_t i;

	if (!json_is_array(shape) || json_array_size(shape) > LIMIT_ST_RANK)
		return err_set(err, -EBADMSG, "tensor %s: its shape is no list of at most %u sizes",
			       t->name, LIMIT_ST_RANK);
	json_array_foreach(shape, i, value) {
		if (!read_size(value, &t->shape[i]) || __builtin_mul_overflow(bytes, t->shape[i], &bytes))
			return err_set(err, -EBADMSG, "tensor %s: impossible shape", t->name);
	}
	t->rank = (unsigned)json_array_size(shape);
	*ret_bytes = bytes;
	return 0;
}

static int read_tensor(const json_t *entry, uint64_t data_bytes, struct st_tensor *t, struct err *err)
{
	const char *dtype = json_string_value(json_object_get(entry, "dtype"));
	const json_t *offsets = json_object_get(entry, "data_offsets");
	uint64_t bytes = 0;
	int r;

	t->dtype = dtype ? dtype_parse(dtype) : DTYPE_NONE;
	if (t->dtype == DTYPE_NONE)
		return err_set(err, -EBADMSG, "tensor %s: unknown dtype %s", t->name, dtype ? dtype : "(none)");
	r = read_shape(json_object_get(entry, "shape"), t, &bytes, err);
	if (r < 0)
		return r;
	if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &t->begin) ||
	    !read_size(json_array_get(offsets, 1), &t->end) || t->end < t->begin)
		return err_set(err, -EBADMSG, "tensor %s: invalid data_offsets", t->name);
	if (t->end > data_bytes)
		return err_set(err, -EBADMSG, "tensor %s: its data ends at %" PRIu64
			       " but the file holds only %" PRIu64 " bytes of data (truncated?)",
			       t->name, t->end, data_bytes);
	if (t->end - t->begin != bytes)
		return err_set(err, -EBADMSG, "tensor %s: %" PRIu64 " bytes of data for a shape of %" PRIu64,
			       t->name, t->end - t->begin, bytes);
	return 0;
}

/* Ranges must cover the data region: no overlap, no hole, nothing behind. */
static int check_cover(struct st_tensor *tensors, size_t n, uint64_t data_bytes, struct err *err)
{
	uint64_t at = 0;

	if (n)
		qsort(tensors, n, sizeof *tensors, by_begin);
	for (size_t i = 0; i < n; i++) {
		if (tensors[i].begin < at)
			return err_set(err, -EBADMSG, "tensor %s: its data overlaps another's", tensors[i].name);
		if (tensors[i].begin > at)
			return err_set(err, -EBADMSG, "tensor %s: %" PRIu64 " unused bytes lie before its data",
				       tensors[i].name, tensors[i].begin - at);
		at = tensors[i].end;
	}
	if (at != data_bytes)
		return err_set(err, -EBADMSG, "%" PRIu64 " bytes follow the last tensor", data_bytes - at);
	return 0;
}

static int check_metadata(json_t *metadata, struct safetensors *ret, struct err *err)
{
	const char *key;
	json_t *value;

	if (json_is_null(metadata))     /* MLX writes that */
		return 0;
	if (!json_is_object(metadata))
		return err_set(err, -EBADMSG, "__metadata__ is no object");
	json_object_foreach(metadata, key, value)
		if (!json_is_string(value))
			return err_set(err, -EBADMSG, "__metadata__ member %s is no string", key);
	ret->metadata = json_incref(metadata);
	return 0;
}

static int read_header(json_t *header, uint64_t data_bytes, struct safetensors *ret, struct err *err)
{
	const char *key;
	json_t *value;
	int r = 0;

	ret->tensors = calloc(json_object_size(header) + 1, sizeof *ret->tensors);
	if (!ret->tensors)
		return err_set(err, -ENOMEM, "out of memory");
	json_object_foreach(header, key, value) {
		struct st_tensor *t = &ret->tensors[ret->n_tensors];

		if (!strcmp(key, "__metadata__")) {
			r = check_metadata(value, ret, err);
		} else {
			t->name = strdup(key);
			if (!t->name)
				return err_set(err, -ENOMEM, "out of memory");
			ret->n_tensors++;
			r = read_tensor(value, data_bytes, t, err);
		}
		if (r < 0)
			return r;
	}
	r = check_cover(ret->tensors, ret->n_tensors, data_bytes, err);
	if (r == 0 && ret->n_tensors)
		qsort(ret->tensors, ret->n_tensors, sizeof *ret->tensors, by_name);
	return r;
}

/* The header's length, checked against what there is. */
static int header_length(const unsigned char *head, size_t head_len, uint64_t file_size,
			 uint64_t *ret, struct err *err)
{
	uint64_t n = 0;

	if (head_len < LENGTH_BYTES || file_size < LENGTH_BYTES)
		return err_set(err, -EBADMSG, "too short for a header");
	for (int i = LENGTH_BYTES - 1; i >= 0; i--)
		n = n << 8 | head[i];
	if (n == 0 || n > LIMIT_ST_HEADER)
		return err_set(err, -EBADMSG, "header length %" PRIu64 " is impossible", n);
	if (n > file_size - LENGTH_BYTES || n > head_len - LENGTH_BYTES)
		return err_set(err, -EBADMSG, "header of %" PRIu64 " bytes in a file of %" PRIu64
			       " (truncated?)", n, file_size);
	*ret = n;
	return 0;
}

int safetensors_parse(const void *head, size_t head_len, uint64_t file_size,
		      struct safetensors *ret, struct err *err)
{
	json_error_t error;
	json_t *header;
	uint64_t n = 0;
	int r;

	*ret = (struct safetensors){ .file_size = file_size };
	r = header_length(head, head_len, file_size, &n, err);
	if (r < 0)
		return r;
	ret->data_start = LENGTH_BYTES + n;
	header = json_loadb((const char *)head + LENGTH_BYTES, n, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(header))
		r = err_set(err, -EBADMSG, "header is no JSON object: %s", header ? "" : error.text);
	else if (json_object_size(header) > LIMIT_ST_TENSORS)
		r = err_set(err, -EBADMSG, "header names more than %u tensors", LIMIT_ST_TENSORS);
	else
		r = read_header(header, file_size - ret->data_start, ret, err);
	json_decref(header);
	if (r < 0)
		safetensors_finish(ret);
	return r;
}

int safetensors_map_fd(int fd, const char *name, struct safetensors *ret, struct err *err)
{
	struct stat st;
	void *map;
	int r;

	*ret = (struct safetensors){ 0 };
	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "failed to open %s", name);
	if (!S_ISREG(st.st_mode) || st.st_size < LENGTH_BYTES)
		return err_set(err, -EBADMSG, "%s: not a safetensors file (too short for a header)", name);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_errno(err, errno, "failed to map %s", name);
	r = safetensors_parse(map, (size_t)st.st_size, (uint64_t)st.st_size, ret, err);
	if (r < 0) {
		munmap(map, (size_t)st.st_size);
		err_prefix(err, "%s", name);
		return r;
	}
	ret->map = map;
	return 0;
}

int safetensors_map(const char *path, struct safetensors *ret, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return err_errno(err, errno, "failed to open %s", path);
	r = safetensors_map_fd(fd, path, ret, err);
	close(fd);
	return r;
}

void safetensors_finish(struct safetensors *st)
{
	for (size_t i = 0; i < st->n_tensors; i++)
		free(st->tensors[i].name);
	free(st->tensors);
	json_decref(st->metadata);
	if (st->map)
		munmap((void *)st->map, st->file_size);
	*st = (struct safetensors){ 0 };
}

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
	struct st_tensor key = { .name = (char *)name };

	if (!st->n_tensors)
		return NULL;
	return bsearch(&key, st->tensors, st->n_tensors, sizeof key, by_name);
}

const struct st_tensor *safetensors_pick(const struct safetensors *st, const char *layer_name)
{
	const char *slash = strchr(layer_name, '/');
	const struct st_tensor *t = slash ? safetensors_find(st, slash + 1) : NULL;

	if (!t)
		t = safetensors_find(st, layer_name);
	return t ? t : safetensors_find(st, "data");
}

uint64_t st_tensor_elements(const struct st_tensor *t)
{
	return (t->end - t->begin) / dtype_size(t->dtype);
}

/* Appends an entry whose data starts at *at, and moves that on. */
static int add_entry(json_t *header, const struct st_entry *e, uint64_t *at, struct err *err)
{
	uint64_t bytes = dtype_size(e->dtype);
	json_t *shape = json_array(), *entry;

	for (unsigned i = 0; i < e->rank; i++) {
		if (e->shape[i] > INT64_MAX || __builtin_mul_overflow(bytes, e->shape[i], &bytes) ||
		    bytes > INT64_MAX) {
			json_decref(shape);
			return err_set(err, -EINVAL, "impossible shape");
		}
		json_array_append_new(shape, json_integer((json_int_t)e->shape[i]));
	}
	entry = json_pack("{s:s,s:o,s:[I,I]}", "dtype", dtype_name(e->dtype), "shape", shape, "data_offsets",
			  (json_int_t)*at, (json_int_t)(*at + bytes));
	*at += bytes;
	return json_object_set_new(header, e->key, entry) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* Length, text, spaces up to a multiple of 64. */
static int frame_header(const char *text, char **ret, size_t *ret_len, struct err *err)
{
	const size_t len = strlen(text), total = (LENGTH_BYTES + len + 63) & ~(size_t)63;
	char *out = malloc(total);

	if (!out)
		return err_set(err, -ENOMEM, "out of memory");
	memset(out, ' ', total);
	memcpy(out + LENGTH_BYTES, text, len);
	for (int i = 0; i < LENGTH_BYTES; i++)
		out[i] = (char)((total - LENGTH_BYTES) >> 8 * i);
	*ret = out;
	*ret_len = total;
	return 0;
}

int safetensors_header(const struct st_entry *entries, size_t n, json_t *metadata,
		       char **ret, size_t *ret_len, struct err *err)
{
	json_t *header = json_object();
	uint64_t at = 0;
	char *text;
	int r = 0;

	if (metadata)
		json_object_set(header, "__metadata__", metadata);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_entry(header, &entries[i], &at, err);
	text = r == 0 ? json_dumps(header, JSON_COMPACT) : NULL;
	json_decref(header);
	if (r < 0)
		return r;
	r = text ? frame_header(text, ret, ret_len, err) : err_set(err, -ENOMEM, "out of memory");
	free(text);
	return r;
}
