#ifndef EASEL_RUNNER_WIDE_VECTORS_H
#define EASEL_RUNNER_WIDE_VECTORS_H

/*
 * Lets Mesa's software device compute in vectors of 512 bits, a tenth to a third faster,
 * where shader kernels are wanted of it (EASEL_KERNELS=shuffle) and this version of it is
 * known to be right and proves it on a small product. It reads the width from the
 * environment while it is loaded: before any other thread runs and any device is open.
 */
void wide_vectors_choose(void);

#endif
