"""POST /api/generate: lines byte for byte, what is resolved for the runner, errors."""
import base64
import json
import re

from gateway_test import Gateway, GatewayTest, read_all, split_chunks, unittest

TIME = rb'"created_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"'


def asked(image):
    """The request that reached the runner: the fake one's pictures are that."""
    return json.loads(base64.b64decode(image))


class Generate(GatewayTest):
    models = ("ok", "fail", "fail-early", "fail-decode", "bad-model", "crash-load", "tells-prompt")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.store.model("text", capabilities=("completion",))
        cls.gateway.store.model("tuned", params={"width": 128, "height": 96, "steps": 7, "guidance": 3.5,
                                                 "negative_prompt": "blurry"})
        cls.gateway.store.model("cached", params={"step_cache": "teacache:0.25"})
        cls.gateway.store.model("odd", params={"step_cache": "of another version"})

    def drawn(self, **members):
        answer = self.generate(**members)
        self.assertEqual(answer.status, 200, answer.body)
        return asked(answer.json["image"])

    def test_stream(self):
        answer = self.generate(stream=True, steps=2, seed=7)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/x-ndjson"))
        self.assertEqual(answer.headers["Transfer-Encoding"], "chunked")
        lines = answer.body.split(b"\n")
        self.assertEqual(len(lines), 5)
        begin = rb'^\{"model":"ok",' + TIME + rb',"response":"","done":'
        for line, rest in zip(lines, (rb'false,"total":2\}$', rb'false,"completed":1,"total":2\}$',
                                      rb'false,"completed":2,"total":2\}$',
                                      rb'true,"done_reason":"stop","total_duration":\d+,"load_duration":\d+,'
                                      rb'"seed":7,"image":"[A-Za-z0-9+/]+=*"\}$')):
            self.assertRegex(line, begin + rest)
        self.assertEqual(lines[4], b"")

    def test_chunks(self):
        """One chunk a line, as it is flushed, and headers byte for byte."""
        sock = self.gateway.send("POST", "/api/generate", {"model": "ok", "prompt": "a tree", "steps": 1, "seed": 7},
                                 "Connection: close")
        head, body = read_all(sock).split(b"\r\n\r\n", 1)
        self.assertRegex(head, rb"^HTTP/1\.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                         rb"X-Request-Id: [0-9a-f]{16}\r\nDate: [^\r]+ GMT\r\nConnection: close\r\n"
                         rb"Transfer-Encoding: chunked$")
        chunks = split_chunks(body)
        self.assertEqual([chunk.count(b"\n") for chunk in chunks], [1, 1, 1])
        self.assertTrue(all(chunk.endswith(b"}\n") for chunk in chunks), chunks)

    def test_one_object(self):
        answer = self.generate(seed=7)
        self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
        self.assertEqual(int(answer.headers["Content-Length"]), len(answer.body))
        self.assertTrue(re.match(rb'^\{"model":"ok",' + TIME + rb',"response":"","done":true,"done_reason":"stop",.*"\}$',
                                 answer.body))

    def test_defaults_of_the_family(self):
        self.assertEqual(self.drawn(seed=1), {"prompt": "a tree", "width": 1024, "height": 1024, "steps": 4,
                                              "seed": 1, "guidance": 0.0})

    def test_defaults_of_the_model(self):
        self.assertEqual(self.drawn(model="tuned", seed=1), {
            "prompt": "a tree", "negative": "blurry", "width": 128, "height": 96, "steps": 7, "seed": 1,
            "guidance": 3.5})
        self.assertEqual(self.drawn(model="tuned", seed=1, width=256, guidance=0, negative="x"), {
            "prompt": "a tree", "width": 256, "height": 96, "steps": 7, "seed": 1, "guidance": 0.0})

    def test_sizes(self):
        for given, side in ((0, 1024), (-3, 1024), (1, 64), (71, 64), (72, 80), (100, 96), (4096, 4096), (4090, 4096)):
            self.assertEqual(self.drawn(width=given)["width"], side, given)
        for member in ("width", "height"):
            self.refused(self.generate(**{member: 4097}), 400, "width and height must be <= 4096")

    def test_options(self):
        drawn = self.drawn(options={"seed": 42.9, "width": 64, "height": 80, "steps": 2, "guidance": 2, "mirostat": [1]})
        self.assertEqual((drawn["seed"], drawn["width"], drawn["height"], drawn["steps"], drawn["guidance"]),
                         (42, 64, 80, 2, 2.0))
        self.assertEqual(self.drawn(width=128, options={"width": 64})["width"], 128)
        self.assertEqual(self.drawn(seed=5, options={"seed": 6})["seed"], 6)
        self.assertEqual(self.drawn(seed=5, options={})["seed"], 5)
        self.assertEqual(self.generate(options={"seed": "x"}).status, 200)

    def test_step_cache(self):
        for members, cache in (({}, None), ({"step_cache": "off"}, None), ({"step_cache": ""}, None),
                               ({"step_cache": "teacache"}, ("teacache", 0.15)),
                               ({"options": {"step_cache": "teacache:0.3"}}, ("teacache", 0.3)),
                               ({"options": {"step_cache": "reference"}}, ("reference", 0.15)),
                               ({"step_cache": "reference:0", "options": {"step_cache": "teacache"}}, ("reference", 0)),
                               ({"model": "cached"}, ("teacache", 0.25)),
                               ({"model": "cached", "step_cache": "off"}, None),
                               ({"model": "cached", "step_cache": "reference:.5"}, ("reference", 0.5)),
                               ({"model": "odd"}, None)):
            answer = self.generate(steps=8, **members)
            drawn = asked(answer.json["image"])
            self.assertEqual((drawn.get("step_cache"), drawn.get("step_cache_threshold")), cache or (None, None), members)
            self.assertEqual(answer.json.get("steps_reused"), 4 if cache else None, members)
        for text in ("on", "teacache:", "teacache:x", "teacache:-1", "teacache:1e9", "teacache:nan", "off:1", "TeaCache",
                     "reference:0.1x", "teacache:."):
            for members in ({"step_cache": text}, {"options": {"step_cache": text}}):
                self.refused(self.generate(**members), 400, "step_cache must be off, teacache or reference, the latter "
                             f"two also with a threshold from 0 to 1000 as in teacache:0.2, not '{text}'")
        self.assertIn("step_cache", self.generate(options={"step_cache": 1}).error)
        last = self.generate(stream=True, steps=6, step_cache="teacache").lines[-1]
        self.assertEqual(last["steps_reused"], 3)

    def test_output_format(self):
        for name in ("jpeg", "webp"):
            drawn = asked(self.generate(output_format=name).json["image"])
            self.assertEqual((drawn["format"], drawn["quality"]), (name, 100))
        for name in ("png", "", None):
            self.assertNotIn("format", asked(self.generate(output_format=name).json["image"]))
        self.refused(self.generate(output_format="gif"), 400, "output_format must be png, jpeg or webp, not 'gif'")

    def test_seeds(self):
        for seed in (0, -1, None):
            answer = self.generate(seed=seed)
            self.assertTrue(1 <= answer.json["seed"] < 1 << 32)
            self.assertEqual(asked(answer.json["image"])["seed"], answer.json["seed"])
        self.assertEqual(self.drawn(seed=(1 << 63) - 1)["seed"], (1 << 63) - 1)

    def test_guidance_and_negative(self):
        for member in ("guidance", "guidance_scale", "cfg_scale"):
            drawn = self.drawn(negative="bad", **{member: 1.5})
            self.assertEqual((drawn["guidance"], drawn["negative"]), (1.5, "bad"))
        self.assertEqual(self.drawn(negative_prompt="bad", guidance=2)["negative"], "bad")
        self.assertNotIn("negative", self.drawn(negative="bad"))
        self.assertIn("no effect without guidance", self.gateway.log())

    def test_member_names_in_any_case(self):
        self.assertEqual(self.gateway.post("/api/generate", {
            "MODEL": "ok", "Prompt": "x", "STREAM": False, "Steps": 1}).status, 200)

    def test_lenient_input(self):
        for body in (b'{"model":"ok","prompt":"x","stream":false} junk',
                     b'{"model":"","name":"ok","prompt":"x","stream":false,"options":null,"images":[],"x":1}',
                     b'{"model":" ok ","prompt":"x","stream":false}',
                     b'{"model":"ok:local","prompt":"x","stream":false}'):
            answer = self.gateway.post("/api/generate", body, **{"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(answer.status, 200, answer.body)

    def test_invalid_utf8(self):
        answer = self.gateway.post("/api/generate", b'{"model":"ok","prompt":"a \xff tree","stream":false}')
        self.assertEqual(asked(answer.json["image"])["prompt"], "a \ufffd tree")

    def test_large_prompt(self):
        self.assertEqual(len(self.drawn(prompt="x" * (1 << 20))["prompt"]), 1 << 20)
        self.assertEqual(self.generate(prompt="x" * ((8 << 20) + 1)).status, 400)

    def test_models(self):
        self.refused(self.generate(model="nope"), 404, "model 'nope' not found")
        self.refused(self.generate(model=""), 404, "model '' not found")
        self.refused(self.generate(model="a b"), 400, "invalid model name")
        self.refused(self.generate(model="../../etc/passwd"), 400, "invalid model name")
        for name in ("ok:cloud", "ok:20b-cloud"):
            self.refused(self.generate(model=name), 403, "ollama cloud is disabled: remote model is unavailable")
        self.refused(self.generate(model="ok:cloud:local"), 400,
                     'use either :local or :cloud, not both: "ok:cloud:local"')
        self.refused(self.generate(model="text"), 400, '"text" does not support image generation')

    def test_bodies(self):
        for body, error in ((b"", "missing request body"), (b" ", "missing request body"),
                            (b'{"model":"ok"', "unexpected EOF"),
                            (b"[]", "json: cannot unmarshal array into Go value of type api.GenerateRequest"),
                            (b"7", "json: cannot unmarshal number into Go value of type api.GenerateRequest")):
            answer = self.gateway.post("/api/generate", body)
            self.refused(answer, 400, error)
            self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
        for body in (b"nonsense", b'"text"', b"{]", b"[" * 100000, b'{"a":' * 100000, b"\xff\xfe"):
            self.assertEqual(self.gateway.post("/api/generate", body).status, 400, body[:10])

    def test_types(self):
        for member, value in (("width", "64"), ("width", 1.5), ("width", 1e2), ("width", 1 << 40), ("prompt", 5),
                              ("stream", "yes"), ("model", []), ("steps", True), ("raw", 1), ("negative", {}),
                              ("guidance", "x"), ("guidance", -1), ("guidance", 101), ("images", "x")):
            answer = self.generate(**{member: value})
            self.assertEqual(answer.status, 400, (member, value))
            self.assertIn(member, answer.error)
        self.assertEqual(self.generate(options=[1]).status, 400)
        self.assertIn("width", self.generate(options={"width": "x"}).error)

    def test_other_members(self):
        self.refused(self.generate(steps=1001), 400, "steps must be <= 1000")
        self.refused(self.generate(top_logprobs=21), 400, "top_logprobs must be between 0 and 20")
        self.refused(self.generate(think="zz"), 400, 'invalid think value: "zz" (must be "high", "medium", "low", '
                     '"max", true, or false)')
        self.assertEqual(self.generate(think="high").status, 200)
        self.assertIn("illegal base64 data", self.generate(images=["*"]).error)

    def test_keep_alive_errors(self):
        for value, error in (("x", 'time: invalid duration "x"'), ("", 'time: invalid duration ""'),
                             ("10", 'time: missing unit in duration "10"'),
                             ("1d", 'time: unknown unit "d" in duration "1d"'), (True, "Unsupported type: 'bool'")):
            self.refused(self.generate(keep_alive=value), 400, error)
        for value in (1, 0.5, "5m", "1h30m", -1, "-1m", 1e300):
            self.assertEqual(self.generate(keep_alive=value).status, 200, value)

    def test_load_and_unload(self):
        for stream in (True, False):
            answer = self.gateway.post("/api/generate", {"model": "ok", "stream": stream})
            self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
            self.assertRegex(answer.body, rb'^\{"model":"ok",' + TIME +
                             rb',"response":"","done":true,"done_reason":"load"\}$')
        for value in (0, "0", "0s", 0.0):
            answer = self.gateway.post("/api/generate", {"model": "ok", "keep_alive": value})
            self.assertRegex(answer.body, rb'^\{"model":"ok",' + TIME +
                             rb',"response":"","done":true,"done_reason":"unload"\}$')
        self.refused(self.gateway.post("/api/generate", {"model": "nope", "keep_alive": 0}), 404,
                     "model 'nope' not found")
        self.assertEqual(self.gateway.post("/api/generate", {"model": "text", "keep_alive": 0}).status, 200)

    def test_failures(self):
        answer = self.generate(model="fail", stream=True)
        self.assertEqual(answer.status, 200)
        self.assertEqual([line.get("completed") for line in answer.lines[:-1]], [None, 1, 2])
        self.assertEqual(answer.body.split(b"\n")[-2], b'{"error":"the picture is not finite"}')
        self.refused(self.generate(model="fail"), 500, "the picture is not finite")
        self.refused(self.generate(model="fail-decode"), 500, "the picture is not finite")
        for stream in (True, False):
            self.refused(self.generate(model="fail-early", stream=stream), 400, "the picture is too large")
        (runner,) = [m for m in self.gateway.ps() if m["name"] == "fail:latest"]
        self.assertEqual(runner["state"], "idle")

    def test_loading_tells_the_prompt_that_waits(self):
        self.refused(self.generate(model="tells-prompt", prompt="a red door"), 500, "a red door")
        self.refused(self.generate(model="tells-prompt", prompt=""), 500, "nobody waits for a picture")

    def test_failing_loads(self):
        for stream in (True, False):
            self.refused(self.generate(model="bad-model", stream=stream), 500, "blob sha256:1234 is missing")
            answer = self.generate(model="crash-load", stream=stream)
            self.refused(answer, 500, "runner exited: exit status 3: no usable device")
        self.assertFalse([m for m in self.gateway.ps() if m["name"] in ("bad-model:latest", "crash-load:latest")
                          and m["state"] != "stopping"])


class StepCacheOfTheServer(unittest.TestCase):
    def drawn(self, value):
        gateway = Gateway(("ok",), {"OLLAMA_STEP_CACHE": value})
        try:
            gateway.store.model("cached", params={"step_cache": "reference:0.25"})
            drawn = []
            for members in ({"model": "ok"}, {"model": "ok", "step_cache": "off"}, {"model": "cached"}):
                answer = gateway.request("POST", "/api/generate", {"prompt": "x", "stream": False, **members})
                told = asked(answer.json["image"])
                drawn.append((told.get("step_cache"), told.get("step_cache_threshold")))
            return drawn, gateway.log()
        finally:
            gateway.close()

    def test_environment(self):
        drawn, _ = self.drawn("teacache:0.5")
        self.assertEqual(drawn, [("teacache", 0.5), (None, None), ("reference", 0.25)])
        drawn, log = self.drawn("often")
        self.assertEqual(drawn, [(None, None), (None, None), ("reference", 0.25)])
        self.assertIn("STEP_CACHE is not used: step_cache must be off, teacache or reference", log)


if __name__ == "__main__":
    unittest.main()
