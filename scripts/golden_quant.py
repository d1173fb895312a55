#!/usr/bin/env python3
"""Records small matrices in every stored form and the float32 values that the forms' own
libraries decode them to: MLX for the grouped ones and
E4M3, the gguf package for blocks; and floats (encode.X.source) with what MLX's CPU encodes them to. Writes tests/data/goldens/quant/quant.safetensors, for each form its arrays (X.data,
X.scale, X.bias as stored) and X.want. Every code occurs. Needs mlx, gguf and numpy.

    scripts/golden_quant.py
"""
import json
import os
import struct

import gguf
import mlx.core as mx
import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "goldens", "quant",
                   "quant.safetensors")
ROWS, COLS = 3, 512
RANDOM = np.random.default_rng(7)


def codes(bits):
    """Rows of random codes; the first holds every byte."""
    raw = RANDOM.integers(0, 256, (ROWS, COLS * bits // 8), dtype=np.uint8)
    raw[0, :256] = np.arange(256)
    return raw


def finite_e4m3(raw):
    """NaN codes have a test of their own."""
    raw[(raw & 0x7f) == 0x7f] = 0
    return raw


def bf16(values):
    """Float32 with the low half of every word cut off, and those words' high halves."""
    words = (values.astype(np.float32).view(np.uint32) & 0xffff0000).astype(np.uint32)
    return words.view(np.float32), (words >> 16).astype(np.uint16)


def affine(bits, group, dtype):
    raw, n = codes(bits), COLS // group
    scale = RANDOM.standard_normal((ROWS, n)).astype(np.float32) / 64
    bias = RANDOM.standard_normal((ROWS, n)).astype(np.float32)
    if dtype == "BF16":
        (scale, s), (bias, b) = bf16(scale), bf16(bias)
    elif dtype == "F16":
        s, b = scale.astype(np.float16), bias.astype(np.float16)
        scale, bias = s.astype(np.float32), b.astype(np.float32)
    else:
        s, b = scale, bias
    want = mx.dequantize(mx.array(raw.view(np.uint32)), mx.array(scale), mx.array(bias), group_size=group,
                         bits=bits, mode="affine")
    return {"data": ("U32", raw.view(np.uint32)), "scale": (dtype, s), "bias": (dtype, b),
            "want": ("F32", np.array(want))}


def float_codes(mode, bits, group):
    raw, n = codes(bits), COLS // group
    if bits == 8:
        raw = finite_e4m3(raw)
    if mode == "nvfp4":
        scale = finite_e4m3(RANDOM.integers(0, 256, (ROWS, n), dtype=np.uint8)) & 0x7f
        scale[1, :n] = np.arange(n)
    else:
        scale = RANDOM.integers(0, 240, (ROWS, n), dtype=np.uint8)
        scale[0, :3] = 0, 1, 127
    want = mx.dequantize(mx.array(raw.view(np.uint32)), mx.array(scale), group_size=group, bits=bits, mode=mode,
                         dtype=mx.float32)
    return {"data": ("U32", raw.view(np.uint32)), "scale": ("U8", scale), "want": ("F32", np.array(want))}


def blocks(name, halves):
    """Random bytes, with numbers of a sensible size where a block holds halves."""
    kind = getattr(gguf.GGMLQuantizationType, name.upper())
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = RANDOM.integers(0, 256, (ROWS, COLS // block, size), dtype=np.uint8)
    for at in halves:
        values = RANDOM.standard_normal((ROWS, COLS // block)).astype(np.float16)
        raw[:, :, at:at + 2] = values[..., None].view(np.uint8)
    raw = raw.reshape(ROWS, -1)
    return {"data": ("U8", raw), "want": ("F32", gguf.quants.dequantize(raw, kind).astype(np.float32))}


def fp8():
    raw = finite_e4m3(codes(8))
    scale = np.float32([0.0123])
    want = np.array(mx.from_fp8(mx.array(raw), dtype=mx.float32)) * scale
    return {"data": ("F8_E4M3", raw), "scale": ("F32", scale), "want": ("F32", want)}


DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


def to_encode(dtype):
    """Rows of all sizes, one of zeros, one of a number, one without negative ones, small and tiny ones."""
    w = RANDOM.standard_normal((8, COLS)) * np.exp(RANDOM.standard_normal((8, COLS)))
    w[0], w[1], w[2], w[3] = 0, 0.3, np.abs(w[2]), -np.abs(w[3])
    w[4] *= 1e-3
    w[5] *= 1e-6
    w[6] = (np.arange(COLS) % 64 - 31) / 16  # halfway between codes
    return mx.array(w.astype(np.float32)).astype(DTYPES[dtype])


def bits_of(array, dtype):
    return np.array(array.view(mx.uint16 if dtype != "F32" else mx.uint32))


def encoded(mode, bits, group, dtype="BF16"):
    with mx.stream(mx.cpu):
        w = to_encode(dtype)
        parts = mx.quantize(w, group_size=group, bits=bits, mode=mode)
        affine_parts = mode == "affine"
        out = {"source": (dtype, bits_of(w, dtype)), "data": ("U32", np.array(parts[0])),
               "scale": (dtype, bits_of(parts[1], dtype)) if affine_parts else ("U8", np.array(parts[1]))}
        if affine_parts:
            out["bias"] = (dtype, bits_of(parts[2], dtype))
    return out


def save(path, forms):
    header, data = {}, b""
    for name, arrays in forms.items():
        for part, (dtype, array) in arrays.items():
            raw = np.ascontiguousarray(array).tobytes()
            header[f"{name}.{part}"] = {"dtype": dtype, "shape": list(array.shape),
                                        "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


save(OUT, {
    "int8": affine(8, 64, "BF16"), "int8_g32": affine(8, 32, "F16"), "int8_g128": affine(8, 128, "F32"),
    "int4": affine(4, 64, "BF16"), "int4_g32": affine(4, 32, "F16"),
    "mxfp8": float_codes("mxfp8", 8, 32), "mxfp4": float_codes("mxfp4", 4, 32),
    "nvfp4": float_codes("nvfp4", 4, 16), "fp8_e4m3": fp8(),
    "q8_0": blocks("q8_0", [0]), "q4_0": blocks("q4_0", [0]), "q4_k": blocks("q4_k", [0, 2]),
    "q5_k": blocks("q5_k", [0, 2]), "q6_k": blocks("q6_k", [208]),
    "encode.int8": encoded("affine", 8, 64), "encode.int8_f16": encoded("affine", 8, 32, "F16"),
    "encode.int8_f32": encoded("affine", 8, 64, "F32"), "encode.int4": encoded("affine", 4, 64),
    "encode.int4_g32": encoded("affine", 4, 32), "encode.mxfp8": encoded("mxfp8", 8, 32),
    "encode.mxfp4": encoded("mxfp4", 4, 32), "encode.nvfp4": encoded("nvfp4", 4, 16),
    "encode.mxfp8_f32": encoded("mxfp8", 8, 32, "F32"), "encode.nvfp4_f16": encoded("nvfp4", 4, 16, "F16"),
})
