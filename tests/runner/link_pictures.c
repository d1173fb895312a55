/*
 * Pictures on their way into the runner: read, refused, cancelled, out of place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/limits.h"
#include "common/proto.h"
#include "runner/image/image.h"
#include "tests/golden.h"
#include "tests/runner/peer.h"

static void put_frame(struct peer *p, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	frame_header(FRAME_BINARY, (uint32_t)len, head);
	assert_int_equal(send(p->fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
	assert_int_equal(send(p->fd, data, len, MSG_NOSIGNAL), len);
}

/* name: in tests/data/images */
static void put_file(struct peer *p, const char *name)
{
	size_t len;
	char *data = golden_text(golden_path("../images/%s", name), &len);

	put_frame(p, data, len);
	free(data);
}

static void put_edit(struct peer *p, uint64_t job, char *prompt, uint32_t images, char *mask)
{
	peer_put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = 0, .height = 0, .steps = 3, .seed = 5,
		.cfg_truncation = 1, .images = images, .mask = mask, .strength = 0.5 } });
}

/* What the pipeline was asked for, and the size that the image message tells. */
static void expect_told(struct peer *p, uint32_t width, uint32_t height, const char *want)
{
	struct msg m = peer_get_end(p);
	struct image told;
	struct frame f;

	if (m.type == MSG_FAILED)
		fail_msg("%s", m.failed.text);
	assert_int_equal(m.type, MSG_IMAGE);
	assert_int_equal(m.image.width, width);
	assert_int_equal(m.image.height, height);
	msg_clear(&m);
	assert_true(peer_next(p, &f));
	assert_int_equal(image_read(f.data, f.len, LIMIT_INPUT_PIXELS, NULL, &told, NULL), 0);
	/* Its letters are the first pixels, zero the others. */
	assert_string_equal((char *)told.pixels, want);
	image_finish(&told);
}

static void pictures_in(void **state)
{
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	put_edit(&p, 1, TEXT("tell"), 1, NULL);
	put_file(&p, "png-rgb.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3");
	/* Alpha is gone, EXIF's orientation applied, one file a format. */
	put_edit(&p, 2, TEXT("tell"), 3, NULL);
	put_file(&p, "webp-lossless-alpha.webp");
	put_file(&p, "jpeg-exif-6.jpg");
	put_file(&p, "png-rgba.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 16x24/3 37x29/3");
	/* The size follows the first picture. */
	put_edit(&p, 3, TEXT("tell"), 1, NULL);
	put_file(&p, "../goldens/preprocess/in_1400x1000.png");
	expect_told(&p, 1024, 736, "1024x736 strength 0.5: 1400x1000/3");
	peer_draw(&p, 4);
	assert_int_equal(peer_end(&p), 0);
}

static void masks_in(void **state)
{
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	put_edit(&p, 1, TEXT("tell"), 1, TEXT("alpha"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-rgba.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 mask 37x29/1, 300 marked");
	put_edit(&p, 2, TEXT("tell"), 1, TEXT("white"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-grey-1.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 mask 37x29/1, 570 marked");
	/* Of another size than the first picture: becomes as large. */
	put_edit(&p, 3, TEXT("tell"), 2, TEXT("white"));
	put_file(&p, "jpeg-exif-1.jpg");
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-grey-1.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 24x16/3 37x29/3 mask 24x16/1, 208 marked");
	assert_int_equal(peer_end(&p), 0);
}

static void expect_invalid(struct peer *p, const char *text)
{
	struct msg m = peer_get_end(p);

	assert_int_equal(m.type, MSG_FAILED);
	assert_string_equal(m.failed.code, "invalid");
	assert_string_equal(m.failed.text, text);
	msg_clear(&m);
}

/* The request fails, all its frames are taken, and the next one is drawn. */
static void bad_pictures(void **state)
{
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	put_edit(&p, 1, TEXT("tell"), 3, NULL);
	put_file(&p, "png-rgb.png");
	put_file(&p, "gif.gif");
	put_file(&p, "png-rgb.png");
	expect_invalid(&p, "invalid image 1: not a PNG, JPEG or WebP file");
	put_edit(&p, 2, TEXT("tell"), 1, TEXT("alpha"));
	put_frame(&p, "", 0);
	put_file(&p, "png-rgb.png");
	expect_invalid(&p, "invalid image 0: not a PNG, JPEG or WebP file");
	put_edit(&p, 3, TEXT("tell"), 1, TEXT("alpha"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "cut-off.jpg");
	expect_invalid(&p, "invalid mask: JPEG: the file is cut off");
	peer_draw(&p, 4);
	assert_int_equal(peer_end(&p), 0);
}

static void cancelled_with_pictures(void **state)
{
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	put_edit(&p, 1, TEXT("slow"), 2, TEXT("alpha"));
	for (int i = 0; i < 3; i++)
		put_file(&p, "png-rgba.png");
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	peer_expect_failed(&p, 1, "cancelled");
	peer_draw(&p, 2);
	assert_int_equal(peer_end(&p), 0);
}

/* The socket closes while n of three files are here. */
static void check_gone(int n)
{
	struct peer p;

	peer_start(&p, NULL);
	peer_load(&p);
	put_edit(&p, 1, TEXT("slow"), 2, TEXT("alpha"));
	while (n--)
		put_file(&p, "png-rgba.png");
	assert_int_equal(peer_end(&p), 0);
}

static void gone_with_pictures(void **state)
{
	(void)state;
	for (int n = 0; n <= 3; n++)
		check_gone(n);
}

static void start_edit(struct peer *p, uint32_t images, char *mask)
{
	peer_start(p, NULL);
	peer_load(p);
	put_edit(p, 1, TEXT("slow"), images, mask);
}

static void frames_misplaced(void **state)
{
	struct peer p;

	(void)state;
	/* Between the message and its last file comes nothing else, not even a cancel. */
	start_edit(&p, 2, NULL);
	put_file(&p, "png-rgb.png");
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	peer_expect_refused(&p);
	start_edit(&p, 1, TEXT("white"));
	put_file(&p, "png-rgb.png");
	peer_put_generate(&p, 2, TEXT("a cat"));
	peer_expect_refused(&p);
	/* One too many; without a message; in front of it. */
	start_edit(&p, 1, TEXT("white"));
	for (int i = 0; i < 3; i++)
		put_file(&p, "png-rgb.png");
	peer_expect_refused(&p);
	peer_start(&p, NULL);
	peer_load(&p);
	put_file(&p, "png-rgb.png");
	peer_expect_refused(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_in),
		cmocka_unit_test(masks_in),
		cmocka_unit_test(bad_pictures),
		cmocka_unit_test(cancelled_with_pictures),
		cmocka_unit_test(gone_with_pictures),
		cmocka_unit_test(frames_misplaced),
	};

	return cmocka_run_group_tests_name("link pictures", tests, NULL, NULL);
}
