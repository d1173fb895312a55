/*
 * Activations as half precision operands: scaled by a power of two that all rows of a
 * tile share. It shrinks when a block holds a larger number, and what was summed until
 * then shrinks with it, so that nothing overflows; the sums stay in float32. It begins
 * at 2^-LEAST, which keeps digits of small numbers.
 */
#define LEAST -8                /* numbers below 128 */
#define HALF_TOP 14             /* 2^15 and what rounds up to it are well inside half precision */

shared uint peak;               /* bits of the largest magnitude that called for more */

int range = LEAST;              /* operands are x 2^-range */

float power_of_two(int e)
{
	return uintBitsToFloat(uint(127 + e) << 23);
}

void clear_range()
{
	if (gl_LocalInvocationIndex == 0)
		peak = 0;
	barrier();
}

void note_range(vec4 lo, vec4 hi)
{
	vec4 top4 = max(abs(lo), abs(hi));
	float top = max(max(top4.x, top4.y), max(top4.z, top4.w));

	/* Not for one that is no number: it stays one in half precision. */
	if (top >= power_of_two(range + HALF_TOP + 1))
		atomicMax(peak, floatBitsToUint(top));
}

/* What sums must be multiplied with, 1 nearly always; between the barriers around it peak is at rest. */
float next_range()
{
	int next = max(range, int(peak >> 23) - 127 - HALF_TOP), before = range;

	range = next;
	return power_of_two(max(before - next, -126));
}

uvec4 half8(vec4 lo, vec4 hi)
{
	return uvec4(packHalf2x16(lo.xy), packHalf2x16(lo.zw), packHalf2x16(hi.xy), packHalf2x16(hi.zw));
}
