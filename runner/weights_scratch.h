#ifndef EASEL_RUNNER_WEIGHTS_SCRATCH_H
#define EASEL_RUNNER_WEIGHTS_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Memory that the system can write out when it needs the room: pages of a file without
 * a name in the cache folder, gone with the process.
 */
struct scratch {
	unsigned char *map;                     /* page-aligned */
	uint64_t bytes;
};
/* At least so many bytes, zeroed. False where there is no folder or no space for it. */
bool scratch_create(uint64_t bytes, struct scratch *ret);
void scratch_free(struct scratch *s);           /* zeroed is fine */

#endif
