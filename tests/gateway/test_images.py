"""POST /v1/images/generations: one object, server-sent events, OpenAI's errors."""
import base64
import json
import re

from gateway_test import GatewayTest, read_all, split_chunks, unittest
from picture_files import png


class Images(GatewayTest):
    models = ("ok", "fail", "bad-model", "big", "bad-partial")

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

    PARTIAL = (rb'event: (image_\w+)\.partial_image\ndata: \{"type":"\1\.partial_image","b64_json":"([A-Za-z0-9+/]+=*)",'
               rb'"partial_image_index":(\d),"created_at":\d{10},"size":"(\d+x\d+)","quality":"auto","background":"opaque",'
               rb'"output_format":"(\w+)"\}')

    def partials(self, events, prefix=b"image_generation", size=b"128x96", format=b"png"):
        """Index and what the fake runner drew of each partial picture among the events."""
        found = [re.fullmatch(self.PARTIAL, event) for event in events]
        for match in filter(None, found):
            self.assertEqual((match[1], match[4], match[5]), (prefix, size, format))
        return [(int(match[3]), json.loads(base64.b64decode(match[2]))) for match in found if match]

    def test_partial_images(self):
        ask = {"stream": True, "seed": 3, "steps": 4, "size": "128x96"}
        for wanted in (0, 1, 3):
            events = self.ask(partial_images=wanted, n=2, **ask).body.split(b"\n\n")
            self.assertEqual(self.partials(events), [(i, {"partial": i, "seed": seed}) for seed in (3, 4) for i in range(wanted)])
            self.assertEqual([bool(re.match(rb"event: image_generation\.completed", event)) for event in events].count(True), 2)
        for members in ({"stream": False}, {}):
            self.assertNotIn(b"partial", self.ask(**{**ask, "partial_images": None, **members}).body)
        self.assertEqual(self.ask(partial_images=3, steps=4).headers["Content-Type"], "application/json")
        events = self.ask({"X-Stainless-Lang": "js"}, output_format="webp", partial_images=2, **ask).body.split(b"\n\n")
        self.assertEqual(len(self.partials(events, format=b"webp")), 2)
        body = self.gateway.post("/v1/images/edits", {
            "model": "ok", "prompt": "a tree", "stream": True, "partial_images": 2, "steps": 4,
            "image": base64.b64encode(png()).decode()}).body
        self.assertEqual(len(self.partials(body.split(b"\n\n"), b"image_edit", b"640x480")), 2)

    def test_partial_images_that_differ_from_their_announcement(self):
        events = self.ask(model="bad-partial", stream=True, partial_images=1).body.split(b"\n\n")
        self.assertIn(b"a picture differs from its announcement", events[-2])

    def test_output_formats(self):
        png_picture = {"prompt": "a tree", "width": 1024, "height": 1024, "steps": 4, "seed": 3, "guidance": 0.0}
        for members, drawn in (({"output_format": "jpeg"}, {"format": "jpeg", "quality": 100}),
                               ({"output_format": "webp", "output_compression": 40}, {"format": "webp", "quality": 40}),
                               ({"output_format": "jpeg", "output_compression": 0}, {"format": "jpeg", "quality": 0}),
                               ({"output_format": "png", "output_compression": 40}, {}), ({"output_format": ""}, {}),
                               ({"output_format": None, "output_compression": None}, {})):
            self.assertEqual(self.drawn(seed=3, **members), [{**png_picture, **drawn}], members)
        for name in ("jpeg", "webp"):
            answer = self.ask(output_format=name, output_compression=70, response_format="url")
            self.assertNotIn("X-Easel-Ignored", answer.headers)
            (entry,) = answer.json["data"]
            self.assertTrue(entry["url"].endswith("." + name))
            file = self.gateway.get(entry["url"][entry["url"].index("/v1"):])
            self.assertEqual((file.headers["Content-Type"], file.body), ("image/" + name, base64.b64decode(entry["b64_json"])))
            event = self.ask(output_format=name, stream=True, partial_images=0).body.split(b"\n\n")[-2]
            self.assertIn(b'"output_format":"' + name.encode() + b'"', event)

    OPENAI_EVENT = (rb'event: (image_\w+)\.completed\ndata: \{"type":"\1\.completed","b64_json":"([A-Za-z0-9+/]+=*)",'
                    rb'"created_at":\d{10},"size":"128x96","quality":"(\w+)","background":"opaque",'
                    rb'"output_format":"png","usage":\{"input_tokens":6,"output_tokens":0,"total_tokens":6,'
                    rb'"input_tokens_details":\{"image_tokens":0,"text_tokens":6\}\},"seed":(\d+)\}')

    def test_openai_events(self):
        for headers, members, quality in (({}, {"partial_images": 0}, b"auto"), ({"X-Stainless-Lang": "js"}, {}, b"auto"),
                                          ({}, {"partial_images": 0, "quality": "high"}, b"high")):
            answer = self.ask(headers, stream=True, seed=3, steps=2, n=2, size="128x96", **members)
            self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
            events = answer.body.split(b"\n\n")
            self.assertEqual(events[:2] + events[3:5] + events[6:],
                             [b": step 1/4", b": step 2/4", b": step 3/4", b": step 4/4", b""])
            for event, seed in ((events[2], b"3"), (events[5], b"4")):
                match = re.fullmatch(self.OPENAI_EVENT, event)
                self.assertTrue(match, event)
                self.assertEqual((match[1], match[3], match[4]), (b"image_generation", quality, seed))
                self.assertEqual(json.loads(base64.b64decode(match[2]))["seed"], int(seed))
        self.assertEqual(self.ask(partial_images=2).headers["Content-Type"], "application/json")
        self.assertIn(b"event: progress", self.ask(stream=True, partial_images=None).body)
        answer = self.gateway.post("/v1/images/edits", {
            "model": "ok", "prompt": "a tree", "stream": True, "partial_images": 1, "size": "128x96",
            "image": base64.b64encode(png()).decode()})
        self.assertRegex(answer.body.split(b"\n\n")[-2], self.OPENAI_EVENT)
        self.assertIn(b"event: image_edit.completed", answer.body)

    def test_openai_events_that_fail(self):
        events = self.ask(model="fail", stream=True, partial_images=0).body.split(b"\n\n")
        self.assertEqual(events[-2], b'event: error\ndata: {"error":{"message":"the picture is not finite",'
                         b'"type":"api_error","param":null,"code":null}}')

    def test_chunks(self):
        """One chunk an event, whole, as it is flushed."""
        sock = self.gateway.send("POST", "/v1/images/generations", {
            "model": "ok", "prompt": "a tree", "stream": True, "seed": 1, "steps": 1, "size": "64x64"}, "Connection: close")
        head, body = read_all(sock).split(b"\r\n\r\n", 1)
        self.assertRegex(head, rb"^HTTP/1\.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                         rb"X-Request-Id: [0-9a-f]{16}\r\nDate: [^\r]+ GMT\r\nConnection: close\r\n"
                         rb"Transfer-Encoding: chunked$")
        chunks = split_chunks(body)
        self.assertEqual(chunks[0], b'event: progress\ndata: {"step":1,"total":1}\n\n')
        self.assertRegex(chunks[1], rb'^event: done\ndata: \{"created":\d{10},"data":\[\{"seed":1,"b64_json":"[^"]+"\}\]\}\n\n$')
        self.assertEqual(len(chunks), 2)

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
        for member, value, error in (
                ("response_format", "x", "response_format must be b64_json or url, not 'x'"),
                ("output_format", "tiff", "output_format must be png, jpeg or webp, not 'tiff'"),
                ("output_format", "PNG", "output_format must be png, jpeg or webp, not 'PNG'"),
                ("output_compression", 101, "member 'output_compression' is 101, must be 0 to 100"),
                ("output_compression", "9", "cannot read string as member 'output_compression' of type integer"),
                ("partial_images", 4, "member 'partial_images' is 4, must be 0 to 3"),
                ("partial_images", -1, "member 'partial_images' is -1, must be 0 to 3")):
            self.refused(self.ask(**{member: value}), 400, error)

    def test_quality_and_ignored_members(self):
        for quality, steps in (("low", 2), ("medium", 4), ("high", 8), ("hd", 4)):
            self.assertEqual(self.drawn(quality=quality)[0]["steps"], steps)
        self.assertEqual(self.drawn(quality="high", steps=3)[0]["steps"], 3)
        answer = self.ask(style="vivid", user="u", quality="hd", output_compression=50)
        self.assertEqual(answer.headers["X-Easel-Ignored"], "quality, output_compression, style, user")
        self.assertNotIn("X-Easel-Ignored", self.ask(quality=None, style=None, sampler=None).headers)
        answer = self.ask(sampler="euler", **{"a b\r\nX-Evil: 1": 1, "N": 1})
        self.assertEqual(answer.headers["X-Easel-Ignored"], "sampler, a b??X-Evil? 1")
        self.assertNotIn("X-Evil", answer.headers)
        answer = self.ask(**{"member%03d" % i: i for i in range(100)})
        self.assertRegex(answer.headers["X-Easel-Ignored"], r"^member000, (member\d{3}, )*member\d{3}$")

    def test_aliases(self):
        for members, wanted in (({"num_inference_steps": 3}, {"steps": 3}), ({"steps": 2, "num_inference_steps": 3}, {"steps": 2}),
                                ({"guidance_scale": 2.5}, {"guidance": 2.5}), ({"cfg_scale": 3}, {"guidance": 3.0}),
                                ({"guidance": 1.5, "cfg_scale": 3, "guidance_scale": 4}, {"guidance": 1.5}),
                                ({"negative_prompt": "dull", "guidance": 2}, {"negative": "dull"}),
                                ({"negative": "dull", "cfg_scale": 2}, {"negative": "dull"})):
            picture = self.drawn(**members)[0]
            self.assertEqual({k: picture.get(k) for k in wanted}, wanted, members)

    def test_urls(self):
        answer = self.ask(response_format="url", n=2, seed=4)
        for seed, entry in enumerate(answer.json["data"], 4):
            self.assertEqual(list(entry), ["seed", "url", "b64_json"])
            self.assertEqual(entry["seed"], seed)
            path = re.fullmatch(rf"http://127\.0\.0\.1:{self.gateway.port}(/v1/images/files/[0-9a-f]{{32}}\.png)",
                                entry["url"]).group(1)
            file = self.gateway.get(path)
            self.assertEqual((file.status, file.headers["Content-Type"]), (200, "image/png"))
            self.assertEqual(file.body, base64.b64decode(entry["b64_json"]))
            head = self.gateway.request("HEAD", path)
            self.assertEqual((head.status, head.headers["Content-Length"], head.body),
                             (200, str(len(file.body)), b""))
            self.assertEqual(self.gateway.post(path, {}).status, 405)
        answer = self.gateway.get("/v1/images/files/" + "0" * 32 + ".png")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (404, "not_found_error"))
        answer = self.ask({"Host": "localhost:1"}, response_format="url", stream=True)
        self.assertIn(b'"url":"http://localhost:1/v1/images/files/', answer.body)

    def test_kept_files_are_bounded(self):
        """The oldest goes first: 13 of 20 MB are more than are kept."""
        urls = [self.ask(model="big", response_format="url").json["data"][0]["url"] for _ in range(14)]
        found = [self.gateway.get(url[url.index("/v1"):]).status for url in urls]
        self.assertEqual(found, [404] * 2 + [200] * 12)


if __name__ == "__main__":
    unittest.main()
