#!/usr/bin/env python3
"""Makes tests/data/images: small picture files of every kind, damaged and hostile ones,
and in expected.json what Pillow makes of them (sizes and SHA-256 of the pixels). Needs
Pillow and numpy, which the tests do not. Files of other Pillow versions differ in bytes;
what they decode to must not.

    scripts/make_test_images.py [FOLDER]
"""
import hashlib
import io
import json
import os
import struct
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

WIDTH, HEIGHT = 37, 29
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
FILTERS = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC,
           "lanczos": Image.Resampling.LANCZOS}


# ---- pictures ----

def scene(width=WIDTH, height=HEIGHT):
    """No symmetry, so that a wrong turn shows; [height, width, 4]."""
    y, x = np.mgrid[0:height, 0:width]
    p = np.zeros((height, width, 4), np.uint8)
    p[..., 0] = x * 255 // (width - 1)
    p[..., 1] = y * 255 // (height - 1)
    p[..., 2] = (x * 3 + y * 5) % 97
    p[..., 3] = np.clip((x + y) * 8 - 60, 0, 255)
    p[2:6, 3:15, :3] = (250, 240, 10)
    p[height // 2:, :4, :3] = (10, 20, 200)
    return p


def formula(width, height):
    """What the test computes too: a source of any size without a file."""
    y, x, c = np.ogrid[0:height, 0:width, 0:3]
    return ((x * 7 + y * 13 + c * 50) ^ (x * y >> 4)).astype(np.uint8)


# ---- PNG, written here: Pillow writes neither interlaced ones nor all depths ----

def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """[height, values] -> filter byte and packed bits of each row"""
    rows = []
    for row in samples:
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            data = np.packbits(bits.reshape(-1)).tobytes()
        rows.append(b"\0" + data)
    return b"".join(rows)


def png(samples, colour, depth, before=b"", after=b"", interlaced=False, size=None, extra=b""):
    """samples [height, width, channels]; before and after: chunks around the data"""
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in passes]
    data = b"".join(packed(p.reshape(p.shape[0], -1), depth) for p in parts if p.size)
    width, height = size or (width, height)
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))) +
            before + chunk(b"IDAT", zlib.compress(data + extra, 9)) + after + chunk(b"IEND"))


