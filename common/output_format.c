/* Names of the file formats of finished pictures. Any thread. */
#include <stddef.h>
#include <string.h>

#include "common/output_format.h"

static const char *const names[OUTPUT_FORMATS] = {
	[OUTPUT_PNG] = "png", [OUTPUT_JPEG] = "jpeg", [OUTPUT_WEBP] = "webp",
};

const char *output_format_name(enum output_format format)
{
	return names[format];
}

enum output_format output_format_of(const char *name)
{
	enum output_format format = OUTPUT_PNG;

	if (!name || !*name)
		return OUTPUT_PNG;
	while (format < OUTPUT_FORMATS && strcmp(names[format], name))
		format++;
	return format;
}
