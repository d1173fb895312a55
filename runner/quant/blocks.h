#ifndef EASEL_RUNNER_QUANT_BLOCKS_H
#define EASEL_RUNNER_QUANT_BLOCKS_H

#include "runner/quant/quant.h"

/* Elements of one block, at any address, of a form that has its scales inside. */
enum { QUANT_BLOCK_MAX = 256 };
void quant_block(enum quant_format f, const unsigned char *block, float *dst);

#endif
