"""What lies in the store: models made in quantised forms, damage that is found, and the way
back to a folder."""
import base64
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from harness import DEMO, SOURCE, EaselTest, Server, psnr

MODEL = os.path.join(DEMO, "model")


def write_gguf(path, wanted):
    """BF16 and F32 tensors by their own names, as a GGUF file."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    head, data = b"", b""
    for name, (dtype, shape, raw) in wanted.items():
        data += b"\0" * (-len(data) % 32)
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in reversed(shape))
        head += struct.pack("<IQ", {"BF16": 30, "F16": 1, "F32": 0}[dtype], len(data))
        data += raw
    head = b"GGUF" + struct.pack("<IQQ", 3, len(wanted), 0) + head
    with open(path, "wb") as file:
        file.write(head + b"\0" * (-len(head) % 32) + data)


def tensors(folder):
    """All tensors of a model folder: name -> dtype, shape, bytes."""
    found = {}
    for component in ("text_encoder", "transformer", "vae"):
        for name in sorted(os.listdir(os.path.join(folder, component))):
            if not name.endswith(".safetensors"):
                continue
            with open(os.path.join(folder, component, name), "rb") as file:
                length = struct.unpack("<Q", file.read(8))[0]
                header = json.loads(file.read(length))
                data = file.read()
            header.pop("__metadata__", None)
            for tensor, entry in header.items():
                begin, end = entry["data_offsets"]
                found[f"{component}/{tensor}"] = entry["dtype"], entry["shape"], data[begin:end]
    return found


class Store(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()

    def picture(self, model):
        answer = self.server.post("/v1/images/generations", {
            "model": model, "prompt": "a white cat", "size": "128x128", "steps": 9, "seed": 2})
        self.assertEqual(answer.status, 200, answer.body)
        return base64.b64decode(answer.json["data"][0]["b64_json"])

    def test_quantised_from_a_folder_and_from_a_model(self):
        self.server.create("q", MODEL, quantize="fp8")
        done = self.server.cli("show", "q")
        self.assertRegex(done.stdout, r"quantization +FP8")
        answer = self.server.post("/api/create", {"model": "r", "from": "demo", "quantize": "Q8", "stream": False})
        self.assertEqual(answer.status, 200, answer.body)
        want = self.picture("demo")
        self.assertGreater(psnr(want, self.picture("q")), 30)
        self.assertEqual(psnr(self.picture("r"), self.picture("q")), float("inf"))
        refused = self.server.post("/api/create", {"model": "s", "from": "q", "quantize": "int4", "stream": False})
        self.assertEqual(refused.status, 400, refused.body)
        self.assertIn("cannot requantize", refused.error)

    def blob_of(self, model, layer):
        tag = os.path.join(self.server.store, "manifests", "registry.ollama.ai", "library", model, "latest")
        with open(tag, encoding="utf-8") as file:
            layers = json.load(file)["layers"]
        digest = next(entry["digest"] for entry in layers if entry.get("name") == layer)
        return os.path.join(self.server.store, "blobs", digest.replace(":", "-"))

    def test_verify(self):
        self.server.create("v", MODEL, quantize="mxfp8")
        done = self.server.cli("verify", "v")
        self.assertEqual((done.returncode, done.stdout), (0, "verified 'v'\n"), done.stderr)
        path = self.blob_of("v", "transformer/layers.0.attention.to_q.weight")
        self.flip_last(path)
        done = self.server.cli("verify")
        self.assertEqual(done.returncode, 1)
        self.assertIn("verified 'demo:latest'", done.stdout)
        self.assertIn("1 of the ", done.stderr)
        self.assertIn("(transformer/layers.0.attention.to_q.weight) is damaged", done.stderr)
        os.unlink(path)
        done = self.server.cli("verify", "v")
        self.assertIn("is missing", done.stderr)
        # Made again, it is whole again.
        self.server.create("v", MODEL, quantize="mxfp8")
        self.assertEqual(self.server.cli("verify", "v").returncode, 0)
        done = self.server.cli("verify", "nothing")
        self.assertEqual(done.returncode, 1)
        self.assertIn("model 'nothing' not found", done.stderr)

    def flip_last(self, path):
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))

    def test_damage_since_the_last_load_is_refused(self):
        self.server.create("f", MODEL, quantize="mxfp8")
        want = self.picture("f")
        self.server.cli("stop", "f")
        path = self.blob_of("f", "transformer/layers.1.attention.to_q.weight")
        self.flip_last(path)
        answer = self.server.post("/api/generate", {"model": "f", "prompt": "x", "steps": 1, "stream": False})
        self.assertEqual(answer.status, 500)
        self.assertIn(f"blob sha256:{path[-64:]} is damaged", answer.error)
        self.assertIn("(transformer/layers.1.attention.to_q.weight)", answer.error)
        done = self.server.cli("run", "f", "x", "--steps", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn(path[-64:], done.stderr)
        # What was made again is drawn with again.
        self.server.create("f", MODEL, quantize="mxfp8")
        self.assertEqual(psnr(self.picture("f"), want), float("inf"))

    def test_models_copied_in_are_hashed_once(self):
        other = os.path.join(tempfile.mkdtemp(prefix="easel-copied-"), "store")
        self.addCleanup(shutil.rmtree, os.path.dirname(other))
        shutil.copytree(self.server.store, other, symlinks=True)
        server = Server(store=other)
        self.addCleanup(server.close)
        request = {"model": "demo", "prompt": "x", "steps": 1, "seed": 1, "stream": False}
        for _ in range(2):
            self.assertEqual(server.post("/api/generate", request).status, 200)
            server.cli("stop", "demo")
        self.assertEqual(server.log().count("that were never verified"), 1, server.log()[-2000:])
        self.assertEqual(server.cli("verify", "demo").returncode, 0)

    def test_gguf(self):
        """A Modelfile's FROM names the file; all but the transformer comes from the folder it is in."""
        folder = tempfile.mkdtemp(prefix="easel-gguf-")
        self.addCleanup(shutil.rmtree, folder)
        model = os.path.join(folder, "model")
        shutil.copytree(MODEL, model)
        wanted = {name.split("/", 1)[1]: value for name, value in tensors(model).items()
                  if name.startswith("transformer/")}
        write_gguf(os.path.join(model, "x.gguf"), wanted)
        for name in os.listdir(os.path.join(model, "transformer")):
            if name.endswith(".safetensors"):
                os.unlink(os.path.join(model, "transformer", name))
        with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as file:
            file.write("FROM model/x.gguf\nPARAMETER steps 9\n")
        done = self.server.cli("create", "g", "-f", os.path.join(folder, "Modelfile"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(psnr(self.picture("g"), self.picture("demo")), float("inf"))

    def export(self, model, folder):
        return subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", "export.py"), model, folder,
                               "--models", self.server.store], capture_output=True, text=True, check=False)

    def test_export(self):
        folder = tempfile.mkdtemp(prefix="easel-export-")
        self.addCleanup(shutil.rmtree, folder)
        back = os.path.join(folder, "back")
        done = self.export("demo", back)
        self.assertEqual(done.returncode, 0, done.stderr)
        want, got = tensors(MODEL), tensors(back)
        self.assertEqual(sorted(want), sorted(got))
        for name, value in want.items():
            self.assertEqual(value, got[name], name)
        with open(os.path.join(back, "model_index.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["_class_name"], "ZImagePipeline")
        self.server.create("again", back, parameters={"width": 128, "height": 128, "steps": 9})
        self.assertEqual(psnr(self.picture("again"), self.picture("demo")), float("inf"))
        self.server.create("x", MODEL, quantize="q4")
        done = self.export("x", os.path.join(folder, "x"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("is quantized (int4)", done.stderr)


if __name__ == "__main__":
    unittest.main()
