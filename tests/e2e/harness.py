"""What the end-to-end tests share: a server of their own on a free port with a store
of its own, the CLI, HTTP, and a PNG reader. Standard library only.

The binaries are named by EASEL_BUILD (the build folder) and data by EASEL_SOURCE.
"""
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import server  # noqa: E402
from server import Answer, alive, children, read_all, read_until  # noqa: E402

BUILD = os.environ.get("EASEL_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SOURCE = os.environ.get("EASEL_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
DATA = os.path.join(SOURCE, "tests", "data")
DEMO = os.path.join(SOURCE, "demo")
# Sanitizers and validation layers make everything slower; deadlines only bound hangs.
PATIENCE = 120.0


def binary(*parts):
    return os.path.join(BUILD, *parts)


def wait_for(what, probe, seconds=PATIENCE):
    return server.wait_for(what, probe, seconds)


class Server(server.Server):
    """One gateway with the real runner and a store in a temporary folder."""

    def __init__(self, store=None, env=None):
        folder = tempfile.mkdtemp(prefix="easel-e2e-")
        self.store = store or os.path.join(folder, "store")
        # The shader cache is worth keeping between tests.
        cache = os.path.join(BUILD, "mesa-cache")
        os.makedirs(cache, exist_ok=True)
        super().__init__(binary("gateway", "easel-gateway"),
                         {"EASEL_MODELS": self.store, "MESA_SHADER_CACHE_DIR": cache, **(env or {})},
                         PATIENCE, folder)

    def open_request(self, path, body):
        """Sends a POST and returns the raw socket, which ends with the answer."""
        return self.send("POST", path, body, "Connection: close")

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


def write_png(width, height, colour=(200, 40, 40), alpha=None):
    """A PNG of one colour, with an alpha channel when one is given: a value, or one a column."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    alphas = alpha if isinstance(alpha, list) else [alpha] * width
    row = b"".join(bytes(colour) + (b"" if a is None else bytes([a])) for a in alphas)
    rows = (b"\0" + row) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if alpha is None else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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
           "children", "psnr", "read_all", "read_file", "read_png", "read_until", "signal", "wait_for",
           "write_png"]
