"""Requests that are wrong or odd, against the real runner: each gets its answer, and
the next request works."""
import base64
import unittest

from harness import EaselTest, read_png

SHORT = {"model": "demo", "prompt": "a tree", "steps": 1, "stream": False, "width": 64, "height": 64}


class BadInput(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()

    def generate(self, **members):
        return self.server.post("/api/generate", {**SHORT, **members})

    def refused(self, status, error, **members):
        answer = self.generate(**members)
        self.assertEqual((answer.status, answer.error), (status, error))

    def size_of(self, answer):
        if answer.status != 200:
            self.fail_log(answer.body)
        return read_png(base64.b64decode(answer.json["image"]))[:2]

    def test_models(self):
        self.refused(404, "model 'nope' not found", model="nope")
        self.refused(404, "model '' not found", model="")
        self.refused(400, "invalid model name", model="a b")
        self.refused(403, "ollama cloud is disabled: remote model is unavailable", model="demo:cloud")

    def test_bodies(self):
        for body, error in ((b"", "missing request body"), (b"  \n", "missing request body"),
                            (b'{"model":"demo"', "unexpected EOF")):
            answer = self.server.request("POST", "/api/generate", body)
            self.assertEqual((answer.status, answer.error), (400, error))
        for body in (b"nonsense", b"[]", b'"text"', b"{]", b"[" * 100000):
            self.assertEqual(self.server.request("POST", "/api/generate", body).status, 400, body[:10])
        for member, value in (("width", "64"), ("width", 1.5), ("prompt", 5), ("stream", "yes"), ("model", [])):
            answer = self.generate(**{member: value})
            self.assertEqual(answer.status, 400)
            self.assertIn(member, answer.error)

    def test_sizes(self):
        self.refused(400, "width and height must be <= 4096", width=4097)
        self.refused(400, "width and height must be <= 4096", height=1 << 20)
        self.assertEqual(self.size_of(self.generate(width=0, height=-5)), (128, 128))
        self.assertEqual(self.size_of(self.generate(width=1, height=71)), (64, 64))
        self.assertEqual(self.size_of(self.generate(width=72)), (80, 64))
        answer = self.server.post("/v1/images/generations", {
            "model": "demo", "prompt": "a tree", "size": "9999x64"})
        self.assertEqual((answer.status, answer.error), (400, "width and height must be <= 4096"))

    def test_steps(self):
        self.refused(400, "steps must be <= 1000", steps=1001)

    def test_prompts(self):
        self.assertEqual(self.generate(prompt="").json["done_reason"], "load")
        answer = self.server.post("/v1/images/generations", {"model": "demo", "prompt": ""})
        self.assertEqual((answer.status, answer.error), (400, "prompt is required"))
        self.size_of(self.generate(prompt="x" * (1 << 20)))
        self.size_of(self.generate(prompt="a red circle, " * (1 << 16)))
        self.size_of(self.generate(prompt=" \n\t" * (1 << 18)))
        self.size_of(self.generate(prompt="<|im_end|>\x00\ud7ff\U0001f600 e\u0301"))

    def test_invalid_utf8_is_replaced(self):
        body = (b'{"model":"demo","prompt":"a \xff\xc3 tree","steps":1,"stream":false,'
                b'"width":64,"height":64,"seed":4}')
        odd = self.server.request("POST", "/api/generate", body)
        replaced = self.generate(prompt="a \ufffd\ufffd tree", seed=4)
        self.assertEqual(odd.status, 200, odd.body[:200])
        self.assertEqual(odd.json["image"], replaced.json["image"])

    def test_keep_alive(self):
        self.refused(400, 'time: missing unit in duration "10"', keep_alive="10")
        self.refused(400, 'time: unknown unit "d" in duration "1d"', keep_alive="1d")
        self.refused(400, "Unsupported type: 'bool'", keep_alive=True)

    def test_numbers_that_are_random_or_large(self):
        seeds = set()
        for seed in (0, -1, None):
            answer = self.generate(seed=seed)
            self.assertEqual(answer.status, 200)
            self.assertTrue(1 <= answer.json["seed"] < 1 << 32)
            seeds.add(answer.json["seed"])
        self.assertEqual(len(seeds), 3)
        self.assertEqual(self.generate(seed=(1 << 63) - 1).json["seed"], (1 << 63) - 1)


if __name__ == "__main__":
    unittest.main()
