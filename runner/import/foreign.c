/*
 * Knows other programs' quantised weights by what their configs and tensors are called, to
 * refuse them by name. Pure; the importer's one thread.
 */
#include "runner/import/foreign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

/* What the forms leave beside or in place of an "x.weight". */
static const struct sign {
	const char *part;
	bool at_end;
	const char *program;
} signs[] = {
	{ ".weight_packed", true, "compressed-tensors" },
	{ ".qweight", true, "GPTQ or AWQ" },
	{ ".SCB", true, "bitsandbytes" },
	{ ".absmax", true, "bitsandbytes" },
	{ ".quant_state.", false, "bitsandbytes" },
	{ ".weight._data", true, "optimum-quanto" },
	{ ".weight_scale_2", true, "ModelOpt" },
	{ ".biases", true, "MLX" },
	{ ".scales", true, "MLX" },
};

static int refuse(const char *file, const char *program, const char *detail, const struct options *options,
		  struct err *err)
{
	if (options->quantize)
		return err_set(err, -EINVAL, "cannot requantize an already-quantized source model (requested \"%s\"): "
			       "only bf16/fp16/fp32 sources can be quantized; %.200s is quantized by %s", options->quantize,
			       file, program);
	return err_set(err, -EINVAL, "%.200s: weights quantized by %s%s are not read; take the model's bf16, fp16 or "
		       "fp32 weights and create with --quantize, or take its F8_E4M3 weights or a GGUF file", file,
		       program, detail);
}

/* ---- configs ---- */

/* "quantization", which only MLX writes, or a "quantization_config" that is a copy of it. */
static bool is_mlx(const json_t *config, const json_t *said)
{
	return json_is_object(json_object_get(config, "quantization")) ||
	       (!json_object_get(said, "quant_method") && json_object_get(said, "group_size") &&
		json_object_get(said, "bits"));
}

static int refuse_mlx(const char *file, const json_t *config, const json_t *said, const struct options *options,
		      struct err *err)
{
	const json_t *own = json_object_get(config, "quantization");
	const json_t *from = json_is_object(own) ? own : said;
	char detail[64];

	snprintf(detail, sizeof detail, " (%lld bits, groups of %lld)",
		 (long long)json_integer_value(json_object_get(from, "bits")),
		 (long long)json_integer_value(json_object_get(from, "group_size")));
	return refuse(file, "MLX", detail, options, err);
}

/* Several kinds of weights have these names: the tensors decide. */
static bool is_maybe_read(const char *method)
{
	return !strcmp(method, "fp8") || !strcmp(method, "compressed-tensors") || !strcmp(method, "modelopt");
}

int foreign_check_config(const struct plan *p, const char *component, const struct options *options, struct err *err)
{
	const json_t *config, *said;
	const char *method;
	char file[64];

	snprintf(file, sizeof file, "%s/config.json", component);
	config = plan_json(p, file);
	said = json_object_get(config, "quantization_config");
	if (is_mlx(config, said))
		return refuse_mlx(file, config, said, options, err);
	method = json_string_value(json_object_get(said, "quant_method"));
	if (!method || is_maybe_read(method))
		return 0;
	return refuse(file, method, "", options, err);
}

/* ---- tensors ---- */

static const char *program_of_tensor(const char *name)
{
	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
		if (signs[i].at_end ? text_ends_with(name, signs[i].part) : strstr(name, signs[i].part) != NULL)
			return signs[i].program;
	return NULL;
}

/* The config's word first: some forms share their names. */
static const char *program_of(const struct plan *p, const struct plan_file *f)
{
	const char *program;
	char file[64];

	snprintf(file, sizeof file, "%s/config.json", f->component);
	program = json_string_value(json_object_get(json_object_get(plan_json(p, file), "quantization_config"),
						    "quant_method"));
	for (size_t i = 0; !program && i < f->st.n_tensors; i++)
		program = program_of_tensor(f->st.tensors[i].name);
	return program ? program : "another program";
}

int foreign_check_tensor(const struct plan *p, const struct plan_file *f, const struct st_tensor *t,
			 const struct options *options, struct err *err)
{
	const bool weight = text_ends_with(t->name, ".weight");
	char detail[256];

	if (t->dtype == DTYPE_F8_E5M2)
		return err_set(err, -EINVAL, "unsupported fp8 source: tensor %s is F8_E5M2; only F8_E4M3 "
			       "block-FP8 sources are supported", t->name);
	if (!program_of_tensor(t->name) &&
	    !(weight && (t->dtype == DTYPE_U8 || t->dtype == DTYPE_U32 || t->dtype == DTYPE_I8)))
		return 0;
	snprintf(detail, sizeof detail, " (tensor %.150s is %s)", t->name, dtype_name(t->dtype));
	return refuse(f->name, program_of(p, f), detail, options, err);
}
