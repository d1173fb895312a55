#ifndef EASEL_TESTS_TEMP_H
#define EASEL_TESTS_TEMP_H

#include <stdbool.h>
#include <stddef.h>

/* A folder of one test's own. What fails, fails the test. */
char *temp_create(void);                        /* path; free by temp_remove() */
void temp_remove(char *path);                   /* with everything below */

/* name is a path below folder. */
void temp_write(const char *folder, const char *name, const void *data, size_t len);
bool temp_exists(const char *folder, const char *name);         /* links count, dangling ones too */
void temp_age(const char *folder, const char *name, long seconds);      /* mtime into the past */
size_t temp_count(const char *folder, const char *name);        /* entries of a folder, 0 when absent */

#endif
