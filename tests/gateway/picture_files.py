"""Small picture files and forms for the tests of requests that bring pictures."""
import base64
import hashlib
import json
import struct
import zlib

JPEG = b"\xff\xd8\xff\xe0" + b"no jpeg behind it, the gateway does not look"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 no webp"


def png(seed=0, size=0):
    """A true one of one pixel; size pads it to that many bytes."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    tail = chunk(b"IDAT", zlib.compress(bytes([0, seed, seed, seed]))) + chunk(b"IEND", b"")
    pad = size - len(head) - len(tail) - 12
    return head + (chunk(b"teXt", (b"\r\n--" + bytes([seed])) * (pad // 5) + bytes(pad % 5)) if pad > 0 else b"") + tail


def b64(data):
    return base64.b64encode(data).decode()


def uri(data, kind="image/png"):
    return f"data:{kind};base64,{b64(data)}"


def told(*files):
    """How the fake runner describes the files that reached it."""
    return [{"bytes": len(f), "digest": "sha256:" + hashlib.sha256(f).hexdigest(), "begin": f[:4].hex()}
            for f in files]


def asked(image):
    """The request that reached the runner: the fake one's pictures are that."""
    return json.loads(base64.b64decode(image))


def part(name, data, filename=None, *headers):
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return "\r\n".join([head, *headers]).encode() + b"\r\n\r\n" + (data if isinstance(data, bytes) else str(data).encode())


def form(*parts, boundary=b"----xyz", pre=b"", post=b"\r\n", end=b"--"):
    return (pre + b"".join(b"--" + boundary + b"\r\n" + p + b"\r\n" for p in parts) +
            b"--" + boundary + end + post)


FORM = "multipart/form-data; boundary=----xyz"
