/*
 * The tensors of a model: where they come from and who claims them. Owns the mapped
 * blobs and the list of everything that does not fit. GPU thread, or the importer.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/log.h"
#include "runner/sigbus.h"
#include "runner/weights_private.h"

enum { NAME_MAX_LEN = 512, PROBLEMS_MAX = 380 };        /* what fits into one error */
enum { WIDEN_MAX = 1 << 20 };                           /* elements; a vector is smaller */

/* ---- sources ---- */

struct weights *weights_create(void)
{
	struct weights *w = calloc(1, sizeof *w);

	if (w)
		buf_init(&w->problems, 4096);
	return w;
}

/* Room for one more element; *list stays valid on failure. */
static bool reserve(void **list, size_t n, size_t *size, size_t element)
{
	size_t bigger = *size ? *size * 2 : 256;
	void *grown;

	if (n < *size)
		return true;
	grown = reallocarray(*list, bigger, element);
	if (!grown)
		return false;
	*list = grown;
	*size = bigger;
	return true;
}

int weights_offer(struct weights *w, const struct weights_source *source, struct err *err)
{
	struct weights_source s = *source;

	if (!reserve((void **)&w->sources, w->n_sources, &w->sources_size, sizeof s))
		return err_set(err, -ENOMEM, "out of memory");
	s.name = strdup(source->name);
	s.origin = strdup(source->origin ? source->origin : "");
	s.claimed = false;
	w->sorted = false;
	if (!s.name || !s.origin) {
		free(s.name);
		free(s.origin);
		return err_set(err, -ENOMEM, "out of memory");
	}
	w->sources[w->n_sources++] = s;
	return 0;
}

static int map_blob(const struct store *s, const struct layer *layer, struct blob *b,
		    struct err *err)
{
	int fd, r;

	fd = store_blob_open(s, layer->digest, err);
	if (fd < 0)
		return fd;
	r = safetensors_map_fd(fd, layer->digest, &b->st, err);
	close(fd);
	if (r < 0)
		return err_prefix(err, "tensor %s", layer->name);
	strcpy(b->digest, layer->digest);
	if (!sigbus_watch(b->st.map, b->st.file_size, b->digest))
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int offer_tensor(struct weights *w, const char *name, const struct blob *b,
			const struct st_tensor *t, struct err *err)
{
	struct weights_source source;
	int r = weights_read_tensor(&b->st, t, w->bits, &source, err);

	if (r < 0)
		return err_prefix(err, "tensor %s, blob %s", name, b->digest);
	source.name = (char *)name;
	source.origin = (char *)b->digest;
	return weights_offer(w, &source, err);
}

/* A blob of several tensors, each by its own name, with or without the component's. */
static int offer_group(struct weights *w, const struct layer *layer, const struct blob *b, struct err *err)
{
	const char *slash = strchr(layer->name, '/');
	const int component = slash ? (int)(slash + 1 - layer->name) : 0;
	char name[NAME_MAX_LEN];
	int r = 0;

	if (b->st.n_tensors == 0)
		return err_set(err, -EBADMSG, "blob %s does not hold tensor %s", b->digest, layer->name);
	for (size_t i = 0; i < b->st.n_tensors && r == 0; i++) {
		const struct st_tensor *t = &b->st.tensors[i];
		const bool whole = component && !strncmp(t->name, layer->name, (size_t)component);

		if (weights_is_companion(&b->st, t->name))
			continue;
		if (snprintf(name, sizeof name, "%.*s%s", whole ? 0 : component, layer->name, t->name) >=
		    (int)sizeof name)
			return err_set(err, -EBADMSG, "blob %s: the name of tensor %.100s... is too long",
				       b->digest, t->name);
		r = offer_tensor(w, name, b, t, err);
	}
	return r;
}

static int offer_blob(struct weights *w, const struct layer *layer, const struct blob *b,
		      struct err *err)
{
	const struct st_tensor *t = safetensors_pick(&b->st, layer->name);

