/*
 * Parameters in their stored dtype (runner/ops/weight_access.h chooses dtype and mode
 * and the view's format).
 */
#define DTYPE_F32 1
#define DTYPE_F16 2
#define DTYPE_BF16 3
#define DTYPE_QUANT 16  /* and above: that plus a form of quant.glsl, in kernels built with QUANT */

/* Which input a product's bias is. */
#ifdef QUANT
#define BIAS_INPUT 4            /* behind W's scales and biases */
#else
#define BIAS_INPUT 2
#endif

#define WIDE16 0        /* texels of 16 bytes */
#define WIDE8 1         /* texels of 8 bytes: data at a multiple of 8 */
#define SCALAR 2        /* a texel an element: any row length, any address */

/* Eight elements of a row, as they are stored: 16-bit types fill lo, float32 both; quantised ones as float32. */
struct packed8 {
	uvec4 lo, hi;
};

float unpack16(uint word, int high, uint dtype)
{
	if (dtype == DTYPE_F16)
		return unpackHalf2x16(word)[high];
	return uintBitsToFloat(high == 1 ? word & 0xFFFF0000u : word << 16);
}

float scalar_value(uint bits, uint dtype)
{
	return dtype == DTYPE_F32 ? uintBitsToFloat(bits) : unpack16(bits, 0, dtype);
}

#ifdef QUANT
#include "quant.glsl"

packed8 decoded8(usamplerBuffer t, int row, int first, int cols, uint form)
{
	packed8 p = packed8(uvec4(0), uvec4(0));
	float v[8];

	quant8(t, uint(row), uint(first), uint(cols), form, v);
	[[unroll]] for (int i = 0; i < 8; i++)
		if (first + i < cols) {
			if (i < 4)
				p.lo[i & 3] = floatBitsToUint(v[i]);
			else
				p.hi[i & 3] = floatBitsToUint(v[i]);
		}
	return p;
}
#endif

packed8 scalar8(usamplerBuffer t, int row, int first, int cols, uint dtype)
{
	packed8 p = packed8(uvec4(0), uvec4(0));

	[[unroll]] for (int i = 0; i < 8; i++) {
		uint bits = first + i < cols ? texelFetch(t, row + first + i).x : 0;

		if (dtype != DTYPE_F32)
			p.lo[i >> 1] |= bits << 16 * (i & 1);
		else if (i < 4)
			p.lo[i & 3] = bits;
		else
			p.hi[i & 3] = bits;
	}
	return p;
}

/*
 * Elements 8 k8 .. 8 k8 + 7 of a row; beyond cols: zero. row is its first texel; of a quantised
 * matrix in_base[1] and the row's number. (A host makes both with the stride it is told.)
 */
packed8 fetch8(usamplerBuffer t, int row, int k8, int cols, uint dtype, uint mode)
{
	packed8 p;

#ifdef QUANT
	if (dtype >= DTYPE_QUANT)
		return decoded8(t, row - int(in_base[1]), 8 * k8, cols, dtype - DTYPE_QUANT);
#endif
	if (mode == SCALAR)
		return scalar8(t, row, 8 * k8, cols, dtype);
	if (mode == WIDE16 && dtype != DTYPE_F32) {
		p.lo = texelFetch(t, row + k8);
	} else if (mode == WIDE16) {
		p.lo = texelFetch(t, row + 2 * k8);
		p.hi = texelFetch(t, row + 2 * k8 + 1);
	} else if (dtype != DTYPE_F32) {
		p.lo = uvec4(texelFetch(t, row + 2 * k8).xy, texelFetch(t, row + 2 * k8 + 1).xy);
	} else {
		p.lo = uvec4(texelFetch(t, row + 4 * k8).xy, texelFetch(t, row + 4 * k8 + 1).xy);
		p.hi = uvec4(texelFetch(t, row + 4 * k8 + 2).xy, texelFetch(t, row + 4 * k8 + 3).xy);
	}
	return p;
}

float element8(packed8 p, int i, uint dtype)
{
	if (dtype == DTYPE_F16 || dtype == DTYPE_BF16)
		return unpack16(p.lo[i >> 1], i & 1, dtype);
	return uintBitsToFloat(i < 4 ? p.lo[i & 3] : p.hi[i & 3]);
}

/* Four elements of a vector: one texel of four, or (SCALAR) four texels guarded by cols. */
vec4 weight4(usamplerBuffer t, uint base, uint quad, uint cols, uint dtype, uint mode)
{
	uvec4 v;
	vec4 r = vec4(0);

	if (mode == SCALAR) {
		[[unroll]] for (int i = 0; i < 4; i++)
			if (4 * quad + i < cols)
				r[i] = scalar_value(texelFetch(t, int(base + 4 * quad + i)).x, dtype);
		return r;
	}
	v = texelFetch(t, int(base + quad));
	if (dtype == DTYPE_F32)
		return uintBitsToFloat(v);
	return vec4(unpack16(v.x, 0, dtype), unpack16(v.x, 1, dtype), unpack16(v.y, 0, dtype),
		    unpack16(v.y, 1, dtype));
}

float weight1(usamplerBuffer t, uint base, uint i, uint dtype)
{
	return scalar_value(texelFetch(t, int(base + i)).x, dtype);
}
