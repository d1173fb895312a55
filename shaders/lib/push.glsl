/*
 * The head of every kernel's push constants, filled by graph/record.c:
 *   rows [row0, row0 + rows) of the output are computed; the storage binding starts
 *   at row0. out_base and in_base[i] are added to every index: they hold what the
 *   alignment of binding offsets cuts off (floats for the output, texels for inputs).
 */
#define PUSH_HEAD uint row0; uint rows; uint out_base; uint in_base[6];
