/*
 * The head of every kernel's push constants, filled by graph/record.c:
 *   rows [row0, row0 + rows) of the output are computed; the storage binding starts
 *   at row0. out_base and in_base[i] are added to every index: they hold what the
 *   alignment of binding offsets cuts off (floats for the output, texels for inputs).
 */
#ifndef PUSH_GLSL
#define PUSH_GLSL

#define PUSH_HEAD uint row0; uint rows; uint out_base; uint in_base[6];

/*
 * At the end of the push constants of a QUANT kernel (struct push_quant of
 * runner/ops/weight_access.h): where data, scales and biases begin in their first word,
 * bytes; then what runner/quant/quant.h says of the matrix.
 */
#define PUSH_QUANT uint q_data, q_scale, q_bias, q_row_bytes, q_group, q_group_rows, q_row0; float q_global;

#endif
