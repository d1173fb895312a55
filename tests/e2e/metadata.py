"""What a picture keeps about how it was drawn: easel show FILE, and easel run --from FILE."""
import json
import os
import struct
import unittest
import zlib

import cli
from cli import DIGEST, DONE, SHOW
from fake_server import Answer, Stream
from harness import write_png
from terminal import Terminal

META = {"easel": "0.1.0", "model": "demo:latest", "digest": DIGEST, "prompt": "a cat\non a mat", "negative_prompt": "blur",
        "seed": 7, "steps": 9, "width": 128, "height": 64, "guidance": 1.5, "scheduler": "flow_match",
        "step_cache": "off"}
PARAMETERS = ("a cat, a dog\nsecond line\nNegative prompt: blur,\nnoise\n"
              "Steps: 20, Sampler: Euler, CFG scale: 1.5, Seed: 7, Size: 512x768, Model: other, Version: x")


def chunk(kind, body, crc=None):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)


def png(*chunks, behind=b""):
    """A picture with chunks behind its head, and others behind its data."""
    whole = write_png(2, 2)
    return whole[:33] + b"".join(chunks) + whole[33:-12] + behind + whole[-12:]


def text(value, keyword=b"easel"):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return chunk(b"tEXt", keyword + b"\0" + data)


def international(value, keyword=b"easel", packed=False):
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    head = keyword + (b"\0\1\0" if packed else b"\0\0\0") + b"en\0Wort\0"
    return chunk(b"iTXt", head + (zlib.compress(data) if packed else data))


def xmp(value, end=b"</easel:picture>"):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    data = data.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><easel:picture>' + data + end + b"</x:xmpmeta>"


def segment(kind, body):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body


def jpeg(value, **form):
    """As far as the picture's data, which nobody looks at."""
    return (b"\xff\xd8" + segment(0xe0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + segment(0xe1, b"Exif\0\0MM\0*") +
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(value, **form)) + segment(0xda, b"x") + b"\xff\xd9")


def webp(value):
    def piece(kind, body):
        return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    chunks = piece(b"VP8X", bytes(10)) + piece(b"VP8 ", b"odd") + piece(b"XMP ", xmp(value))
    return piece(b"RIFF", b"WEBP" + chunks)


class Metadata(cli.Cli):
    def keep(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)


