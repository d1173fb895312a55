/*
 * Rows of a matrix in a quantised form (runner/quant/quant.h), eight elements at a time.
 * The kernel is the QUANT variant: its push constants, declared before this, end with
 * PUSH_QUANT, and data, scales and biases are the inputs 1 to 3, as words. weight.glsl's
 * fetch8() comes here: its row counts rows, not texels.
 */
#define QUANT_INT8 1
#define QUANT_INT4 2
#define QUANT_MXFP8 3
#define QUANT_MXFP4 4
#define QUANT_NVFP4 5
#define QUANT_FP8 6
#define QUANT_INT8_ROWS 7
#define QUANT_Q8_0 8
#define QUANT_Q4_0 9
#define QUANT_Q4_K 10
#define QUANT_Q5_K 11
#define QUANT_Q6_K 12

/* Codes of scales; floats have those of weight.glsl. */
#define SCALE_E8M0 4
#define SCALE_E4M3 5

layout(constant_id = 6) const uint Q_SCALE = DTYPE_BF16;

layout(binding = 3) uniform usamplerBuffer W_SCALE;
layout(binding = 4) uniform usamplerBuffer W_BIAS;

/* Four bytes at any address; what lies behind the view counts as its last word. */
uint bytes4(usamplerBuffer t, uint at)
{
	int word = int(at >> 2), last = textureSize(t) - 1;
	uint shift = 8 * (at & 3), low = texelFetch(t, min(word, last)).x;

	if (shift == 0)
		return low;
	return low >> shift | texelFetch(t, min(word + 1, last)).x << 32 - shift;
}

float half_at(usamplerBuffer t, uint at)
{
	return unpackHalf2x16(bytes4(t, at)).x;
}

uint byte_of(uvec2 bytes, int i)
{
	return bytes[i >> 2] >> 8 * (i & 3) & 0xFFu;
}

int signed_byte(uint b)
{
	return int(b << 24) >> 24;
}

/* Without subnormal numbers in between: devices may flush them. */
float e4m3(uint code)
{
	uint exponent = code >> 3 & 15, fraction = code & 7;
	float v = exponent == 0 ? float(fraction) / 512 : uintBitsToFloat(exponent + 120 << 23 | fraction << 20);

	if ((code & 0x7F) == 0x7F)
		v = uintBitsToFloat(0x7FC00000u);
	return (code & 0x80) != 0 ? -v : v;
}

float e2m1(uint code)
{
	float v = (code & 7) < 2 ? 0.5 * float(code & 1) : uintBitsToFloat((code >> 1 & 3) + 126 << 23 | (code & 1) << 22);

	return (code & 8) != 0 ? -v : v;
}

/* Number i of an array of scales or biases that begins at byte base. */
float scale_at(usamplerBuffer t, uint base, uint i)
{
	if (Q_SCALE == DTYPE_F32)
		return uintBitsToFloat(bytes4(t, base + 4 * i));
	if (Q_SCALE == DTYPE_F16 || Q_SCALE == DTYPE_BF16)
		return scalar_value(bytes4(t, base + 2 * i) & 0xFFFFu, Q_SCALE);
	uint code = bytes4(t, base + i) & 0xFFu;

	if (Q_SCALE == SCALE_E8M0)
		return uintBitsToFloat(code == 0 ? 0x00400000u : code << 23);
	return e4m3(code);
}

/* ---- codes of their own, scales in arrays ---- */

bool is_nibbles(uint form)
{
	return form == QUANT_INT4 || form == QUANT_MXFP4 || form == QUANT_NVFP4;
}

float code_value(uint code, uint form)
{
	if (form == QUANT_INT8_ROWS)
		return float(signed_byte(code));
	if (form == QUANT_MXFP8 || form == QUANT_FP8)
		return e4m3(code);
	if (form == QUANT_MXFP4 || form == QUANT_NVFP4)
		return e2m1(code);
	return float(code);
}

void grouped8(usamplerBuffer t, uint row, uint k, uint cols, uint form, out float v[8])
{
	uint groups = (cols + q_group - 1) / q_group, first = (q_row0 + row) / q_group_rows * groups;
	uint at = 4 * in_base[1] + q_data + row * q_row_bytes + (is_nibbles(form) ? k / 2 : k);
	uvec2 codes = uvec2(bytes4(t, at), is_nibbles(form) ? 0 : bytes4(t, at + 4));
	float scale = 0, bias = 0;

	[[unroll]] for (int i = 0; i < 8; i++) {
		uint code = is_nibbles(form) ? codes.x >> 4 * i & 15 : byte_of(codes, i);

		if (i == 0 || (k + i) % q_group == 0) {
			uint g = first + min(k + i, cols - 1) / q_group;

			scale = scale_at(W_SCALE, 4 * in_base[2] + q_scale, g);
			if (form == QUANT_INT8 || form == QUANT_INT4)
				bias = scale_at(W_BIAS, 4 * in_base[3] + q_bias, g);
		}
		v[i] = code_value(code, form) * scale * q_global + bias;
	}
}

