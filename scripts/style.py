#!/usr/bin/env python3
"""Holds the tree against the project's own rules: who may include whom, how long a
function and a file may be, that every source file opens with a comment, and that
every header guards itself by its path.

    scripts/style.py [ROOT]      exit status 1 and one line per finding
"""
import os
import re
import sys

MAX_FUNCTION = 100
MAX_FILE = 700

# The first row whose prefix fits a file decides what it may include. Project headers
# are named by path prefix, libraries by header prefix; libc is free to all.
MODELS = ("runner/text_encoder/", "runner/transformer/", "runner/sampler/", "runner/vae/")
LAYERS = [
    ("common/", ("common/",), ("jansson.h", "openssl/")),
    ("shaders/", ("shaders/",), ()),
    ("runner/vk/", ("common/", "runner/vk/", "shaders/"), ("vulkan/",)),
    ("runner/host/", ("common/", "runner/host/"), ("dnnl.h",)),
    ("runner/quant/", ("common/", "runner/host/vector.h", "runner/host/widen.h", "runner/quant/"), ()),
    ("runner/graph/", ("common/", "runner/vk/vk.h", "runner/host/pool.h", "runner/host/cores.h", "runner/host/int8.h", "runner/host/matmul.h", "runner/graph/",
                      "runner/quant/quant.h", "shaders/"), ()),
    ("runner/ops/", ("common/", "runner/graph/", "runner/vk/vk.h", "runner/host/", "runner/ops/",
                    "runner/quant/quant.h", "shaders/"), ()),
    ("runner/nn/", ("common/", "runner/graph/", "runner/ops/", "runner/nn/"), ()),
    ("runner/tokenizer/", ("common/", "runner/tokenizer/"), ("jansson.h", "pcre2.h", "utf8proc.h")),
    ("runner/import/", ("common/", "runner/import/", "runner/family.h", "runner/weights.h", "runner/quant/encode.h",
                        "runner/quant/quant.h", "runner/host/cores.h"), ("jansson.h",)),
    *[(m, ("common/", m, "runner/graph/", "runner/ops/", "runner/nn/", "runner/weights.h"),
       ("jansson.h",)) for m in MODELS],
    ("runner/weights", ("common/", "runner/weights", "runner/graph/", "runner/vk/vk.h",
                        "runner/sigbus.h", "runner/quant/quant.h", "runner/host/int8.h", "runner/host/matmul.h"),
     ("jansson.h",)),
    ("runner/image/", ("common/", "runner/image/"), ("png.h", "zlib.h", "jpeglib.h", "jerror.h", "webp/")),
    ("runner/noise", ("runner/noise.h",), ()),
    ("runner/sigbus", ("common/", "runner/sigbus.h"), ()),
    ("runner/bench/", ("common/", "runner/"), ("jansson.h", "dnnl.h")),
    ("runner/main.c", ("common/", "runner/bench/bench.h", "runner/link.h", "runner/worker.h", "runner/import/",
                       "runner/vk/vk.h", "runner/wide_vectors.h"), ("jansson.h", "uv.h")),
    ("runner/inputs", ("common/", "runner/inputs.h", "runner/image/image.h"), ()),
    ("runner/link", ("common/", "runner/link.h", "runner/worker.h", "runner/inputs.h"),
     ("uv.h", "jansson.h")),
    ("runner/encoder", ("common/", "runner/encoder.h", "runner/image/image.h"), ("uv.h",)),
    ("runner/worker", ("common/", "runner/worker.h", "runner/inputs.h", "runner/encoder.h", "runner/metadata.h",
                       "runner/pipeline.h", "runner/vk/vk.h"), ("uv.h", "jansson.h")),
    ("runner/", ("common/", "runner/"), ("jansson.h",)),
    ("gateway/transfer/", ("common/", "gateway/transfer/", "gateway/address.h"),
     ("curl/", "event2/", "jansson.h", "openssl/")),
    ("gateway/", ("common/", "gateway/"),
     ("event2/", "jansson.h", "http_parser.h", "openssl/")),
    ("cli/", ("common/", "cli/"), ("jansson.h", "openssl/", "png.h", "utf8proc.h", "zlib.h")),
]
# What a layer above may never reach although its row's prefixes would let it.
NEVER = [("cli/", "common/store.h"), ("gateway/", "runner/")]
LIBRARIES = ("jansson.h", "openssl/", "vulkan/", "pcre2.h", "utf8proc.h", "png.h", "jpeglib.h",
             "jerror.h", "webp/", "uv.h",
             "event2/", "http_parser.h", "curl/", "zlib.h", "dnnl.h")

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def sources(root):
    for top in ("common", "shaders", "runner", "gateway", "cli"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def layer_of(path):
    return next(row for row in LAYERS if path.startswith(row[0]))


def include_findings(path, lines):
    _, ours, libraries = layer_of(path)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, target = match.groups()
        if quote == '"' and "/" in target:
            allowed = target.startswith(tuple(ours)) and (path.split("/")[0] + "/", target) not in NEVER
            if not allowed:
                yield f"{path}:{number}: may not include {target} (layers)"
        elif quote == "<" and target.startswith(LIBRARIES) and not target.startswith(tuple(libraries) or ("\0",)):
            yield f"{path}:{number}: may not use {target} (layers)"


def function_findings(path, lines):
    """Functions as this code is written: the brace alone in column one opens and closes."""
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start > MAX_FUNCTION:
                yield f"{path}:{start}: function of {number - start} lines (at most {MAX_FUNCTION})"
            start = None


def shape_findings(path, lines):
    if len(lines) > MAX_FILE:
        yield f"{path}: {len(lines)} lines (at most {MAX_FILE}); it is two things in one"
    if path.endswith(".h"):
        guard = "EASEL_" + re.sub(r"[/.]", "_", path).upper()
        if not any(line.split() == ["#ifndef", guard] for line in lines):
            yield f"{path}: include guard should be {guard}"
    elif lines and not lines[0].startswith("/*"):
        yield f"{path}: should open with a comment saying what it is"
    for number, line in enumerate(lines, 1):
        if line.rstrip("\n") != line.rstrip():
            yield f"{path}:{number}: trailing white space"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    findings = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            lines = file.readlines()
        for check in (include_findings, function_findings, shape_findings):
            findings += check(path, lines)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