class Show(Metadata):
    def test_blocks(self):
        self.keep("a.png", png(text(META)))
        self.expect(self.cli("show", "a.png"),
                    "  Picture\n"
                    "    model         demo:latest     \n"
                    "    digest        16542dce28da    \n"
                    "    width         128             \n"
                    "    height        64              \n"
                    "    steps         9               \n"
                    "    seed          7               \n"
                    "    guidance      1.5             \n"
                    "    scheduler     flow_match      \n"
                    "    step cache    off             \n"
                    "    easel         0.1.0           \n\n"
                    "  Prompt\n    a cat       \n    on a mat    \n\n"
                    "  Negative prompt\n    blur    \n\n")
        self.refused("a.png is a picture: it has no license", "show", "a.png", "--license")
        self.keep("a.png", png(text({**META, "images": 2, "strength": 0.5})))
        self.assertIn("    images        2               \n    strength      0.5             \n",
                      self.cli("show", "a.png").stdout)

    def test_a_file_that_is_not_there(self):
        server = self.serve({"POST /api/show": Answer({"error": "model 'a.png:latest' not found"}, 404)})
        self.refused("there is no file a.png, and no model: model 'a.png:latest' not found", "show", "a.png",
                     server=server)

    def test_every_kind_of_chunk(self):
        meta = {**META, "prompt": "猫 é"}
        for data in (png(text(meta)), png(international(meta)), png(international(meta, packed=True)),
                     png(chunk(b"zTXt", b"easel\0\0" + zlib.compress(json.dumps(meta).encode()))),
                     png(behind=text(meta)), png(text(b"x", b"Comment"), text(meta), text(META))):
            self.keep("a.png", data)
            self.assertEqual(json.loads(self.cli("show", "a.png", "--json").stdout), meta)

    def test_other_formats(self):
        meta = {**META, "prompt": "猫 é <b> & \\u0001 ]]> \U0001f600"}
        for name, data in (("a.jpg", jpeg(meta)), ("a.webp", webp(meta))):
            self.keep(name, data)
            self.assertEqual(json.loads(self.cli("show", name, "--json").stdout), meta)

    def test_what_other_tools_write(self):
        self.keep("a.png", png(text(PARAMETERS.encode(), b"parameters")))
        self.assertEqual(json.loads(self.cli("show", "a.png", "--json").stdout), {
            "prompt": "a cat, a dog\nsecond line", "negative_prompt": "blur,\nnoise", "steps": 20, "scheduler": "Euler",
            "guidance": 1.5, "seed": 7, "width": 512, "height": 768, "model": "other"})
        self.keep("b.png", png(text(b"caf\xe9\nSteps: x, Size: 5, Seed: 99999999999999999999", b"parameters")))
        self.assertEqual(json.loads(self.cli("show", "b.png", "--json").stdout), {"prompt": "café"})

    def test_terminals_are_safe(self):
        self.keep("a.png", png(text({**META, "model": "m\x1b[2J", "prompt": "a\x1b]0;x\x07\u009b31m\x7f\tb"})))
        output = self.cli("show", "a.png").stdout
        self.assertIn("    a?]0;x???31m? b", output)
        self.assertNotRegex(output, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")

    def test_refusals(self):
        bomb = zlib.compress(bytes(40 << 20))
        damaged = "its text 'easel' is damaged, or longer than 16777216 bytes"
        for data, error in (
            (b"\xff\xd8\xff\xe0 jpeg", "the file does not say how it was drawn"), (b"", "not a PNG, JPEG or WebP file"),
            (b"GIF89a", "not a PNG, JPEG or WebP file"),
            (jpeg(b"{broken"), "its text 'easel' is damaged: "), (jpeg([1]), "its text 'easel' is damaged: no object"),
            (jpeg(META)[:-40], "the file does not say how it was drawn"),
            (webp(META)[:-40], "the file does not say how it was drawn"),
            (jpeg(META, end=b""), "the file does not say how it was drawn"),
            (png(), "the file does not say how it was drawn"),
            (png(text(b"no steps here", b"parameters")), "the file does not say how it was drawn"),
            (png(text(META))[:60], "the file does not say how it was drawn"),
            (png(chunk(b"tEXt", b"easel\0{}", crc=1)), damaged),
            (png(chunk(b"iTXt", b"easel\0\1\0\0\0" + bomb)), damaged),
            (png(chunk(b"iTXt", b"easel\0\1\0\0\0" + bomb[:50])), damaged),
            (png(chunk(b"iTXt", b"easel\0\2\0\0\0{}")), damaged), (png(chunk(b"iTXt", b"easel\0\0\0no end")), damaged),
            (png(chunk(b"zTXt", b"easel\0")), damaged),
            (png(text(b"{broken")), "its text 'easel' is damaged: "),
            (png(text([1])), "its text 'easel' is damaged: no object"),
            (png(text({**META, "seed": "7"})), "its text 'easel' is damaged: 'seed' has the wrong type"),
        ):
            with self.subTest(error=error, data=data[:70]):
                self.keep("a.png", data)
                result = self.cli("show", "a.png")
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertTrue(result.stderr.startswith(f"Error: a.png: {error}"), result.stderr)

    def test_a_model_of_such_a_name(self):
        server = self.serve({"POST /api/show": Answer(SHOW)})
        self.assertIn("ZImagePipeline", self.cli("show", "none.png", server=server).stdout)


class Again(Metadata):
    TAGS = {"models": [{"name": "other:latest", "digest": "0" * 64}, {"name": "demo:latest", "digest": DIGEST}]}

    def server(self, tags=None):
        return self.serve({"POST /api/show": Answer(SHOW), "GET /api/tags": Answer(tags or self.TAGS),
                           "POST /api/generate": Stream(DONE)})

    def drawn(self, *args, meta=None, stderr="", tags=None, **options):
        self.keep("a.png", png(text(meta or META)))
        server = self.server(tags)
        result = self.cli("run", "--from", "a.png", "-o", "b.png", *args, server=server, **options)
        self.expect(result, "Image saved to: b.png\n", stderr)
        return server.requests[-1][1]

    BODY = {"model": "demo:latest", "prompt": "a cat\non a mat", "negative": "blur", "options": {"seed": 7, "step_cache": "off"},
            "steps": 9,
            "width": 128, "height": 64, "guidance": 1.5}

    def body_of(self, body):
        """Options that other parts of easel add to the table later are theirs to test."""
        return {name: value for name, value in body.items() if name in self.BODY}

    def test_the_same_picture(self):
        self.assertEqual(self.body_of(self.drawn()), self.BODY)
        # A prompt is drawn as it stands, whatever files it seems to name.
        self.keep("cat.png", png())
        body = self.drawn(meta={**META, "prompt": "cat.png ./cat.png"})
        self.assertEqual((body["prompt"], body.get("images")), ("cat.png ./cat.png", None))

    def test_flags_win(self):
        body = self.drawn("--steps", "30", "--seed", "0", "--negative", "", "--width=512", "--guidance", "0")
        expected = {**self.BODY, "steps": 30, "width": 512, "guidance": 0.0}
        expected["options"] = {"step_cache": "off"}
        del expected["negative"]
        self.assertEqual(self.body_of(body), expected)
        self.assertEqual(self.drawn("other", "a", "dog")["prompt"], "a dog")
        self.assertEqual(self.drawn("other")["model"], "other")
        self.assertEqual(self.drawn(stdin="from stdin\n")["prompt"], "from stdin")

    def test_parameters_of_other_tools(self):
        self.keep("c.png", png(text(PARAMETERS.encode(), b"parameters")))
        server = self.server()
        self.expect(self.cli("run", "demo", "--from", "c.png", "-o", "b.png", server=server), "Image saved to: b.png\n")
        self.assertEqual(self.body_of(server.requests[-1][1]), {
            "model": "demo", "prompt": "a cat, a dog\nsecond line", "negative": "blur,\nnoise", "options": {"seed": 7},
            "steps": 20, "width": 512, "height": 768, "guidance": 1.5})

    def test_another_version_is_told(self):
        warning = "Warning: a.png was drawn by another version of demo:latest: the picture may differ\n"
        self.drawn(meta={**META, "digest": "sha256:" + "1" * 64}, stderr=warning)
        self.drawn(meta={**META, "digest": "1" * 12}, stderr=warning)
        self.drawn(meta={**META, "digest": DIGEST[:12]})
        self.drawn(meta={**META, "digest": "1" * 64, "model": "demo"}, stderr=warning.replace("demo:latest", "demo"))
        self.drawn("other", meta={**META, "digest": "1" * 64})
        self.drawn(meta={k: v for k, v in META.items() if k != "digest"})
        self.drawn(tags={"models": []})

    def test_pictures_that_are_missing_are_told(self):
        meta = {**META, "images": 2, "strength": 0.5}
        warning = "Warning: a.png was drawn from 2 other pictures, not kept in it: name them with --image\n"
        self.assertEqual(self.drawn(meta=meta, stderr=warning)["strength"], 0.5)
        warning = "Warning: a.png was drawn from 1 other picture, not kept in it: name it with --image\n"
        self.drawn(meta={**META, "images": 1}, stderr=warning)
        self.drawn("--image", "a.png", meta=meta)

    def test_no_session(self):
        self.keep("a.png", png(text(META)))
        terminal = Terminal([cli.EASEL, "run", "--from", "a.png", "-o", "b.png"], cwd=self.folder,
                            env=self.environment(self.server(), {"EASEL_GRAPHICS": "none"}))
        self.addCleanup(terminal.close)
        terminal.expect("Image saved to: b.png\n")
        self.assertEqual(terminal.wait()[0], 0)

    def test_refusals(self):
        self.refused("open none.png: No such file or directory", "run", "--from", "none.png")
        self.keep("a.png", png(text({"prompt": "x"})))
        self.refused("a.png does not name a model: name one", "run", "--from", "a.png")
        self.keep("a.png", png(text({**META, "guidance": "x"})))
        self.refused("a.png: its metadata is damaged: 'guidance' has the wrong type", "run", "--from", "a.png")
        self.keep("a.png", png(text({**META, "prompt": ""})))
        self.refused('image generation models require a prompt. Usage: easel run z-image "your prompt here"',
                     "run", "--from", "a.png", server=self.server())


if __name__ == "__main__":
    unittest.main()
