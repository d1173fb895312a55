"""POST /v1/images/generations: one object, server-sent events, OpenAI's errors."""
import base64
import json

from gateway_test import GatewayTest, unittest


class Images(GatewayTest):
    models = ("ok", "fail", "bad-model")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.store.model("text", capabilities=("completion",))

    def ask(self, headers=None, **members):
        return self.gateway.request("POST", "/v1/images/generations",
                                    {"model": "ok", "prompt": "a tree", **members}, headers or {})

    def drawn(self, **members):
        answer = self.ask(**members)
        self.assertEqual(answer.status, 200, answer.body)
        return [json.loads(base64.b64decode(entry["b64_json"])) for entry in answer.json["data"]]

    def test_one_object(self):
        answer = self.ask(seed=3, size="128x96", steps=2)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(int(answer.headers["Content-Length"]), len(answer.body))
        self.assertRegex(answer.body, rb'^\{"created":\d{10},"data":\[\{"seed":3,"b64_json":"[A-Za-z0-9+/]+=*"\}\]\}\n$')
        self.assertEqual(self.drawn(seed=3, size="128x96", steps=2),
                         [{"prompt": "a tree", "width": 128, "height": 96, "steps": 2, "seed": 3, "guidance": 0.0}])

    def test_several_pictures(self):
        self.assertEqual([p["seed"] for p in self.drawn(n=3, seed=9)], [9, 10, 11])
        seeds = [p["seed"] for p in self.drawn(n=10)]
        self.assertEqual(seeds, list(range(seeds[0], seeds[0] + 10)))

    def test_events(self):
        for headers, members in (({}, {"stream": True}), ({"Accept": "text/event-stream"}, {})):
            answer = self.ask(headers, seed=3, steps=2, n=2, **members)
            self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
            self.assertEqual(answer.headers["Cache-Control"], "no-cache")
            self.assertEqual(answer.headers["Connection"], "keep-alive")
            events = answer.body.split(b"\n\n")
            for step in range(1, 5):
                self.assertEqual(events[step - 1], b'event: progress\ndata: {"step":%d,"total":4}' % step)
            self.assertRegex(events[4], rb'^event: done\ndata: \{"created":\d{10},"data":\[\{"seed":3,"b64_json":"[^"]+"\},'
                             rb'\{"seed":4,"b64_json":"[^"]+"\}\]\}$')
            self.assertEqual(events[5:], [b""])
        answer = self.ask({"Accept": "text/event-stream"}, stream=False)
        self.assertEqual(answer.headers["Content-Type"], "application/json")

    def test_failures(self):
        events = self.ask(model="fail", stream=True).body.split(b"\n\n")
        self.assertEqual(events[-2], b'event: error\ndata: {"error":{"message":"the picture is not finite",'
                         b'"type":"api_error","param":null,"code":null}}')
        answer = self.ask(model="fail")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (500, "api_error"))
        answer = self.ask(model="bad-model", stream=True)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (500, "application/json"))

    def test_required(self):
        answer = self.ask(prompt="", model="")
        self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
        self.assertEqual(answer.body, b'{"error":{"message":"prompt is required","type":"invalid_request_error",'
                         b'"param":null,"code":null}}')
        self.refused(self.ask(model=""), 400, "model is required")
        self.refused(self.gateway.post("/v1/images/generations", b""), 400, "EOF")

    def test_models(self):
        answer = self.ask(model="nope")
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.assertEqual(answer.body, b'{"error":{"message":"model \'nope\' not found","type":"not_found_error",'
                         b'"param":null,"code":null}}\n')
        self.refused(self.ask(model="a b"), 400, "invalid model name")
        self.refused(self.ask(model="text"), 400, '"text" does not support image generation')

    def test_sizes(self):
        self.refused(self.ask(size="9999x64"), 400, "width and height must be <= 4096")
        for size, side in (("auto", 1024), ("", 1024), ("64x64junk", 64), ("-5x0", 1024), ("1x1", 64), (None, 1024)):
            self.assertEqual(self.drawn(size=size)[0]["width"], side, size)

    def test_counts_and_formats(self):
        for n in (0, 11, -1):
            self.refused(self.ask(n=n), 400, "n must be between 1 and 10")
        self.assertEqual(self.ask(n="2").status, 400)
        self.assertEqual(self.ask(response_format="b64_json", output_format="png").status, 200)
        for member, value in (("response_format", "url"), ("response_format", "x"), ("output_format", "tiff")):
            answer = self.ask(**{member: value})
            self.assertEqual(answer.status, 400)
            self.assertIn(member, answer.error)

    def test_quality_and_ignored_members(self):
        for quality, steps in (("low", 2), ("medium", 4), ("high", 8), ("hd", 4)):
            self.assertEqual(self.drawn(quality=quality)[0]["steps"], steps)
        self.assertEqual(self.drawn(quality="high", steps=3)[0]["steps"], 3)
        answer = self.ask(style="vivid", user="u", quality="hd")
        self.assertEqual(answer.headers["X-Easel-Ignored"], "quality, style, user")
        self.assertNotIn("X-Easel-Ignored", self.ask().headers)


if __name__ == "__main__":
    unittest.main()
