"""The real openai and ollama clients against the real server. Needs PyPI packages:
run with the Python that EASEL_CLIENTS names (scripts/clients.sh makes it)."""
import base64
import os
import sys
import unittest

try:
    import ollama
    import openai
except ImportError as error:
    if __name__ == "__main__":
        print(f"skipped: {error} (scripts/clients.sh installs the clients)")
        sys.exit(77)
    raise

from harness import EaselTest, read_png


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
