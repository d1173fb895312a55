/*
 * 3x3 convolution as nine matrix products without a copy of the input: per tap the
 * activation row moves, rows beyond the border count as zero. The border is one pixel
 * all around; at stride 2 it is right and below only.
 */
layout(push_constant) uniform Push {
	PUSH_HEAD
	uint height, width;     /* of the output */
	uint n, c;              /* channels out and in */
	uint shift;             /* 1: the input is half as large (nearest) */
	uint stride;            /* 2: it is twice as large */
	uint x_stride, w_stride, y_stride;
};

/* First texel of the activations that a tap of an output pixel reads; row counts from the band's start. */
int conv_row(uint row, int tap, out bool inside)
{
	int read_h = int(height * stride), read_w = int(width * stride), before = 2 - int(stride);
	int pixel = int(min(row0 + row, height * width - 1));
	int py = pixel / int(width) * int(stride) + tap / 3 - before;
	int px = pixel % int(width) * int(stride) + tap % 3 - before;

	inside = py >= 0 && px >= 0 && py < read_h && px < read_w;
	py = clamp(py, 0, read_h - 1) >> shift;
	px = clamp(px, 0, read_w - 1) >> shift;
	return int(in_base[0]) + (py * (read_w >> shift) + px) * int(x_stride);
}
