#!/usr/bin/env python3
"""Writes a model of the store back as a diffusers folder.

    scripts/export.py NAME DIR [--models ROOT]

Tensors come out byte for byte as they went in, one weight file a component; F8_E4M3 weights
with their scales beside them. Models in other quantised forms are refused: their floats are
gone. ROOT is EASEL_MODELS, OLLAMA_MODELS or ~/.ollama/models. Standard library only;
docs/BLOBS.md says what is read.
"""
import argparse
import hashlib
import json
import os
import re
import struct
import sys

MEDIA = "application/vnd.ollama.image."
OWN_MEMBERS = ("architecture", "parameter_count", "parameter_counts", "quantization")
PIECE = 1 << 20
MAX_HEADER = 100 << 20


def fail(text):
    sys.exit(f"export: {text}")


def manifest_path(root, name):
    """Host, namespace, model and tag, all of them plain names."""
    rest, _, tag = name.rpartition(":") if ":" in name.rsplit("/", 1)[-1] else (name, "", "latest")
    parts = rest.split("/")
    parts = ["registry.ollama.ai", "library", *parts][-3:] if len(parts) < 3 else parts
    if len(parts) == 3 and len(rest.split("/")) == 2:
        parts = ["registry.ollama.ai", *rest.split("/")]
    parts.append(tag)
    if len(parts) != 4 or not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", part) for part in parts):
        fail(f"invalid model name {name!r}")
    for tree, host in (("manifests-v2", {"registry.ollama.ai": "ollama.com"}.get(parts[0], parts[0])),
                       ("manifests", parts[0])):
        path = os.path.join(root, tree, host, *parts[1:])
        if os.path.exists(path):
            return path
    return fail(f"model {name!r} not found in {root}")


class Blob:
    """One file of the store, checked against its digest when it was read whole."""

    def __init__(self, root, layer):
        digest = layer["digest"]
        if not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
            fail(f"invalid digest {digest!r}")
        self.digest = digest[7:].lower()
        self.layer = layer
        self.path = os.path.join(root, "blobs", "sha256-" + self.digest)

    def read(self):
        with open(self.path, "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != self.digest:
            fail(f"blob {self.path} is damaged")
        return data

    def header(self):
        """Entries by key, metadata, and where the data starts."""
        with open(self.path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if not 0 < length <= MAX_HEADER:
                fail(f"blob {self.path} has no header")
            entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", None) or {}
        return entries, metadata, 8 + length


def arrays_of(blob):
    """The tensors of a blob as a diffusers file names them: (name, entry, offset in the blob)."""
    layer_name = blob.layer["name"]
    name = layer_name.split("/", 1)[1]
    entries, metadata, start = blob.header()
    key = next((key for key in (name, layer_name, "data") if key in entries), None)
    if key is None:
        fail(f"blob {blob.path} does not hold {layer_name}")
    quant = metadata.get("quant_type")
    if quant not in (None, "fp8_e4m3") or entries[key]["dtype"] in ("U8", "U32"):
        fail(f"{layer_name} is quantized ({quant or 'by an old version'}): its floats cannot be brought back")
    yield name, entries[key], start
    if quant:
        scale = "_scale_inv" if "group_size" in metadata else "_scale"
        yield name + scale, entries[key + ".scale"], start


def write_component(folder, component, blobs):
    """One safetensors file; the data is copied in pieces while each blob is hashed."""
    arrays = [(name, entry, start, blob) for blob in blobs for name, entry, start in arrays_of(blob)]
    header, at = {}, 0
    for name, entry, _, _ in arrays:
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
    os.makedirs(os.path.join(folder, component), exist_ok=True)
    with open(os.path.join(folder, component, stem + ".safetensors"), "xb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, entry, start, blob in arrays:
            begin, end = entry["data_offsets"]
            copy(blob, start + begin, start + end, out)


def copy(blob, begin, end, out):
    digest = hashlib.sha256()
    at = 0
    with open(blob.path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            out.write(piece[max(begin - at, 0):max(end - at, 0)])
            at += len(piece)
    if digest.hexdigest() != blob.digest:
        fail(f"blob {blob.path} is damaged")


def write_text(folder, name, data):
    parts = name.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", part) for part in parts):
        fail(f"a layer has the impossible name {name!r}")
    os.makedirs(os.path.join(folder, *parts[:-1]), exist_ok=True)
    with open(os.path.join(folder, *parts), "xb") as file:
        file.write(data)


def model_index(data):
    """As diffusers writes it: without what the importer added."""
    index = json.loads(data)
    if "architecture" in index:
        index["_class_name"] = index["architecture"]
    index = {key: value for key, value in index.items() if key not in OWN_MEMBERS}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


def main():
    parser = argparse.ArgumentParser(description="Writes a model of the store back as a diffusers folder.")
    parser.add_argument("name")
    parser.add_argument("folder")
    parser.add_argument("--models", default=os.environ.get("EASEL_MODELS") or os.environ.get("OLLAMA_MODELS") or
                        os.path.expanduser("~/.ollama/models"))
    options = parser.parse_args()
    with open(manifest_path(options.models, options.name), "rb") as file:
        layers = json.load(file)["layers"]
    os.makedirs(options.folder, exist_ok=True)
    components, licenses = {}, 0
    for layer in layers:
        kind, name = layer["mediaType"].removeprefix(MEDIA), layer.get("name", "")
        if kind == "tensor":
            component = name.split("/", 1)[0]
            if not re.fullmatch(r"[A-Za-z0-9_]+", component) or "/" not in name:
                fail(f"a tensor has the impossible name {name!r}")
            components.setdefault(component, []).append(Blob(options.models, layer))
        elif kind == "json":
            data = Blob(options.models, layer).read()
            write_text(options.folder, name, model_index(data) if name == "model_index.json" else data)
        elif kind == "license":
            licenses += 1
            write_text(options.folder, "LICENSE" if licenses == 1 else f"LICENSE.{licenses}",
                       Blob(options.models, layer).read())
    for component, blobs in components.items():
        write_component(options.folder, component, sorted(blobs, key=lambda blob: blob.layer["name"]))


if __name__ == "__main__":
    main()
