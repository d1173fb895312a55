#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

/*
 * Rotates pairs of every head: (a, b) -> (a cos - b sin, b cos + a sin). Table row: the
 * cosines of all pairs, then their sines.
 */
layout(constant_id = 1) const uint HALVES = 0;  /* 1: i pairs with i + d/2; else 2i with 2i + 1 */
layout(constant_id = 2) const uint ROUNDS = 8;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint quads;             /* texels of one head */
	uint row_quads;         /* texels of a row */
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer X;
layout(binding = 2) uniform samplerBuffer Table;

/* Two neighbouring columns of a table row, the first one even. */
vec2 table2(int at, uint col)
{
	vec4 t = texelFetch(Table, at + int(col / 4));

	return col % 4 == 0 ? t.xy : t.zw;
}

vec4 rotate_pairs(int x_at, int table_at, uint q)
{
	vec4 v = texelFetch(X, x_at);
	vec2 c = table2(table_at, 2 * q), s = table2(table_at, 2 * quads + 2 * q);

	return vec4(v.x * c.x - v.y * s.x, v.y * c.x + v.x * s.x, v.z * c.y - v.w * s.y, v.w * c.y + v.z * s.y);
}

vec4 rotate_halves(int x_at, int table_at, uint q)
{
	uint half_ = quads / 2;
	bool second = q >= half_;
	uint pair = second ? q - half_ : q;
	vec4 v = texelFetch(X, x_at), other = texelFetch(X, x_at + (second ? -int(half_) : int(half_)));
	vec4 c = texelFetch(Table, table_at + int(pair)), s = texelFetch(Table, table_at + int(half_ + pair));

	return v * c + (second ? other : -other) * s;
}

void main()
{
	uint first = flat_group() * S * ROUNDS + lane(), n = rows * row_quads;

	for (uint i = 0; i < ROUNDS; i++) {
		uint at = first + i * S, row = at / row_quads, q = at % row_quads % quads;
		int x_at = int(in_base[0] + row0 * row_quads + min(at, n - 1));
		int table_at = int(in_base[1] + min(row0 + row, row0 + rows - 1) * quads);
		vec4 v = HALVES != 0 ? rotate_halves(x_at, table_at, q) : rotate_pairs(x_at, table_at, q);

		if (at < n)
			y[out_base / 4 + at] = v;
	}
}
