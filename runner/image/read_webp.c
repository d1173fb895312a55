/*
 * WebP to RGB or RGB and alpha (libwebp): lossy and lossless; of an animation its first
 * frame, where it lies on the canvas. Any thread.
 */
#include <errno.h>
#include <stdbool.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "runner/image/image_private.h"

/* Of a file, so that a large picture takes some 64 steps and a tiny file few. */
#define STEP_SHARE 64
#define STEP_BYTES 64

static int status_failed(VP8StatusCode status, struct err *err)
{
	switch (status) {
	case VP8_STATUS_OK:
		return 0;
	case VP8_STATUS_OUT_OF_MEMORY:
		return err_set(err, -ENOMEM, "out of memory");
	case VP8_STATUS_SUSPENDED:
	case VP8_STATUS_NOT_ENOUGH_DATA:
		return err_set(err, -EINVAL, "the file is cut off");
	default:
		return err_set(err, -EINVAL, "the picture's data is damaged");
	}
}

/* All of it, as if it came in bit by bit: asks in between. */
static int decode_steps(const struct image_file *file, const WebPData *data, WebPIDecoder *decoder,
			struct err *err)
{
	const size_t step = data->size / STEP_SHARE + STEP_BYTES;
	VP8StatusCode status = VP8_STATUS_SUSPENDED;
	size_t known = 0;
	int r;

	while (status == VP8_STATUS_SUSPENDED && known < data->size) {
		r = image_ask(file->watch, err);
		if (r < 0)
			return r;
		known += step < data->size - known ? step : data->size - known;
		status = WebPIUpdate(decoder, data->bytes, known);
	}
	return status_failed(status, err);
}

/* Decodes into the canvas, which has room for the frame where it lies. */
static int decode_frame(const struct image_file *file, const WebPIterator *frame,
			const struct image *canvas, struct err *err)
{
	size_t stride = image_row_bytes(canvas);
	uint8_t *to = image_row(canvas, (uint32_t)frame->y_offset) +
		      (size_t)frame->x_offset * canvas->channels;
	WebPDecoderConfig config;
	WebPIDecoder *decoder;
	int r;

	if (!WebPInitDecoderConfig(&config))
		return err_set(err, -EINVAL, "libwebp is not the version easel was built with");
	config.output.colorspace = canvas->channels == 4 ? MODE_RGBA : MODE_RGB;
	config.output.is_external_memory = 1;
	config.output.u.RGBA.rgba = to;
	config.output.u.RGBA.stride = (int)stride;
	config.output.u.RGBA.size = stride * canvas->height - (size_t)(to - canvas->pixels);
	decoder = WebPIDecode(NULL, 0, &config);
	if (!decoder)
		return err_set(err, -ENOMEM, "out of memory");
	r = decode_steps(file, &frame->fragment, decoder, err);
	WebPIDelete(decoder);
	return r;
}

/* What an animation's first frame leaves free of its canvas is transparent. */
static int read_frame(const struct image_file *file, const WebPDemuxer *demux, struct image *ret,
		      struct err *err)
{
	uint32_t width = WebPDemuxGetI(demux, WEBP_FF_CANVAS_WIDTH);
	uint32_t height = WebPDemuxGetI(demux, WEBP_FF_CANVAS_HEIGHT);
	int r = image_check_size(file, width, height, err);
	WebPIterator frame;
	bool covers;

	if (r < 0)
		return r;
	if (!WebPDemuxGetFrame(demux, 1, &frame))
		return err_set(err, -EINVAL, "the file holds no picture");
	covers = (uint32_t)frame.width == width && (uint32_t)frame.height == height;
	r = image_new(width, height, frame.has_alpha || !covers ? 4 : 3, ret, err);
	if (r == 0)
		r = decode_frame(file, &frame, ret, err);
	WebPDemuxReleaseIterator(&frame);
	return r;
}

static void read_orientation(struct image_file *file, const WebPDemuxer *demux)
{
	WebPChunkIterator chunk;

	if (WebPDemuxGetChunk(demux, "EXIF", 1, &chunk))
		file->orientation = exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
	WebPDemuxReleaseChunkIterator(&chunk);
}

int image_read_webp(struct image_file *file, struct image *ret, struct err *err)
{
	const WebPData data = { .bytes = file->data, .size = file->len };
	WebPDemuxState state;
	WebPDemuxer *demux = WebPDemuxPartial(&data, &state);
	int r;

	if (demux && state == WEBP_DEMUX_DONE) {
		r = read_frame(file, demux, ret, err);
		read_orientation(file, demux);
	} else if (state == WEBP_DEMUX_PARSE_ERROR) {
		r = err_set(err, -EINVAL, "the file is damaged");
	} else {
		r = err_set(err, -EINVAL, "the file is cut off");
	}
	WebPDemuxDelete(demux);
	return r;
}
