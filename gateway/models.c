/*
 * What clients are told about models: names, details, parameters. Owns nothing; reads
 * small files of the store on the event loop, which is accepted: they are a few
 * kilobytes each and nearly always cached.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/fields.h"
#include "common/limits.h"
#include "common/safetensors.h"
#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/models.h"

/* ---- names ---- */

static bool cut_suffix(char *text, const char *suffix)
{
	size_t len = strlen(text), n = strlen(suffix);

	if (len < n || strcasecmp(text + len - n, suffix))
		return false;
	text[len - n] = '\0';
	return true;
}

/* A tag "cloud", or one that ends in "-cloud". */
static bool is_cloud(const char *text)
{
	const char *slash = strrchr(text, '/'), *tag = strchr(slash ? slash : text, ':');
	size_t len = tag ? strlen(tag) : 0;

	return tag && (!strcasecmp(tag, ":cloud") ||
		       (len > 6 && !strcasecmp(tag + len - 6, "-cloud")));
}

static void trim_copy(const char *text, char *ret, size_t size)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), text);
}

int model_name_read(const char *text, const char *what, struct model_name *ret, struct err *err)
{
	char name[NAME_TEXT_SIZE + 64];
	bool local;

	trim_copy(text, name, sizeof(name));
	local = cut_suffix(name, ":local");
	if (local && is_cloud(name))
		return err_set(err, -EINVAL, "use either :local or :cloud, not both: \"%s\"", text);
	if (is_cloud(name))
		return err_set(err, -EPERM, "ollama cloud is disabled: %s", what);
	return name_parse(name, ret, err);
}

int model_read(struct catalog *c, struct model_name *name, struct manifest **ret, struct err *err)
{
	struct model_name found;
	int r = catalog_resolve(c, name, &found, err);

	if (r < 0)
		return r;
	*name = found;
	return catalog_read(c, name, ret, err);
}

const char *model_hex(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* ---- the card ---- */

struct config {
	char *model_format, *model_family, *model_type, *file_type, *requires;
	json_t *model_families, *capabilities;
	uint64_t context_length, embedding_length;
};

static const struct field config_fields[] = {
	FIELD(struct config, model_format, STR),
	FIELD(struct config, model_family, STR),
	FIELD(struct config, model_families, JSON),
	FIELD(struct config, model_type, STR),
	FIELD(struct config, file_type, STR),
	FIELD(struct config, requires, STR),
	FIELD(struct config, capabilities, JSON),
	FIELD(struct config, context_length, U64),
	FIELD(struct config, embedding_length, U64),
	{ 0 }
};

struct index {
	char *architecture, *quantization;
	json_t *parameter_count;
};

static const struct field index_fields[] = {
	FIELD(struct index, architecture, STR, .alias = "_class_name"),
	FIELD(struct index, quantization, STR),
	FIELD(struct index, parameter_count, JSON),
	{ 0 }
};

static int read_blob_fields(struct store *s, const char *digest, const struct field *table,
			    void *ret, struct err *err)
{
	char *text;
	json_t *root;
	size_t len;
	int r = store_blob_read(s, digest, LIMIT_CONFIG_FILE, &text, &len, err);

	if (r < 0)
		return r;
	root = json_parse(text, len, true, err);
	free(text);
	r = root ? fields_read(table, root, 0, ret, NULL, err) : -EBADMSG;
	json_decref(root);
	if (r < 0) {
		err_prefix(err, "blob %s", digest);
		return err ? (err->code = -EBADMSG) : -EBADMSG;
	}
	return 0;
}

static uint64_t tensor_bytes(const struct manifest *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n_layers; i++)
		if (!strcmp(m->layers[i].media_type, MEDIA_TENSOR))
			sum += m->layers[i].size;
	return sum;
}

static const struct layer *first_tensor(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_layers; i++)
		if (!strcmp(m->layers[i].media_type, MEDIA_TENSOR))
			return &m->layers[i];
	return NULL;
}