/* ---- blocks with their scales inside; j: the first of the eight in its block ---- */

void q8_0(usamplerBuffer t, uint block, uint j, out float v[8])
{
	uvec2 codes = uvec2(bytes4(t, block + 2 + j), bytes4(t, block + 6 + j));
	float d = half_at(t, block);

	[[unroll]] for (int i = 0; i < 8; i++)
		v[i] = d * float(signed_byte(byte_of(codes, i)));
}

void q4_0(usamplerBuffer t, uint block, uint j, out float v[8])
{
	uint at = block + 2 + (j & 15), shift = j < 16 ? 0 : 4;
	uvec2 codes = uvec2(bytes4(t, at), bytes4(t, at + 4));
	float d = half_at(t, block);

	[[unroll]] for (int i = 0; i < 8; i++)
		v[i] = d * float(int(byte_of(codes, i) >> shift & 15) - 8);
}

/* Scale and least of a run of 32, six bits each, in the twelve bytes at `at`. */
uvec2 k_pair(usamplerBuffer t, uint at, uint run)
{
	uint low = bytes4(t, at + (run & 3)), middle = bytes4(t, at + 4 + (run & 3));
	uint high = bytes4(t, at + 8 + (run & 3));

	if (run < 4)
		return uvec2(low & 63, middle & 63);
	return uvec2(high & 15 | (low >> 6 & 3) << 4, high >> 4 & 15 | (middle >> 6 & 3) << 4);
}

void q45_k(usamplerBuffer t, uint block, uint j, bool five, out float v[8])
{
	uint run = j / 32, at = block + (five ? 48 : 16) + 32 * (j / 64) + j % 32;
	uvec2 codes = uvec2(bytes4(t, at), bytes4(t, at + 4)), high = uvec2(0);
	vec2 d = unpackHalf2x16(bytes4(t, block)) * vec2(k_pair(t, block + 4, run));

	if (five)
		high = uvec2(bytes4(t, block + 16 + j % 32), bytes4(t, block + 20 + j % 32));
	[[unroll]] for (int i = 0; i < 8; i++) {
		uint code = byte_of(codes, i) >> 4 * (run & 1) & 15 | (byte_of(high, i) >> run & 1) << 4;

		v[i] = d.x * float(code) - d.y;
	}
}

void q6_k(usamplerBuffer t, uint block, uint j, out float v[8])
{
	uint half_block = j / 128, part = j / 32 & 3, l = j & 31;
	uint at = block + 64 * half_block + 32 * (part & 1) + l, above = block + 128 + 32 * half_block + l;
	uvec2 low = uvec2(bytes4(t, at), bytes4(t, at + 4)), high = uvec2(bytes4(t, above), bytes4(t, above + 4));
	float d = half_at(t, block + 208) * float(signed_byte(bytes4(t, block + 192 + j / 16)));

	[[unroll]] for (int i = 0; i < 8; i++) {
		uint code = byte_of(low, i) >> 4 * (part >> 1) & 15 | (byte_of(high, i) >> 2 * part & 3) << 4;

		v[i] = d * float(int(code) - 32);
	}
}

void quant8(usamplerBuffer t, uint row, uint k, uint cols, uint form, out float v[8])
{
	uint at = 4 * in_base[1] + q_data + row * q_row_bytes;

	if (form == QUANT_Q8_0)
		q8_0(t, at + k / 32 * 34, k % 32, v);
	else if (form == QUANT_Q4_0)
		q4_0(t, at + k / 32 * 18, k % 32, v);
	else if (form == QUANT_Q4_K)
		q45_k(t, at + k / 256 * 144, k % 256, false, v);
	else if (form == QUANT_Q5_K)
		q45_k(t, at + k / 256 * 176, k % 256, true, v);
	else if (form == QUANT_Q6_K)
		q6_k(t, at + k / 256 * 210, k % 256, v);
	else
		grouped8(t, row, k, cols, form, v);
}
