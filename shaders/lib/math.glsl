/* Functions whose built-in forms overflow or lose digits on some drivers. */
vec4 silu(vec4 x)
{
	/* exp(88) is finite, and 1 / exp(88) underflows to what silu(-88) rounds to. */
	return x / (1 + exp(min(-x, vec4(88))));
}

vec4 tanh_exact(vec4 x)
{
	vec4 t = exp(-2 * abs(x));
	vec4 large = sign(x) * (1 - t) / (1 + t);
	vec4 s = x * x;
	/* Where 1 - t would cancel: the series. */
	vec4 small = x * (1 + s * (-1.0 / 3 + s * (2.0 / 15 + s * (-17.0 / 315 + s * (62.0 / 2835)))));

	return mix(large, small, lessThan(abs(x), vec4(0.25)));
}
