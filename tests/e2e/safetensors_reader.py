"""A store that easel wrote, read by Python's safetensors: plain models and every quantised form.
Needs the package: run with the Python that EASEL_CLIENTS names (scripts/clients.sh makes it)."""
import json
import os
import sys
import unittest

try:
    import safetensors
except ImportError as error:
    print(f"skipped: {error} (scripts/clients.sh installs it)")
    sys.exit(77)

from harness import SOURCE, EaselTest, read_file

MODEL = os.path.join(SOURCE, "tests", "data", "goldens", "models", "zimage-b")
TENSOR = "application/vnd.ollama.image.tensor"
PARTS = {None: [""], "int8": ["", ".bias", ".scale"], "int4": ["", ".bias", ".scale"],
         "mxfp8": ["", ".scale"], "mxfp4": ["", ".scale"], "nvfp4": ["", ".scale"]}


def tensors(data):
    """name -> dtype, shape, bytes."""
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(data)}


class Reader(EaselTest):
    def sources(self):
        """All tensors of the folder that models are made of."""
        found = {}
        for component in ("text_encoder", "transformer", "vae"):
            for name in os.listdir(os.path.join(MODEL, component)):
                if name.endswith(".safetensors"):
                    for tensor, value in tensors(read_file(MODEL, component, name)).items():
                        found[f"{component}/{tensor}"] = value
        return found

    def blobs(self, model):
        """Layer's name -> the tensors of its blob."""
        manifest = json.loads(read_file(self.server.store, "manifests", "registry.ollama.ai", "library", model, "latest"))
        for layer in manifest["layers"]:
            if layer["mediaType"] == TENSOR:
                data = read_file(self.server.store, "blobs", layer["digest"].replace(":", "-"))
                yield layer["name"], tensors(data)

    def test_every_form(self):
        want = self.sources()
        for quantize, suffixes in PARTS.items():
            model = quantize or "plain"
            self.server.create(model, MODEL, **({"quantize": quantize} if quantize else {}))
            seen, n_quantised = set(), 0
            for name, got in self.blobs(model):
                seen.add(name)
                if set(got) == {"data"}:
                    self.assertEqual(got["data"], want[name], (model, name))
                else:
                    self.assertEqual(sorted(got), sorted(name + suffix for suffix in suffixes))
                    self.assertEqual(got[name][1][0], want[name][1][0])
                    n_quantised += 1
            self.assertEqual(seen, set(want))
            self.assertEqual(n_quantised > 0, quantize is not None, model)


if __name__ == "__main__":
    unittest.main()
