"""What the gateway's tests share: a gateway of its own on a free port with a store made
by hand and the fake runner, and HTTP down to the bytes. Standard library only.

EASEL_GATEWAY and EASEL_FAKE_RUNNER name the binaries.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

GATEWAY = os.environ["EASEL_GATEWAY"]
FAKE_RUNNER = os.environ["EASEL_FAKE_RUNNER"]
PATIENCE = 30.0                 # bounds hangs; nothing waits this long when all is well

TENSOR = "application/vnd.ollama.image.tensor"
JSON = "application/vnd.ollama.image.json"


def wait_for(what, probe, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.01)


def process_state(pid):
    """(parent, state letter), or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[1]), fields[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    state = process_state(pid)
    return state is not None and state[1] != "Z"


def children(pid):
    return [int(entry) for entry in os.listdir("/proc")
            if entry.isdigit() and (process_state(entry) or (0, "Z"))[0] == pid and alive(entry)]


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


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]

    @property
    def error(self):
        error = self.json["error"]
        return error["message"] if isinstance(error, dict) else error


class Gateway:
    def __init__(self, models=("ok",), env=None):
        self.folder = tempfile.mkdtemp(prefix="easel-gateway-")
        self.store = Store(os.path.join(self.folder, "store"))
        for model in models:
            self.store.model(model)
        self.log_path = os.path.join(self.folder, "log")
        self.env = env or {}
        self.sockets = []
        self.start()

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "EASEL_"))}
        env.update(EASEL_MODELS=self.store.root, HOME=self.folder, EASEL_RUNNER=FAKE_RUNNER,
                   EASEL_HOST="127.0.0.1:0", EASEL_DEBUG="1")
        env.update(self.env)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([GATEWAY], stdout=log, stderr=log, env=env)
        pattern = re.compile(r"Listening on [^ ]*:(\d+) \(version ")

        def listening():
            if self.process.poll() is not None:
                raise AssertionError("the gateway ended:\n" + self.log())
            return pattern.search(self.log())

        self.port = int(wait_for("the gateway to listen", listening).group(1))
        wait_for("the device list", lambda: "inference compute" in self.log() or "no device" in self.log())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        for sock in self.sockets:
            sock.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)
        if "Sanitizer" in log or "runtime error" in log:
            raise AssertionError(log)

    def runners(self):
        return children(self.process.pid)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, **headers):
        return self.request("POST", path, body, headers)

    def ps(self):
        return self.get("/api/ps").json["models"]

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.sockets.append(sock)
        return sock

    def send(self, method, path, body):
        """A request on a socket of its own, its answer not read."""
        data = json.dumps(body).encode()
        sock = self.connect()
        sock.sendall(b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                     % (method.encode(), path.encode(), len(data)) + data)
        return sock


def read_until(sock, text):
    data = b""
    while text not in data:
        more = sock.recv(65536)
        if not more:
            raise AssertionError(f"the connection ended before {text!r}: {data!r}")
        data += more
    return data


def read_all(sock):
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


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
           "read_all", "read_until", "signal", "unittest", "wait_for"]
