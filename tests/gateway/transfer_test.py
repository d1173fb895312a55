"""What the tests of pull and push share: models in a registry, a gateway beside it, and a
store that is read without any of our code. Skips where there is no docker-registry.
"""
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from gateway_test import Gateway, JSON, TENSOR, unittest
import registry

if not registry.available():
    print("skipped: no docker-registry (Debian package of that name)")
    sys.exit(77)

CONFIG = "application/vnd.docker.container.image.v1+json"


def tensor(seed, size):
    header = json.dumps({"data": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    chance, most = random.Random(seed), 1 << 24
    data = b"".join(chance.randbytes(min(most, size - at)) for at in range(0, size, most))
    return len(header).to_bytes(8, "little") + header + data


class Model:
    """Blobs and a manifest; put() sends it to the stock registry."""

    def __init__(self, seed, sizes, repeats=1):
        self.blobs, self.layers = {}, []
        for i, size in enumerate(sizes):
            layer = self.layer(TENSOR, tensor(f"{seed}.{i}", size), f"transformer/{i}.weight")
            self.layers += [{**layer, "name": f"transformer/{i}.{copy}.weight"} for copy in range(repeats)]
        self.layers.append(self.layer(JSON, b'{"architecture":"ZImagePipeline"}', "model_index.json"))
        self.config = self.layer(CONFIG, json.dumps({"capabilities": ["image"], "seed": seed}).encode())
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": registry.MANIFEST, "config": self.config,
                                    "layers": self.layers}).encode()

    def layer(self, media_type, data, name=None):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        layer = {"mediaType": media_type, "digest": digest, "size": len(data)}
        return {**layer, "name": name} if name else layer

    @property
    def total(self):
        return sum(layer["size"] for layer in [*self.layers, self.config])

    @property
    def bytes(self):
        return sum(map(len, self.blobs.values()))

    def put(self, where, repository="library/m", tag="latest"):
        for data in self.blobs.values():
            where.put_blob(repository, data)
        where.put_manifest(repository, tag, self.manifest)
        return self


def check_store(root, host=None, repository="library/m", tag="latest"):
    """Every blob is what its name says; the tag, if host is given, is complete. -> its manifest's bytes."""
    folder = os.path.join(root, "blobs")
    for name in os.listdir(folder):
        if len(name) == 71 and not name.endswith(".tmp"):
            with open(os.path.join(folder, name), "rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == name[7:], name
    if host is None:
        return None
    with open(os.path.join(root, "manifests", host, repository, tag), "rb") as file:
        data = file.read()
    manifest = json.loads(data)
    for layer in [*manifest["layers"], manifest["config"]]:
        path = os.path.join(folder, layer["digest"].replace(":", "-"))
        assert os.path.getsize(path) == layer["size"], layer
    return data


class TransferTest(unittest.TestCase):
    """One stock registry and one gateway with quick timeouts for all tests of a class; a proxy each."""
    env = {"EASEL_TRANSFER_STALL": "400ms"}
    models = ()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="easel-registry-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.registry = cls.make_registry()
        cls.addClassCleanup(cls.registry.close)

    @classmethod
    def make_registry(cls):
        return registry.Registry(cls.folder)

    def setUp(self):
        self.proxy = registry.Proxy(self.registry)
        self.addCleanup(self.proxy.close)
        self.gateway = self.serve()

    def serve(self, **env):
        gateway = Gateway(self.models, {**self.env, **env})
        self.addCleanup(gateway.close)
        return gateway

    @property
    def root(self):
        return self.gateway.store.root

    def name(self, repository="library/m", tag="latest", host=None):
        return f"{host or self.proxy.host}/{repository}:{tag}"

    def pull(self, name=None, gateway=None, **members):
        return (gateway or self.gateway).post("/api/pull", {"model": name or self.name(), "insecure": True, **members})

    def push(self, name=None, gateway=None, **members):
        return (gateway or self.gateway).post("/api/push", {"model": name or self.name(), "insecure": True, **members})

    @staticmethod
    def at_once(*calls):
        """What each call gives, all made at the same time."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    def succeeds(self, answer):
        self.assertEqual(answer.lines[-1], {"status": "success"}, (answer.lines[-3:], self.gateway.log()[-2000:]))
        return answer.lines

    def fails(self, answer, pattern):
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.lines[-1].get("error", str(answer.lines[-1])), pattern)

    def files(self, end=""):
        return sorted(name for name in os.listdir(os.path.join(self.root, "blobs")) if name.endswith(end))


__all__ = ["Model", "TransferTest", "check_store", "registry", "tensor", "unittest"]
