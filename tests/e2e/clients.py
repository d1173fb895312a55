"""The real openai and ollama clients against the real server, Python's and Node's. Needs
packages: run with the Python that EASEL_CLIENTS names (scripts/clients.sh makes it); Node's
are in the same folder, clients.mjs holds their tests."""
import base64
import io
import os
import re
import shutil
import subprocess
import sys
import unittest
import urllib.request

try:
    import ollama
    import openai
except ImportError as error:
    if __name__ == "__main__":
        print(f"skipped: {error} (scripts/clients.sh installs the clients)")
        sys.exit(77)
    raise

from harness import EaselTest, PATIENCE, SOURCE, read_file, read_png, wait_for, write_png


class Clients(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()
        url = f"http://127.0.0.1:{cls.server.port}"
        cls.openai = openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0)
        cls.ollama = ollama.Client(host=url)

    def test_openai_images(self):
        result = self.openai.images.generate(model="demo", prompt="a red circle", size="1024x1024",
                                             extra_body={"size": "64x64", "steps": 2, "seed": 1})
        self.assertEqual(read_png(base64.b64decode(result.data[0].b64_json))[:2], (64, 64))
        with self.assertRaises(openai.NotFoundError) as caught:
            self.openai.images.generate(model="nope", prompt="a red circle")
        self.assertIn("model 'nope' not found", str(caught.exception))
        with self.assertRaises(openai.BadRequestError):
            self.openai.images.generate(model="demo", prompt="")

    def edit(self, **members):
        """The size of the picture that images.edit makes; quick and of one seed."""
        result = self.openai.images.edit(model="demo", prompt="a red circle", **{
            "extra_body": {"steps": 2, "seed": 1, "strength": 0.5}, **members})
        return read_png(base64.b64decode(result.data[0].b64_json))[:2]

    def test_openai_edit(self):
        """As file, as bytes with a name, with a mask; sizes are the picture's or what is asked."""
        file = io.BytesIO(write_png(96, 64))
        file.name = "hat.png"
        mask = ("mask.png", write_png(96, 64, alpha=0), "image/png")
        self.assertEqual(self.edit(image=file), (96, 64))
        self.assertEqual(self.edit(image=("a.png", write_png(96, 64)), mask=mask), (96, 64))
        self.assertEqual(self.edit(image=[write_png(96, 64)], extra_body={"steps": 2, "size": "64x128"}), (64, 128))
        result = self.openai.images.edit(model="demo", prompt="x", image=write_png(64, 64), n=2,
                                         extra_body={"steps": 2, "seed": 1, "mask_mode": "white"},
                                         mask=write_png(64, 64, (255, 255, 255)))
        self.assertEqual(len(result.data), 2)

    def test_openai_edit_errors(self):
        for members, error in (
                ({"image": [write_png(64, 64), write_png(64, 64)]},
                 "model does not support image editing with more than one image"),
                ({"image": b"GIF89a"}, "invalid image 0: not a PNG, JPEG or WebP file"),
                ({"image": write_png(64, 64)[:-20]}, "invalid image 0"),
                ({"image": write_png(64, 64), "extra_body": {"strength": 2}}, "strength must be between 0 and 1"),
                ({"image": [write_png(64, 64)] * 17}, "too many input images, maximum is 16")):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.edit(**members)
            self.assertIn(error, str(caught.exception))

    def test_openai_stream(self):
        """The SDK's own events, one completed picture each; usage is filled."""
        for members in ({}, {"partial_images": 2}):
            wanted = members.get("partial_images", 0)
            events = list(self.openai.images.generate(model="demo", prompt="a red circle", n=2, stream=True, **members,
                                                      extra_body={"size": "64x64", "steps": 4, "seed": 1}))
            self.assertEqual([event.type for event in events],
                             (["image_generation.partial_image"] * wanted + ["image_generation.completed"]) * 2)
            for event in events:
                self.assertEqual(read_png(base64.b64decode(event.b64_json))[:2], (64, 64))
                self.assertEqual((event.size, event.output_format, event.background), ("64x64", "png", "opaque"))
                if event.type == "image_generation.completed":
                    self.assertEqual(event.usage.total_tokens, event.usage.input_tokens)
                    self.assertGreater(event.usage.input_tokens_details.text_tokens, 3)
            self.assertEqual([event.partial_image_index for event in events if hasattr(event, "partial_image_index")],
                             list(range(wanted)) * 2)
        (event,) = self.openai.images.edit(model="demo", prompt="x", image=write_png(64, 64), stream=True,
                                           extra_body={"steps": 2, "seed": 1})
        self.assertEqual(event.type, "image_edit.completed")

    def test_openai_edit_stream(self):
        events = list(self.openai.images.edit(model="demo", prompt="x", image=write_png(64, 64), stream=True,
                                              partial_images=1, extra_body={"steps": 4, "seed": 1, "strength": 1}))
        self.assertEqual([event.type for event in events], ["image_edit.partial_image", "image_edit.completed"])

    def test_openai_formats(self):
        for name, begin in (("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")):
            result = self.openai.images.generate(model="demo", prompt="a red circle", output_format=name, output_compression=60,
                                                 extra_body={"size": "64x64", "steps": 2, "seed": 1})
            self.assertTrue(base64.b64decode(result.data[0].b64_json).startswith(begin))

    def test_openai_url(self):
        result = self.openai.images.generate(model="demo", prompt="a red circle", response_format="url",
                                             extra_body={"size": "64x64", "steps": 2, "seed": 1})
        with urllib.request.urlopen(result.data[0].url, timeout=30) as answer:
            self.assertEqual(answer.headers["Content-Type"], "image/png")
            self.assertEqual(answer.read(), base64.b64decode(result.data[0].b64_json))

    def test_openai_refusals(self):
        with self.assertRaisesRegex(openai.BadRequestError, "does not support chat"):
            self.openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "hi"}])
        with self.assertRaisesRegex(openai.BadRequestError, "does not support embeddings"):
            self.openai.embeddings.create(model="demo", input="hi")
        with self.assertRaisesRegex(ollama.ResponseError, "does not support chat"):
            self.ollama.chat(model="demo", messages=[{"role": "user", "content": "hi"}])
        with self.assertRaisesRegex(ollama.ResponseError, "pull model manifest: .*connection refused"):
            self.ollama.pull("127.0.0.1:1/library/demo", insecure=True)

    def test_openai_models(self):
        self.assertEqual([model.id for model in self.openai.models.list()], ["demo:latest"])
        self.assertEqual(self.openai.models.retrieve("demo").id, "demo")

    def test_ollama_generate(self):
        answer = self.ollama.generate(model="demo", prompt="a red circle", width=64, height=64, steps=2,
                                      options={"seed": 1})
        image = answer["image"] if "image" in answer else answer.image
        self.assertEqual(read_png(base64.b64decode(image))[:2], (64, 64))
        steps = [part.completed for part in self.ollama.generate(
            model="demo", prompt="a red circle", width=64, height=64, steps=2, stream=True) if not part.done]
        self.assertEqual(steps, [None, 1, 2])
        with self.assertRaises(ollama.ResponseError) as caught:
            self.ollama.generate(model="nope", prompt="x")
        self.assertEqual(caught.exception.status_code, 404)

    def test_ollama_images(self):
        answer = self.ollama.generate(model="demo", prompt="a red circle", steps=4, images=[write_png(96, 64)],
                                      options={"seed": 1, "strength": 0.5})
        self.assertEqual(read_png(base64.b64decode(answer.image))[:2], (96, 64))
        lines = list(self.ollama.generate(model="demo", prompt="a red circle", steps=4, images=[write_png(96, 64)],
                                          options={"strength": 0.5}, stream=True))
        for line in lines[:-1]:
            self.assertLessEqual(line.completed or 0, line.total)
        self.assertEqual(lines[-2].completed, lines[-2].total)
        with self.assertRaises(ollama.ResponseError) as caught:
            self.ollama.generate(model="demo", prompt="x", images=[b"GIF89a"])
        self.assertEqual((caught.exception.status_code, caught.exception.error),
                         (400, "invalid image 0: not a PNG, JPEG or WebP file"))

    def ollama_names(self):
        return sorted(model.model for model in self.ollama.list().models)

    def test_ollama_models(self):
        self.assertEqual(self.ollama_names(), ["demo:latest"])
        (listed,) = self.ollama.list().models
        shown = self.ollama.show("demo")
        self.assertIn("image", shown.capabilities)
        self.assertEqual(shown.details.family, listed.details.family)
        self.assertRegex(shown.parameters, r"(?m)^width +128$")
        self.ollama.copy("demo", "copy")
        self.assertEqual(self.ollama_names(), ["copy:latest", "demo:latest"])
        self.ollama.delete("copy")
        self.assertEqual(self.ollama_names(), ["demo:latest"])

    def test_ollama_create(self):
        """From a model of the store; the new one has its own defaults."""
        parts = list(self.ollama.create("made", from_="demo", stream=True,
                                        parameters={"width": 64, "height": 96, "steps": 2}))
        self.addCleanup(self.ollama.delete, "made")
        self.assertEqual(parts[-1].status, "success")
        answer = self.ollama.generate(model="made", prompt="a red circle")
        self.assertEqual(read_png(base64.b64decode(answer.image))[:2], (64, 96))

    def test_ollama_ps(self):
        """Loaded by an empty prompt, unloaded by keep_alive 0."""
        self.assertEqual(self.ollama.generate(model="demo").done_reason, "load")
        (running,) = [model for model in self.ollama.ps().models if model.model == "demo:latest"]
        self.assertGreater(running.size, 0)
        self.assertGreater(running.expires_at, running.expires_at.now(running.expires_at.tzinfo))
        self.assertEqual(self.ollama.generate(model="demo", keep_alive=0).done_reason, "unload")
        wait_for("the model to be gone", lambda: "demo:latest" not in [model.model for model in self.ollama.ps().models])

    def test_ollama_errors(self):
        for status, error, call in (
                (404, "model 'nope:latest' not found", lambda: self.ollama.show("nope")),
                (404, 'model "nope" not found', lambda: self.ollama.copy("nope", "copy")),
                (404, "model 'nope' not found", lambda: self.ollama.delete("nope")),
                (404, "model 'nope' not found", lambda: list(self.ollama.generate("nope", "x", stream=True))),
                (400, "invalid model name", lambda: self.ollama.create("a b", from_="demo"))):
            with self.assertRaisesRegex(ollama.ResponseError, error) as caught:
                call()
            self.assertEqual(caught.exception.status_code, status)


class NodeClients(EaselTest):
    @classmethod
    def prepare(cls):
        if not shutil.which("node") or not os.path.isdir(os.path.join(sys.prefix, "node_modules", "openai")):
            raise unittest.SkipTest("no Node with its clients (scripts/clients.sh installs them)")
        cls.server.create_demo()

    def test_node(self):
        """clients.mjs comes from standard input: its modules are then those of the working folder."""
        script = read_file(SOURCE, "tests", "e2e", "clients.mjs").decode()
        result = subprocess.run(
            ["node", "--test-reporter=tap", "--input-type=module", "-", f"http://127.0.0.1:{self.server.port}",
             self.server.folder], input=script, cwd=sys.prefix, env=self.server.environment(),
            capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        passed = re.search(r"(?m)^# pass (\d+)$", result.stdout)
        self.assertEqual(int(passed.group(1)), script.count('\ntest("'), result.stdout)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    unittest.main()
