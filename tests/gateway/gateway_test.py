"""What the gateway's tests share: a gateway with a store made by hand and the fake runner.
Standard library only.

EASEL_GATEWAY and EASEL_FAKE_RUNNER name the binaries.
"""
import hashlib
import json
import os
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import server  # noqa: E402
from server import alive, children, read_all, read_until  # noqa: E402

GATEWAY = os.environ["EASEL_GATEWAY"]
FAKE_RUNNER = os.environ["EASEL_FAKE_RUNNER"]
PATIENCE = 30.0                 # bounds hangs; nothing waits this long when all is well

TENSOR = "application/vnd.ollama.image.tensor"
JSON = "application/vnd.ollama.image.json"


def wait_for(what, probe, seconds=PATIENCE):
    return server.wait_for(what, probe, seconds)


def split_chunks(body):
    """The data of every chunk of a chunked body; it must be whole and end with it."""
    chunks = []
    while body != b"0\r\n\r\n":
        length, rest = body.split(b"\r\n", 1)
        size = int(length, 16)
        if rest[size:size + 2] != b"\r\n":
            raise AssertionError(f"a chunk does not end where it says: {rest[:size + 20]!r}")
        chunks.append(rest[:size])
        body = rest[size + 2:]
    return chunks


class Store:
    """Writes models as the reference does, without tensors worth loading."""

    def __init__(self, root):
        self.root = root
        os.makedirs(os.path.join(root, "blobs"))

    def blob(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.root, "blobs", "sha256-" + digest), "wb") as file:
            file.write(data)
        return "sha256:" + digest, len(data)

    def layer(self, media_type, data, name=None):
        digest, size = self.blob(data)
        layer = {"mediaType": media_type, "digest": digest, "size": size}
        return {**layer, "name": name} if name else layer

    def tensor(self, name, seed):
        header = json.dumps({"data": {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}}).encode()
        return self.layer(TENSOR, len(header).to_bytes(8, "little") + header + seed.encode().ljust(16)[:16], name)

    def model(self, name, tag="latest", params=None, capabilities=("image",), extra=()):
        """Every model differs in one tensor, so that no two share a digest."""
        layers = [self.tensor("transformer/x.weight", name + tag),
                  self.layer(JSON, {"architecture": "ZImagePipeline", "parameter_count": 10320000000,
                                    "quantization": "BF16"}, "model_index.json"), *extra]
        if params:
            layers.append(self.layer("application/vnd.ollama.image.params", params))
        config = self.layer("application/vnd.docker.container.image.v1+json",
                            {"model_format": "safetensors", "capabilities": list(capabilities),
                             "requires": "0.14.0"})
        manifest = json.dumps({"schemaVersion": 2,
                               "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                               "config": config, "layers": layers}) + "\n"
        folder = os.path.join(self.root, "manifests", "registry.ollama.ai", "library", name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, tag), "w", encoding="utf-8") as file:
            file.write(manifest)
        return hashlib.sha256(manifest.encode()).hexdigest()


class Gateway(server.Server):
    def __init__(self, models=("ok",), env=None):
        folder = tempfile.mkdtemp(prefix="easel-gateway-")
        self.store = Store(os.path.join(folder, "store"))
        for model in models:
            self.store.model(model)
        super().__init__(GATEWAY, {"EASEL_MODELS": self.store.root, "EASEL_RUNNER": FAKE_RUNNER,
                                   "EASEL_DEBUG": "1", **(env or {})}, PATIENCE, folder)

    def start(self):
        super().start()
        wait_for("the device list", lambda: "inference compute" in self.log() or "no device" in self.log())


class GatewayTest(unittest.TestCase):
    """One gateway for all tests of a class."""
    models = ("ok",)
    env = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(cls.models, cls.env)
        cls.addClassCleanup(cls.gateway.close)

    def refused(self, answer, status, error):
        self.assertEqual((answer.status, answer.error), (status, error))

    def generate(self, **members):
        return self.gateway.post("/api/generate", {"model": "ok", "prompt": "a tree", "stream": False, **members})


__all__ = ["FAKE_RUNNER", "GATEWAY", "Gateway", "GatewayTest", "PATIENCE", "Store", "alive", "children",
           "read_all", "read_until", "signal", "split_chunks", "unittest", "wait_for"]
