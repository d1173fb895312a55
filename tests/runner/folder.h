#ifndef EASEL_TESTS_RUNNER_FOLDER_H
#define EASEL_TESTS_RUNNER_FOLDER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Model folders to break: copies in a temporary place, edited file by file. */

char *folder_temporary(void);                   /* path, the caller's to free */
void folder_copy(const char *from, const char *to);
void folder_remove(const char *path);
/* "folder/name"; good for the next seven calls. */
const char *folder_path(const char *folder, const char *name);
/* Files of any kind below; folders and hidden files (locks) do not count. 0 when absent. */
size_t folder_count(const char *path);

/* All take the folder and a name inside it; what fails, fails the test. */
char *folder_read(const char *folder, const char *name, size_t *ret_len);
void folder_write(const char *folder, const char *name, const void *data, size_t len);
void folder_truncate(const char *folder, const char *name, long by);      /* by < 0: to -by bytes */
json_t *folder_json(const char *folder, const char *name);
void folder_write_json(const char *folder, const char *name, json_t *value);      /* steals value */

/* The header of a safetensors file, and the file with another header in front of its data. */
json_t *folder_header(const char *folder, const char *name);
void folder_set_header(const char *folder, const char *name, json_t *header);     /* steals header */

#endif