static char *upper(const char *text)
{
	char *ret = strdup(text);

	for (char *c = ret; c && *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return ret;
}

/* The quant_type that the first tensor blob names; NULL when it names none. */
static char *quantization_of_weights(struct store *s, const struct manifest *m)
{
	const struct layer *layer = first_tensor(m);
	struct safetensors st;
	char *ret = NULL;
	int fd = layer ? store_blob_open(s, layer->digest, NULL) : -1;

	if (fd < 0)
		return NULL;
	if (safetensors_map_fd(fd, layer->digest, &st, NULL) == 0) {
		const char *type = json_string_value(json_object_get(st.metadata, "quant_type"));

		ret = type ? upper(type) : NULL;
		safetensors_finish(&st);
	}
	close(fd);
	return ret;
}

static const struct {
	const char *name;
	enum model_ability ability;
} capabilities_known[] = {
	{ "image", MODEL_DRAWS }, { "vision", MODEL_SEES },
};

static unsigned read_abilities(const json_t *capabilities)
{
	const size_t n = sizeof(capabilities_known) / sizeof(capabilities_known[0]);
	unsigned ret = 0;
	const json_t *each;
	size_t i;

	json_array_foreach(capabilities, i, each)
		for (size_t row = 0; json_is_string(each) && row < n; row++)
			if (!strcmp(json_string_value(each), capabilities_known[row].name))
				ret |= capabilities_known[row].ability;
	return ret;
}

static char *human_parameters(uint64_t n)
{
	char text[32];

	human_count(n, text, sizeof(text));
	return strdup(text);
}

/* Image models keep their facts in model_index.json, not in the config. */
static int add_index(struct store *s, const struct manifest *m, struct model_card *c,
		     struct err *err)
{
	const struct layer *layer = manifest_find(m, MEDIA_JSON, "model_index.json");
	struct index index = { 0 };
	json_int_t count;

	if (!layer)
		return 0;
	if (read_blob_fields(s, layer->digest, index_fields, &index, err) < 0)
		return err ? err->code : -EBADMSG;
	free(c->family);
	c->family = index.architecture;
	json_decref(c->families);
	c->families = index.architecture ? json_pack("[s]", index.architecture) : NULL;
	count = json_integer_value(index.parameter_count);
	c->parameter_count = count > 0 ? (uint64_t)count : tensor_bytes(m) / 2;
	free(c->parameter_size);
	c->parameter_size = human_parameters(c->parameter_count);
	free(c->quantization);
	c->quantization = index.quantization && *index.quantization ? strdup(index.quantization) :
			  quantization_of_weights(s, m);
	if (!c->quantization)
		c->quantization = strdup("BF16");
	index.architecture = NULL;
	fields_clear(index_fields, &index);
	return 0;
}

static json_t *take_array(json_t *value)
{
	if (json_is_array(value))
		return value;
	json_decref(value);
	return NULL;
}

static void take_config(struct config *config, struct model_card *c)
{
	c->format = config->model_format;
	c->family = config->model_family;
	c->parameter_size = config->model_type;
	c->quantization = config->file_type;
	c->requires = config->requires;
	c->families = take_array(config->model_families);
	c->capabilities = take_array(config->capabilities);
	c->context_length = config->context_length;
	c->embedding_length = config->embedding_length;
	c->abilities = read_abilities(c->capabilities);
}

int model_card_read(struct store *s, const struct manifest *m, struct model_card *ret,
		    struct err *err)
{
	struct config config = { 0 };
	int r = 0;

	*ret = (struct model_card){ 0 };
	if (m->config.digest[0])
		r = read_blob_fields(s, m->config.digest, config_fields, &config, err);
	if (r < 0)
		return r;
	take_config(&config, ret);
	if (ret->abilities & MODEL_DRAWS)
		r = add_index(s, m, ret, err);
	if (r < 0)
		model_card_clear(ret);
	return r;
}

void model_card_clear(struct model_card *c)
{
	free(c->format);
	free(c->family);
	free(c->parameter_size);
	free(c->quantization);
	free(c->requires);
	json_decref(c->families);
	json_decref(c->capabilities);
	*c = (struct model_card){ 0 };
}

static json_t *text_or_empty(const char *text)
{
	return json_string(text ? text : "");
}

json_t *model_details(const struct model_card *c)
{
	json_t *details = json_object();

	json_object_set_new(details, "parent_model", json_string(""));
	json_object_set_new(details, "format", text_or_empty(c->format));
	json_object_set_new(details, "family", text_or_empty(c->family));
	json_object_set_new(details, "families",
			    c->families ? json_incref(c->families) : json_null());
	json_object_set_new(details, "parameter_size", text_or_empty(c->parameter_size));
	json_object_set_new(details, "quantization_level", text_or_empty(c->quantization));
	if (c->context_length)
		json_object_set_new(details, "context_length",
				    json_integer((json_int_t)c->context_length));
	if (c->embedding_length)
		json_object_set_new(details, "embedding_length",
				    json_integer((json_int_t)c->embedding_length));
	return details;
}

json_t *model_params(struct store *s, const struct manifest *m)
{
	const struct layer *layer = manifest_find(m, MEDIA_PARAMS, NULL);
	json_t *params;
	char *text;
	size_t len;

	if (!layer || store_blob_read(s, layer->digest, LIMIT_CONFIG_FILE, &text, &len, NULL) < 0)
		return NULL;
	params = json_parse(text, len, true, NULL);
	free(text);
	if (json_is_object(params))
		return params;
	json_decref(params);
	return NULL;
}