	return t ? offer_tensor(w, layer->name, b, t, err) : offer_group(w, layer, b, err);
}

/* Old quantised blobs say nothing of their type: the model's index then does ("FP8", "Q4"). */
static unsigned stored_bits(const struct store *s, const struct manifest *m)
{
	const struct layer *layer = manifest_find(m, MEDIA_JSON, "model_index.json");
	const char *text, *last;
	struct err ignored;
	unsigned bits = 0;
	json_t *index;
	size_t len;
	char *bytes;

	if (!layer || store_blob_read(s, layer->digest, LIMIT_CONFIG_FILE, &bytes, &len, &ignored) < 0)
		return 0;
	index = json_loadb(bytes, len, 0, NULL);
	text = json_string_value(json_object_get(index, "quantization"));
	last = text && *text ? text + strlen(text) - 1 : "";
	if (*last == '4' || *last == '8')
		bits = (unsigned)(*last - '0');
	json_decref(index);
	free(bytes);
	return bits;
}

static int open_blobs(struct weights *w, const struct store *s, const struct manifest *m,
		      struct err *err)
{
	size_t i;
	int r;

	w->blobs = calloc(m->n_layers + 1, sizeof *w->blobs);
	if (!w->blobs)
		return err_set(err, -ENOMEM, "out of memory");
	for (i = 0; i < m->n_layers; i++) {
		const struct layer *layer = &m->layers[i];
		struct blob *b = &w->blobs[w->n_blobs];

		if (strcmp(layer->media_type, MEDIA_TENSOR))
			continue;
		if (!layer->name)
			return err_set(err, -EBADMSG, "tensor layer %s has no name", layer->digest);
		w->n_blobs++;
		r = map_blob(s, layer, b, err);
		if (r == 0)
			r = offer_blob(w, layer, b, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int weights_open(const struct store *s, const struct manifest *m, struct weights **ret,
		 struct err *err)
{
	struct weights *w = weights_create();
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	w->bits = stored_bits(s, m);
	r = open_blobs(w, s, m, err);
	if (r == 0)
		r = weights_join(w, err);
	if (r < 0) {
		weights_close(NULL, &w);
		return r;
	}
	*ret = w;
	return 0;
}

void weights_close(struct vk *vk, struct weights **ret)
{
	struct weights *w = *ret;
	size_t i;

	if (!w)
		return;
	/* Buffers first: they may wrap the mappings. */
	for (i = 0; i < w->n_buffers; i++)
		vk_buffer_destroy(vk, &w->buffers[i]);
	for (i = 0; i < w->n_blobs; i++) {
		if (w->blobs[i].st.map)
			sigbus_forget(w->blobs[i].st.map);
		safetensors_finish(&w->blobs[i].st);
	}
	for (i = 0; i < w->n_sources; i++) {
		free(w->sources[i].name);
		free(w->sources[i].origin);
	}
	free(w->buffers);
	free(w->blobs);
	free(w->sources);
	free(w->claims);
	free(w->views);
	buf_finish(&w->problems);
	free(w);
	*ret = NULL;
}

/* ---- problems ---- */

__attribute__((format(printf, 2, 3)))
static void problem(struct weights *w, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_debug("weights: %s", text);
	/* Whole entries only; weights_check() counts the others. */
	if (w->n_listed == 0 || w->problems.len + strlen(text) + 2 <= PROBLEMS_MAX) {
		buf_printf(&w->problems, "%s%s", w->n_listed ? "; " : "", text);
		w->n_listed++;
	}
	w->n_problems++;
}

static void print_shape(unsigned rank, const uint64_t *shape, char ret[96])
{
	size_t n = 0;
	unsigned i;

	ret[0] = 0;
	for (i = 0; i < rank && n < 70; i++)
		n += (size_t)snprintf(ret + n, 96 - n, "%s%llu", i ? ", " : "",
				      (unsigned long long)shape[i]);
}

/* ---- claims ---- */

static int by_name(const void *a, const void *b)
{
	const struct weights_source *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void weights_part(struct weights *w, enum weights_part part)
{
	w->part = part;
}

void weights_sort(struct weights *w)
{
	if (w->n_sources && !w->sorted)
		qsort(w->sources, w->n_sources, sizeof *w->sources, by_name);
	w->sorted = true;
}

void weights_component(struct weights *w, const char *component, const char *optional_prefix)
{
	w->component = component;
	w->optional_prefix = optional_prefix;
	weights_sort(w);
}

struct weights_source *weights_find(const struct weights *w, const char *name)
{
	struct weights_source key = { .name = (char *)name };

	if (!w->n_sources)
		return NULL;
	return bsearch(&key, w->sources, w->n_sources, sizeof key, by_name);
}

/* "to_q.weight" in component "transformer", then with the optional prefix. */
static struct weights_source *find(const struct weights *w, const char *relative)
{
	struct weights_source *s;
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof name, "%s/%s", w->component, relative);
	s = weights_find(w, name);
	if (s || !w->optional_prefix)
		return s;
	snprintf(name, sizeof name, "%s/%s%s", w->component, w->optional_prefix, relative);
	return weights_find(w, name);
}

static bool same_shape(const struct weights_source *s, unsigned rank, const uint64_t *want)
{
	return s->rank == rank && !memcmp(s->shape, want, rank * sizeof *want);
}

/* The source of this name and shape, now claimed; else NULL and a problem more. */
static struct weights_source *claim_source(struct weights *w, const char *relative,
					   unsigned rank, const uint64_t *want)
{
	struct weights_source *s = find(w, relative);
	char is[96], should[96];

	if (!s) {
		problem(w, "%s/%s is missing", w->component, relative);
		return NULL;
	}
	s->claimed = true;
	if (!same_shape(s, rank, want)) {
		print_shape(s->rank, s->shape, is);
		print_shape(rank, want, should);
		problem(w, "%s is [%s], the configs want [%s]", s->name, is, should);
		return NULL;
	}
	if (!dtype_is_float(s->dtype) && s->quant.format == QUANT_NONE) {
		problem(w, "%s is %s without scales, not F32, F16 or BF16", s->name, dtype_name(s->dtype));
		return NULL;
	}
	return s;
}

uint64_t weights_elements(const struct weights_source *s)
{
	uint64_t n = 1;

	for (unsigned i = 0; i < s->rank; i++)
		n *= s->shape[i];
	return n;
}

void weights_decode(const struct weights_source *s, uint32_t row, float *dst)
{
	const struct quant_rows rows = {
		.quant = s->quant, .dtype = s->dtype, .cols = (uint32_t)s->shape[s->rank - 1],
		.data = s->array.data, .scale = s->scale.data, .bias = s->bias.data,
	};

	quant_decode(&rows, row, 0, rows.cols, dst);
}

/* How a quantised source is to lie where wanted otherwise; false: it cannot. */
static bool fit_quantised(struct weights *w, const struct weights_source *s, bool linear, enum layout *layout)
{
	if (s->quant.format == QUANT_NONE || linear)
		return true;
	if (*layout == LAYOUT_STORED && weights_elements(s) <= WIDEN_MAX) {
		*layout = LAYOUT_WIDENED;
		return true;
	}
	problem(w, "%s is quantized (%s), which only the matrices of linear layers can be", s->name,
		quant_forms[s->quant.format].name);
	return false;
}

static void describe(const struct weights_source *s, enum layout layout, unsigned rank, struct weight *ret)
{
	*ret = (struct weight){ .rank = rank, .dtype = s->dtype, .bytes = s->array.bytes };
	for (unsigned i = 0; i < rank; i++)
		ret->dim[i] = (uint32_t)s->shape[i];
	if (layout == LAYOUT_WIDENED) {
		ret->dtype = DTYPE_F32;
		ret->bytes = weights_elements(s) * sizeof(float);
	} else if (s->quant.format != QUANT_NONE) {
		ret->dtype = DTYPE_NONE;
		ret->quant = s->quant;
		ret->scale.bytes = s->scale.bytes;
		ret->bias.bytes = s->bias.bytes;
	}
}

static struct weights_source *bind(struct weights *w, struct weight *ret, bool linear, enum layout layout,
				   unsigned rank, const uint64_t *shape, const char *format,
				   va_list ap)
{
	struct weights_source *s;
	char relative[NAME_MAX_LEN];

	*ret = (struct weight){ 0 };
	vsnprintf(relative, sizeof relative, format, ap);
	s = claim_source(w, relative, rank, shape);
	if (!s || !fit_quantised(w, s, linear, &layout))
		return NULL;
	if (!reserve((void **)&w->claims, w->n_claims, &w->claims_size, sizeof *w->claims)) {
		w->no_memory = true;
		return NULL;
	}
	w->claims[w->n_claims++] = (struct claim){
		ret, (size_t)(s - w->sources), layout, w->part, false,
	};
	describe(s, layout, rank, ret);
	return s;
}

void weights_bind(struct weights *w, struct weight *ret, unsigned rank, const uint32_t *dim,
		  const char *format, ...)
{
	uint64_t shape[4] = { 0 };
	unsigned i;
	va_list ap;

	for (i = 0; i < rank; i++)
		shape[i] = dim[i];
	va_start(ap, format);
	bind(w, ret, false, LAYOUT_STORED, rank, shape, format, ap);
	va_end(ap);
}

void weights_matrix(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		    const char *format, ...)
{
	const uint64_t shape[2] = { out, in };
	va_list ap;

	va_start(ap, format);
	bind(w, ret, true, LAYOUT_STORED, 2, shape, format, ap);
	va_end(ap);
}

void weights_conv3x3(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		     const char *format, ...)
{
	const uint64_t shape[4] = { out, in, 3, 3 };
	va_list ap;

	va_start(ap, format);
	if (bind(w, ret, false, LAYOUT_TAPS_FIRST, 4, shape, format, ap)) {
		ret->rank = 3;
		memcpy(ret->dim, (const uint32_t[4]){ 9, out, in, 0 }, sizeof ret->dim);
	}
	va_end(ap);
}

void weights_use_stored_kernels(struct weights *w)
{
	for (size_t i = 0; i < w->n_claims; i++)
		if (w->claims[i].layout == LAYOUT_TAPS_FIRST) {
			w->claims[i].layout = LAYOUT_STORED;
			w->claims[i].ret->taps_last = true;
		}
}

void weights_conv1x1(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		     const char *format, ...)
{
	const uint64_t shape[4] = { out, in, 1, 1 };
	va_list ap;

	va_start(ap, format);
	if (bind(w, ret, false, LAYOUT_STORED, 4, shape, format, ap)) {
		ret->rank = 2;
		memcpy(ret->dim, (const uint32_t[4]){ out, in, 0, 0 }, sizeof ret->dim);
	}
	va_end(ap);
}

void weights_rows(struct weights *w, struct weight *ret, const struct weight *matrix, uint32_t row0,
		  uint32_t rows)
{
	*ret = *matrix;
	if (matrix->rank == 0)
		return;                         /* reported already */
	if (!reserve((void **)&w->views, w->n_views, &w->views_size, sizeof *w->views)) {
		w->no_memory = true;
		return;
	}
	ret->dim[0] = rows;
	ret->bytes = matrix->bytes / matrix->dim[0] * rows;
	w->views[w->n_views++] = (struct view){ ret, matrix, row0 };
}

const struct weights_source *weights_host(struct weights *w, unsigned rank, const uint32_t *dim,
					  const char *format, ...)
{
	char relative[NAME_MAX_LEN];
	uint64_t shape[4] = { 0 };
	unsigned i;
	va_list ap;

	va_start(ap, format);
	vsnprintf(relative, sizeof relative, format, ap);
	va_end(ap);
	for (i = 0; i < rank; i++)
		shape[i] = dim[i];
	return claim_source(w, relative, rank, shape);
}

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* The name inside the current component, NULL when the tensor is of another. */
static const char *relative_name(const struct weights *w, const struct weights_source *s)
{
	size_t n = strlen(w->component);

	return starts_with(s->name, w->component) && s->name[n] == '/' ? s->name + n + 1 : NULL;
}

/* With or without the optional prefix in front. */
static bool is_under(const struct weights *w, const struct weights_source *s, const char *prefix)
{
	const char *optional = w->optional_prefix ? w->optional_prefix : "";
	const char *name = relative_name(w, s);

	return name && (starts_with(name, prefix) ||
			(starts_with(name, optional) && starts_with(name + strlen(optional), prefix)));
}

bool weights_any(const struct weights *w, const char *prefix)
{
	size_t i;

	for (i = 0; i < w->n_sources; i++)
		if (is_under(w, &w->sources[i], prefix))
			return true;
	return false;
}

void weights_ignore(struct weights *w, const char *prefix)
{
	size_t i;

	for (i = 0; i < w->n_sources; i++)
		if (is_under(w, &w->sources[i], prefix))
			w->sources[i].claimed = true;
}

/* ---- the verdict ---- */

static size_t count_unclaimed(const struct weights *w, const char **ret_first)
{
	size_t i, n = 0;

	for (i = 0; i < w->n_sources; i++)
		if (!w->sources[i].claimed && n++ == 0)
			*ret_first = w->sources[i].name;
	return n;
}

static int report(const struct weights *w, const char *unclaimed, size_t n_unclaimed,
		  struct err *err)
{
	struct buf text = BUF_INIT(4096);
	int r;

	if (w->n_problems)
		buf_append(&text, w->problems.data, w->problems.len);
	if (w->n_problems > w->n_listed)
		buf_printf(&text, "; and %zu more", w->n_problems - w->n_listed);
	if (n_unclaimed)
		buf_printf(&text, "%s%s is not part of this architecture", w->n_problems ? "; " :
			   "", unclaimed);
	if (n_unclaimed > 1)
		buf_printf(&text, " (nor are %zu others)", n_unclaimed - 1);
	r = err_set(err, -EINVAL, "the tensors do not fit the configs: %s",
		    buf_failed(&text) ? "out of memory" : text.data);
	buf_finish(&text);
	return r;
}

int weights_check(const struct weights *w, struct err *err)
{
	const char *unclaimed = NULL;
	size_t n_unclaimed = count_unclaimed(w, &unclaimed);

	if (w->no_memory)
		return err_set(err, -ENOMEM, "out of memory");
	if (w->n_problems == 0 && n_unclaimed == 0)
		return 0;
	return report(w, unclaimed, n_unclaimed, err);
}

uint64_t weights_part_bytes(const struct weights *w, enum weights_part part)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < w->n_claims; i++)
		if (w->claims[i].part == part)
			bytes += claim_bytes(w, &w->claims[i]);
	return bytes;
}

uint64_t weights_bytes(const struct weights *w)
{
	uint64_t bytes = 0;
	unsigned part;

	for (part = 0; part < WEIGHTS_PARTS; part++)
		bytes += weights_part_bytes(w, part);
	return bytes;
}

/* The kernel tells a pipe what a load would be told by SIGBUS. */
static bool readable(const int pipe_fds[2], const unsigned char *at)
{
	unsigned char byte;

	return write(pipe_fds[1], at, 1) == 1 && read(pipe_fds[0], &byte, 1) == 1;
}

int weights_verify(const struct weights *w, struct err *err)
{
	int fds[2], r = 0;
	size_t i;

	if (pipe(fds) < 0)
		return err_errno(err, errno, "pipe");
	for (i = 0; i < w->n_blobs && r == 0; i++) {
		const struct blob *b = &w->blobs[i];

		if (!readable(fds, b->st.map + b->st.file_size - 1))
			r = err_set(err, -EIO,
				    "blob %s was truncated or is unreadable while the model "
				    "was loaded", b->digest);
	}
	close(fds[0]);
	close(fds[1]);
	return r;
}
