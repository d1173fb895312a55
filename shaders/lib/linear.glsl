/* y [m, n] = x [m, k] * w [n, k]^T + b [n] */
layout(push_constant) uniform Push {
	PUSH_HEAD
	uint m, n, k;
	uint x_stride;          /* texels a row of x */
	uint w_stride;          /* texels a row of w */
	uint y_stride;          /* floats a row of y */
#ifdef QUANT
	PUSH_QUANT
#endif
};
