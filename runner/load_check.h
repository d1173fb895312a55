#ifndef EASEL_RUNNER_LOAD_CHECK_H
#define EASEL_RUNNER_LOAD_CHECK_H

#include <stdint.h>

#include "common/err.h"
#include "common/manifest.h"
#include "common/store.h"

/*
 * The first load of a model that came by other ways than create and pull: its blobs are
 * hashed beside the load, on a few threads, and what is whole is on record from then on.
 * What is on record costs a look at the file.
 */
struct load_check;

/* Starts the threads, none where everything is known. Store and manifest must outlive it. */
int load_check_begin(struct store *s, const struct manifest *m, struct load_check **ret, struct err *err);
uint64_t load_check_bytes(const struct load_check *c);  /* to be hashed in all */
uint64_t load_check_done(const struct load_check *c);   /* so far */
/* Waits for at most a tenth of a second; true when there is nothing left to wait for. */
bool load_check_wait(struct load_check *c);
/*
 * Ends it and frees, NULL being fine; what is not hashed by then is left. 0, or -EBADMSG naming
 * the first blob found to be damaged. Blobs that are missing are the loader's to name.
 */
int load_check_end(struct load_check *c, struct err *err);

#endif
