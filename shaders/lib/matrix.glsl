/*
 * Cooperative matrices: half precision operands of MM by MK and MK by MN, float32 sums of
 * MM by MN, in the words of whichever extension the compiler knows.
 */
#ifdef MATRIX_KHR
#extension GL_KHR_cooperative_matrix : require
#else
#extension GL_NV_cooperative_matrix : require
#endif
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(constant_id = 9) const uint MM = 16;             /* one of the sizes that the device lists */
layout(constant_id = 10) const uint MN = 16;
layout(constant_id = 11) const uint MK = 16;

#ifdef MATRIX_KHR
#define FRAGMENT_X coopmat<float16_t, gl_ScopeSubgroup, MM, MK, gl_MatrixUseA>
#define FRAGMENT_W coopmat<float16_t, gl_ScopeSubgroup, MK, MN, gl_MatrixUseB>
#define FRAGMENT_SUM coopmat<float, gl_ScopeSubgroup, MM, MN, gl_MatrixUseAccumulator>
#define load_rows(f, from, at, stride) coopMatLoad(f, from, at, stride, gl_CooperativeMatrixLayoutRowMajor)
#define load_cols(f, from, at, stride) coopMatLoad(f, from, at, stride, gl_CooperativeMatrixLayoutColumnMajor)
#define store_rows(f, to, at, stride) coopMatStore(f, to, at, stride, gl_CooperativeMatrixLayoutRowMajor)
#define multiply_add(a, b, c) coopMatMulAdd(a, b, c)
#else
#define FRAGMENT_X fcoopmatNV<16, gl_ScopeSubgroup, MM, MK>
#define FRAGMENT_W fcoopmatNV<16, gl_ScopeSubgroup, MK, MN>
#define FRAGMENT_SUM fcoopmatNV<32, gl_ScopeSubgroup, MM, MN>
#define load_rows(f, from, at, stride) coopMatLoadNV(f, from, at, stride, false)
#define load_cols(f, from, at, stride) coopMatLoadNV(f, from, at, stride, true)
#define store_rows(f, to, at, stride) coopMatStoreNV(f, to, at, stride, false)
#define multiply_add(a, b, c) coopMatMulAddNV(a, b, c)
#endif

