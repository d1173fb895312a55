"""What the end-to-end tests share: a server of their own on a free port with a store
of its own, the CLI, HTTP, and a PNG reader. Standard library only.

The binaries are named by EASEL_BUILD (the build folder) and data by EASEL_SOURCE.
"""
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

BUILD = os.environ.get("EASEL_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SOURCE = os.environ.get("EASEL_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
DATA = os.path.join(SOURCE, "tests", "data")
DEMO = os.path.join(SOURCE, "demo")
# Sanitizers and validation layers make everything slower; deadlines only bound hangs.
PATIENCE = 120.0


def binary(*parts):
    return os.path.join(BUILD, *parts)


def wait_for(what, probe, seconds=PATIENCE):
    """Polls probe() until it is true; what names it in the failure."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry))
    return found


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


class Server:
    """One gateway with a store in a temporary folder; ends with close()."""

    def __init__(self, store=None, env=None):
        self.folder = tempfile.mkdtemp(prefix="easel-e2e-")
        self.store = store or os.path.join(self.folder, "store")
        self.log_path = os.path.join(self.folder, "gateway.log")
        self.extra = env or {}
        self.process = None
        self.start()

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "EASEL_"))}
        for name in ("EASEL_VALIDATION", "EASEL_DEVICE"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(EASEL_MODELS=self.store, HOME=self.folder, **self.extra)
        # The shader cache is worth keeping between tests.
        env.setdefault("MESA_SHADER_CACHE_DIR", os.path.join(BUILD, "mesa-cache"))
        return env

    def start(self):
        os.makedirs(os.path.join(BUILD, "mesa-cache"), exist_ok=True)
        with open(self.log_path, "ab") as log:
            log_start = log.tell()
            self.process = subprocess.Popen(
                [binary("gateway", "easel-gateway")], stderr=log, stdout=log,
                env={**self.environment(), "EASEL_HOST": "127.0.0.1:0"})
        pattern = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")

        def listening():
            if self.process.poll() is not None:
                raise AssertionError("the gateway ended:\n" + self.log())
            return pattern.search(self.log()[log_start:])

        self.port = int(wait_for("the gateway to listen", listening).group(1))

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

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

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def open_request(self, path, body):
        """Sends a POST and returns the raw socket, which ends with the answer."""
        data = json.dumps(body).encode()
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                     % (path.encode(), len(data)) + data)
        return sock

    def cli(self, *args, stdin="", cwd=None, env=None):
        return subprocess.run(
            [binary("cli", "easel"), *args], input=stdin, capture_output=True, text=True, cwd=cwd or self.folder,
            env={**self.environment(), "EASEL_HOST": f"127.0.0.1:{self.port}", **(env or {})},
            timeout=PATIENCE * 3, check=False)

    def create(self, name, folder, **members):
        answer = self.post("/api/create", {"model": name, "from": os.path.abspath(folder), "stream": False, **members})
        if answer.status != 200:
            raise AssertionError(f"create {name}: {answer.status} {answer.body!r}\n{self.log()}")
        return answer

    def create_demo(self):
        return self.create("demo", os.path.join(DEMO, "model"),
                           parameters={"width": 128, "height": 128, "steps": 9})

    def blobs(self):
        folder = os.path.join(self.store, "blobs")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


class EaselTest(unittest.TestCase):
    """A test class with one server for all its tests (class attribute)."""
    store = None
    env = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.store, cls.env)
        cls.addClassCleanup(cls.server.close)
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    def fail_log(self, text):
        self.fail(f"{text}\n--- the gateway's log ---\n{self.server.log()[-4000:]}")


# ---- pictures ----

def _paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def _unfilter(kind, line, above, bpp):
    for i in range(len(line)):
        left = line[i - bpp] if i >= bpp else 0
        up = above[i]
        corner = above[i - bpp] if i >= bpp else 0
        line[i] = (line[i] + (0, left, up, (left + up) >> 1, _paeth(left, up, corner))[kind]) & 255


def read_png(data):
    """8-bit RGB PNG -> (width, height, bytes)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:16]
    offset, idat, head = 8, b"", None
    while offset < len(data):
        length, kind = struct.unpack(">I4s", data[offset:offset + 8])
        body = data[offset + 8:offset + 8 + length]
        assert struct.unpack(">I", data[offset + 8 + length:offset + 12 + length])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            idat += body
        offset += 12 + length
    width, height, depth, colour = head[:4]
    assert (depth, colour, head[6]) == (8, 2, 0), head
    raw, stride, out, above = zlib.decompress(idat), width * 3, bytearray(), bytearray(width * 3)
    for row in range(height):
        line = bytearray(raw[row * (stride + 1) + 1:(row + 1) * (stride + 1)])
        _unfilter(raw[row * (stride + 1)], line, above, 3)
        out += line
        above = line
    return width, height, bytes(out)


def psnr(a, b):
    """Decibels between two PNGs (bytes); infinite when equal."""
    wa, ha, pa = read_png(a)
    wb, hb, pb = read_png(b)
    assert (wa, ha) == (wb, hb), ((wa, ha), (wb, hb))
    error = sum((x - y) ** 2 for x, y in zip(pa, pb)) / len(pa)
    return math.inf if error == 0 else 10 * math.log10(255 * 255 / error)


def read_file(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


__all__ = ["Answer", "BUILD", "DATA", "DEMO", "EaselTest", "PATIENCE", "SOURCE", "Server", "alive", "binary",
           "children", "psnr", "read_file", "read_png", "signal", "wait_for"]
