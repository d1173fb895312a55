#ifndef EASEL_COMMON_OUTPUT_FORMAT_H
#define EASEL_COMMON_OUTPUT_FORMAT_H

/* What a finished picture's file is. */
enum output_format { OUTPUT_PNG, OUTPUT_JPEG, OUTPUT_WEBP, OUTPUT_FORMATS };

/* "png", "jpeg", "webp": also the end of a file's name and of its media type. A literal. */
const char *output_format_name(enum output_format format);
/* OUTPUT_FORMATS for any other word; NULL and "" say PNG. */
enum output_format output_format_of(const char *name);

#define OUTPUT_QUALITY 100u             /* of JPEG and WebP, where none is asked for */

#endif
