"""The real openai and ollama clients against the real server. Needs PyPI packages:
run with the Python that EASEL_CLIENTS names (scripts/clients.sh makes it)."""
import base64
import io
import os
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

from harness import EaselTest, read_png, write_png


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
        with self.assertRaisesRegex(ollama.ResponseError, "pulling models is not supported yet"):
            self.ollama.pull("demo")

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

    def test_ollama_models(self):
        self.assertEqual([model.model for model in self.ollama.list().models], ["demo:latest"])
        self.assertIn("image", self.ollama.show("demo").capabilities)
        self.ollama.copy("demo", "copy")
        self.ollama.delete("copy")
        self.ollama.generate(model="demo")
        self.assertEqual(self.ollama.ps().models[0].model, "demo:latest")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    unittest.main()