def tiff(orientation, endian="<"):
    return (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(
        endian + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def palette_samples(depth):
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return ((x * 5 + y * 3) // 7 % (1 << depth))[..., None]


def palette_chunk(depth):
    return chunk(b"PLTE", bytes((i * 37 + c * 91) % 256 for i in range(1 << depth) for c in range(3)))


def png_files():
    p = scene().astype(np.uint32)
    grey = p[..., :1]
    wide = p * 257 ^ (p * 31 & 255)              # low bytes that are not the high ones
    yield "png-rgb", png(p[..., :3], RGB, 8)
    yield "png-rgba", png(p, RGBA, 8)
    yield "png-grey", png(grey, GREY, 8)
    yield "png-grey-alpha", png(p[..., [0, 3]], GREY_ALPHA, 8)
    for depth in (1, 2, 4):
        yield f"png-grey-{depth}", png(grey >> 8 - depth, GREY, depth)
        yield f"png-palette-{depth}", png(palette_samples(depth), PALETTE, depth, palette_chunk(depth))
    yield "png-palette-8", png(palette_samples(8), PALETTE, 8, palette_chunk(8))
    yield "png-palette-alpha", png(palette_samples(4), PALETTE, 4,
                                   palette_chunk(4) + chunk(b"tRNS", bytes(range(0, 250, 25))))
    yield "png-grey-key", png(grey // 9, GREY, 8, chunk(b"tRNS", struct.pack(">H", 7)))
    yield "png-rgb-key", png(p[..., :3], RGB, 8, chunk(b"tRNS", struct.pack(">HHH", 250, 240, 10)))
    yield "png-grey-16", png(wide[..., :1], GREY, 16)
    yield "png-rgb-16", png(wide[..., :3], RGB, 16)
    yield "png-rgba-16", png(wide, RGBA, 16)
    yield "png-grey-alpha-16", png(wide[..., [0, 3]], GREY_ALPHA, 16)
    yield "png-interlaced", png(p[..., :3], RGB, 8, interlaced=True)
    yield "png-interlaced-1", png(grey >> 7, GREY, 1, interlaced=True)
    yield "png-interlaced-tiny", png(p[:1, :2], RGBA, 8, interlaced=True)
    yield "png-gamma", png(p[..., :3], RGB, 8, chunk(b"gAMA", struct.pack(">I", 100000)) +
                           chunk(b"cHRM", struct.pack(">8I", *[30000] * 8)) +
                           chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")))
    yield "png-exif-6", png(p[..., :3], RGB, 8, chunk(b"eXIf", tiff(6, ">")))
    yield "png-exif-behind", png(p[..., :3], RGB, 8, after=chunk(b"eXIf", tiff(8)))
    yield "png-trailer", png(p[..., :3], RGB, 8) + b"more behind the end"
    frames = [Image.fromarray(scene()[..., :3]), Image.new("RGB", (WIDTH, HEIGHT), "red")]
    yield "apng", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


# ---- JPEG ----

def saved(im, form, **options):
    out = io.BytesIO()
    im.save(out, form, **options)
    return out.getvalue()


def with_segment(jpeg, marker, data):
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


def jpeg_exif(jpeg, block):
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + block)


def jpeg_files():
    rgb = Image.fromarray(scene()[..., :3])
    cmyk = saved(rgb.convert("CMYK"), "JPEG", quality=92)
    small = saved(Image.fromarray(scene(24, 16)[..., :3]), "JPEG", quality=92, subsampling=0)
    yield "jpeg-444", saved(rgb, "JPEG", quality=92, subsampling=0)
    yield "jpeg-420", saved(rgb, "JPEG", quality=80, subsampling=2)
    yield "jpeg-422-optimised", saved(rgb, "JPEG", quality=80, subsampling=1, optimize=True)
    yield "jpeg-progressive", saved(rgb, "JPEG", quality=80, progressive=True)
    yield "jpeg-restarts", saved(rgb, "JPEG", quality=80, restart_marker_rows=1)
    yield "jpeg-grey", saved(rgb.convert("L"), "JPEG", quality=80)
    yield "jpeg-rgb", saved(rgb, "JPEG", quality=92, keep_rgb=True)
    yield "jpeg-cmyk", cmyk
    adobe = cmyk.index(b"Adobe\0")
    yield "jpeg-ycck", cmyk[:adobe + 11] + b"\x02" + cmyk[adobe + 12:]
    yield "jpeg-trailer", small + b"more behind the end"
    for orientation in range(1, 9):
        yield f"jpeg-exif-{orientation}", jpeg_exif(small, tiff(orientation, "<>"[orientation % 2]))
    yield "jpeg-exif-9", jpeg_exif(small, tiff(9))
    yield "jpeg-exif-cut", jpeg_exif(small, tiff(6)[:12])
    yield "jpeg-exif-afar", jpeg_exif(small, b"II*\0" + struct.pack("<I", 0xFFFFFFF0))


# ---- WebP ----

def riff(*chunks):
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
                              for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def u24(v):
    return struct.pack("<I", v)[:3]


def webp_files():
    rgba = Image.fromarray(scene())
    rgb = rgba.convert("RGB")
    red = Image.new("RGB", (WIDTH, HEIGHT), "red")
    yield "webp-lossy", saved(rgb, "WEBP", quality=80)
    yield "webp-lossy-alpha", saved(rgba, "WEBP", quality=80)
    yield "webp-lossless", saved(rgb, "WEBP", lossless=True)
    yield "webp-lossless-alpha", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "webp-exif-5", saved(rgb, "WEBP", lossless=True, exif=b"Exif\0\0" + tiff(5))
    yield "webp-animated", saved(rgb, "WEBP", lossless=True, save_all=True, append_images=[red])
    # The first frame in the middle of a larger canvas.
    still = saved(rgba.crop((0, 0, 9, 7)), "WEBP", lossless=True, exact=True)
    frame = u24(4) + u24(3) + u24(8) + u24(6) + u24(100) + b"\0" + still[12:]
    yield "webp-animated-part", riff(
        (b"VP8X", struct.pack("<I", 0x12) + u24(19) + u24(15)),
        (b"ANIM", struct.pack("<IH", 0xFF00FF00, 0)), (b"ANMF", frame))


# ---- refused ----

def refused_files():
    """name, file, a part of the error"""
    rgb = scene()[..., :3].astype(np.uint32)
    one = np.zeros((1, 1, 3), np.uint32)
    whole_png, pixels = png(rgb, RGB, 8), Image.fromarray(scene()[..., :3])
    jpeg = saved(pixels, "JPEG", quality=80)
    progressive = saved(pixels, "JPEG", quality=80, progressive=True)
    size = jpeg.index(b"\xff\xc0") + 5
    first = progressive.index(b"\xff\xda")
    second = progressive.index(b"\xff\xc4", first)
    webp = saved(pixels, "WEBP", lossless=True)
    at = whole_png.index(b"IDAT") + 40
    yield "gif.gif", saved(pixels.resize((8, 8)), "GIF"), "not a PNG, JPEG or WebP file"
    yield "empty.png", b"", "not a PNG, JPEG or WebP file"
    yield "signature.png", whole_png[:8], "PNG: the file is cut off"
    yield "bomb-60000.png", png(one, RGB, 8, size=(60000, 60000)), "PNG: 60000x60000: above the limit"
    yield "bomb-side.png", png(one, RGB, 8, size=(65537, 1)), "PNG: 65537x1: a side is above"
    yield "zero.png", png(one, RGB, 8, size=(0, 5)), "PNG: Invalid IHDR data"
    yield "no-palette.png", png(one[..., :1], PALETTE, 8), "Missing PLTE"
    yield "chunk.png", whole_png[:33] + struct.pack(">I", 0x7FFFFFFF) + b"iTXt" + whole_png[33:], "PNG: "
    yield "crc.png", whole_png[:at] + bytes([whole_png[at] ^ 1]) + whole_png[at + 1:], "PNG: "
    yield "short-data.png", png(one, RGB, 8, size=(1000, 1000)), "PNG: Not enough image data"
    yield "damaged.jpg", jpeg[:-40] + b"\xff\xd9", "JPEG: Corrupt JPEG data: premature end"
    yield "cut-off.jpg", progressive[:len(progressive) // 2], "JPEG: the file is cut off"
    yield "bomb-65500.jpg", jpeg[:size] + struct.pack(">HH", 65500, 65500) + jpeg[size + 4:], \
        "JPEG: 65500x65500: above the limit"
    yield "zero.jpg", jpeg[:size] + struct.pack(">HH", 29, 0) + jpeg[size + 4:], "JPEG: "
    yield "bomb-scans.jpg", progressive[:second] + progressive[first:second] * 120 + progressive[second:], "JPEG: more than 100 scans"
    yield "bomb-16383.webp", riff((b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + webp[25:])), \
        "WebP: 16383x16383: above the limit"
    yield "bomb-canvas.webp", riff((b"VP8X", bytes(4) + u24(60000) + u24(60000)), (b"VP8L", webp[20:])), "WebP: "
    yield "cut-off.webp", webp[:-10], "WebP: the file is cut off"
    yield "damaged.webp", riff((b"VP8L", webp[20:60])), "WebP: "


def inflating_files():
    """Whole pictures with something that inflates beside them. Pillow refuses some; what
    they hold is what png-rgb holds."""
    rgb = scene()[..., :3].astype(np.uint32)
    zeros = zlib.compress(bytes(16 << 20), 9)
    yield "png-bomb-text", png(rgb, RGB, 8, chunk(b"zTXt", b"x\0\0" + zeros))
    yield "png-bomb-profile", png(rgb, RGB, 8, chunk(b"iCCP", b"x\0\0" + zeros))
    yield "png-bomb-data", png(rgb, RGB, 8, extra=bytes(16 << 20))


# ---- what Pillow says ----

def pillow_pixels(data):
    im = Image.open(io.BytesIO(data))
    im.load()
    im = ImageOps.exif_transpose(im)
    if im.mode.startswith("I"):
        im = Image.fromarray((np.asarray(im).astype(np.uint32) >> 8).astype(np.uint8))
    alpha = im.mode in ("LA", "PA", "RGBA") or "transparency" in im.info
    return im.convert("RGBA" if alpha else "RGB")


def sha256(im):
    return hashlib.sha256(im.tobytes()).hexdigest()


def on_white(im):
    white = Image.new("RGB", im.size, "white")
    white.paste(im, mask=im.getchannel("A"))
    return white


def picture_row(folder, name, extension, data):
    im = Image.fromarray(scene()[..., :3]) if name.startswith("png-bomb") else pillow_pixels(data)
    row = {"file": name + extension, "width": im.width, "height": im.height, "channels": len(im.getbands())}
    with open(os.path.join(folder, row["file"]), "wb") as file:
        file.write(data)
    if extension == ".jpg" or name.startswith("webp-lossy"):
        row["like"] = name + ".like.png"
        im.save(os.path.join(folder, row["like"]), optimize=True)
        return row
    row["sha256"] = sha256(im)
    if im.mode == "RGBA":
        row["on_white"] = sha256(on_white(im))
    return row


SIZES = [((61, 47), to) for to in ((61, 47), (61, 20), (30, 47), (61, 94), (122, 47), (7, 5), (1, 1),
                                   (122, 94), (64, 64), (200, 150), (13, 200), (60, 46), (62, 48))]
SIZES += [((1, 1), (5, 3)), ((2, 9), (9, 2)), ((1024, 3), (100, 3)), ((3, 1031), (3, 64)), ((997, 601), (320, 208))]


def resized(im, to, resampling):
    """Columns first, as Pillow up to 12 always does; 13 begins with the rows where a picture
    loses much more of its height than of its width, which rounds some pixels otherwise."""
    if resampling == Image.Resampling.NEAREST:
        return im.resize(to, resampling)
    return im.resize((to[0], im.height), resampling).resize(to, resampling)


def resize_rows():
    for (width, height), to in SIZES:
        im = Image.fromarray(formula(width, height))
        for name, resampling in FILTERS.items():
            for one in (im.getchannel("R"), im):
                yield {"from": [width, height], "to": to, "channels": len(one.getbands()), "filter": name,
                       "sha256": sha256(resized(one, to, resampling))}


def cover_rows():
    """As VaeImageProcessor's resize mode "crop" of diffusers does it."""
    for (w, h), (width, height) in (((61, 47), (64, 64)), ((61, 47), (80, 64)), ((300, 101), (64, 96)),
                                    ((100, 100), (64, 64)), ((128, 96), (64, 48)), ((97, 333), (64, 64)),
                                    ((64, 64), (64, 64))):
        to = (width, h * width // w) if width * h > w * height else (w * height // h, height)
        left, top = (to[0] - width) // 2, (to[1] - height) // 2
        im = resized(Image.fromarray(formula(w, h)), to, Image.Resampling.LANCZOS)
        yield {"from": [w, h], "to": [width, height],
               "sha256": sha256(im.crop((left, top, left + width, top + height)))}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../tests/data/images")
    os.makedirs(folder, exist_ok=True)
    result = {"pillow": PIL.__version__, "pictures": [], "refused": []}
    for extension, files in ((".png", png_files), (".png", inflating_files), (".jpg", jpeg_files),
                             (".webp", webp_files)):
        result["pictures"] += [picture_row(folder, name, extension, data) for name, data in files()]
    for name, data, error in refused_files():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        result["refused"].append({"file": name, "error": error})
    result["resize"] = list(resize_rows())
    result["cover"] = list(cover_rows())
    lines = ",\n".join(f"{json.dumps(key)}: " + (json.dumps(rows) if isinstance(rows, str) else
                       "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]") for key, rows in result.items())
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as file:
        file.write("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
