"""Pictures as input, in JSON: /api/generate, /v1/images/generations and /v1/images/edits;
what of them reaches the runner, the rules, and every error."""
from gateway_test import GatewayTest, unittest
from picture_files import JPEG, WEBP, asked, b64, png, told, uri

A, B, MASK = png(1), png(2), png(3)


class Pictures(GatewayTest):
    models = ("ok", "unreadable", "late-reader", "fail")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.store.model("ok", "sees", capabilities=("image", "vision"))
        cls.gateway.store.model("ok", "tuned", params={"width": 128, "height": 96, "strength": 0.25})
        cls.gateway.store.model("text", capabilities=("completion",))

    def drawn(self, **members):
        """The request that reached the runner, by /api/generate."""
        answer = self.generate(**members)
        self.assertEqual(answer.status, 200, answer.body)
        return asked(answer.json["image"])

    def v1(self, route, headers=None, **members):
        return self.gateway.request("POST", "/v1/images/" + route,
                                    {"model": "ok", "prompt": "a hat", **members}, headers or {})

    def edit(self, **members):
        return self.v1("edits", **members)

    def edited(self, route="edits", **members):
        answer = self.v1(route, **members)
        self.assertEqual(answer.status, 200, answer.body)
        return [asked(entry["b64_json"]) for entry in answer.json["data"]]

    def invalid(self, answer, message):
        """A 400 in OpenAI's shape, as the check of a request words it."""
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (400, "application/json; charset=utf-8"))
        self.assertEqual(answer.json, {"error": {"message": message, "type": "invalid_request_error", "param": None,
                                                 "code": None}})


class Generate(Pictures):
    def test_images(self):
        for members in ({"images": [b64(A)]}, {"images": [uri(A)]}, {"image": b64(A)}, {"image": [b64(A)]},
                        {"IMAGES": [b64(A)]}, {"image": uri(A, ""), "images": []}, {"images": [{"image_url": uri(A)}]},
                        {"images": ["", b64(A), ""]}):
            drawn = self.drawn(seed=1, **members)
            self.assertEqual(drawn, {"prompt": "a tree", "width": 0, "height": 0, "steps": 4, "seed": 1, "guidance": 0.0,
                                     "images": 1, "files": told(A), "strength": -1.0, "mask": None}, members)
        for file in (JPEG, WEBP):
            self.assertEqual(self.drawn(images=[b64(file)])["files"], told(file))

    def test_order(self):
        self.assertEqual(self.drawn(model="ok:sees", images=[b64(B), b64(JPEG)], image=b64(A), mask=b64(MASK))["files"],
                         told(A, B, JPEG, MASK))
        files = [png(i) for i in range(16)]
        self.assertEqual(self.drawn(model="ok:sees", images=[b64(f) for f in files])["files"], told(*files))

    def test_without_pictures_nothing_changes(self):
        for members in ({}, {"images": []}, {"images": None, "image": "", "mask": ""}, {"strength": 0.5},
                        {"images": [""]}, {"image": ["", ""], "images": [{"image_url": ""}] * 17}):
            drawn = self.drawn(seed=1, **members)
            self.assertEqual(drawn, {"prompt": "a tree", "width": 1024, "height": 1024, "steps": 4, "seed": 1,
                                     "guidance": 0.0}, members)
        self.assertIn("strength has no effect without an input image", self.gateway.log())

    def test_mask(self):
        for members, mode in (({}, "alpha"), ({"mask_mode": "alpha"}, "alpha"), ({"mask_mode": "white"}, "white"),
                              ({"mask_mode": ""}, "alpha")):
            drawn = self.drawn(image=b64(A), mask=uri(MASK), **members)
            self.assertEqual((drawn["mask"], drawn["images"], drawn["files"]), (mode, 1, told(A, MASK)))
        self.refused(self.generate(image=b64(A), mask_mode="black"), 400,
                     "mask_mode must be alpha or white, not 'black'")
        self.refused(self.generate(mask=b64(MASK)), 400, "mask needs an input image")

    def test_strength(self):
        for members, strength in (({"strength": 0.5}, 0.5), ({"options": {"strength": 0.5}}, 0.5),
                                  ({"strength": 1, "options": {"strength": 0.5}}, 1.0), ({"strength": 0}, 0.0),
                                  ({}, -1.0)):
            self.assertEqual(self.drawn(image=b64(A), **members)["strength"], strength)
        self.assertEqual(self.drawn(model="ok:tuned", image=b64(A))["strength"], 0.25)
        self.assertEqual(self.drawn(model="ok:tuned", image=b64(A), strength=0.75)["strength"], 0.75)
        for value in (1.01, -0.5, -1, 2, 1e300):
            for members in ({"image": b64(A)}, {}):
                self.refused(self.generate(strength=value, **members), 400, "strength must be between 0 and 1")
        self.refused(self.generate(options={"strength": 2}), 400, "strength must be between 0 and 1")
        self.assertIn("strength", self.generate(strength="x").error)

    def test_sizes(self):
        for members, size in (({}, (0, 0)), ({"width": 100}, (96, 0)), ({"height": 1}, (0, 64)),
                              ({"width": 512, "height": 256}, (512, 256)), ({"width": -1, "height": 0}, (0, 0)),
                              ({"options": {"width": 512}}, (512, 0))):
            for model in ("ok", "ok:tuned"):
                drawn = self.drawn(model=model, image=b64(A), **members)
                self.assertEqual((drawn["width"], drawn["height"]), size, members)
        self.refused(self.generate(image=b64(A), width=4097), 400, "width and height must be <= 4096")

    def test_which_model_takes_what(self):
        self.refused(self.generate(images=[b64(A), b64(B)]), 400,
                     "model does not support image editing with more than one image")
        self.refused(self.generate(model="text", images=[b64(A)]), 400, '"text" does not support image generation')
        self.refused(self.generate(model="nope", images=[b64(A)]), 404, "model 'nope' not found")
        self.assertEqual(self.drawn(images=[b64(A)], mask=b64(MASK))["images"], 1)

    def test_bad_pictures(self):
        for members, error in (
                ({"images": [b64(A)] * 17}, "too many input images, maximum is 16"),
                ({"images": [b64(A)] * 16, "image": b64(A)}, "too many input images, maximum is 16"),
                ({"images": [""] * 1000}, "too many input images, maximum is 16"),
                ({"images": ["*"]}, "illegal base64 data at input byte 0"),
                ({"images": ["http://example.com/a.png"]}, "illegal base64 data at input byte 4"),
                ({"images": ["data:image/gif;base64,AAAA"]}, "illegal base64 data at input byte 4"),
                ({"images": [uri(A) + "!"]}, f"illegal base64 data at input byte {len(b64(A))}"),
                ({"images": ["\u00e9"]}, "illegal base64 data at input byte 0"),
                ({"images": [b64(A)[:-1]]}, None),
                ({"images": [b64(A), "AAAA"]}, "invalid image 1: not a PNG, JPEG or WebP file"),
                ({"images": [b64(b"GIF89a")]}, "invalid image 0: not a PNG, JPEG or WebP file"),
                ({"image": b64(A), "mask": "AAAA"}, "invalid mask: not a PNG, JPEG or WebP file"),
                ({"image": b64(A), "mask": "*"}, "invalid mask: illegal base64 data at input byte 0"),
                ({"images": b64(A)}, "member 'images' must be an array of base64 strings"),
                ({"images": [1]}, "member 'images' must be an array of base64 strings"),
                ({"images": [[b64(A)]]}, "member 'images' must be an array of base64 strings"),
                ({"images": [{"url": b64(A)}]}, "member 'images' must be an array of base64 strings"),
                ({"image": 1}, "member 'image' must be a base64 string or an array of them"),
                ({"image": {}}, "member 'image' must be a base64 string or an array of them"),
                ({"image": b64(A), "mask": [b64(MASK)]}, "member 'mask' must be a base64 string")):
            answer = self.generate(**members)
            self.assertEqual(answer.status, 400, members)
            self.assertEqual(answer.error, error or answer.error)
        self.refused(self.generate(model="unreadable", image=b64(A)), 400, "invalid image 0: the file is cut off")

    def test_spellings_of_base64(self):
        text = b64(png(7, 3000))
        for spelled in (text.replace("/", "\\/"), text.replace("+", "\\u002B").replace("=", "\\u003d"),
                        "".join(f"{text[i:i + 76]}\\r\\n" for i in range(0, len(text), 76)),
                        "".join(f"\\u{ord(c):04x}" for c in text)):
            answer = self.gateway.post("/api/generate", '{"model":"ok","prompt":"x","stream":false,"images":["%s"]}' % spelled)
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(asked(answer.json["image"])["files"], told(png(7, 3000)))
        key = '{"model":"ok","prompt":"x","stream":false,"\\u0069mage" \t: "%s"} junk' % text
        self.assertEqual(self.gateway.post("/api/generate", key).status, 200)

    def test_bodies_that_are_no_json(self):
        for body, error in (('{"model":"ok","images":["%s' % b64(A), "unexpected EOF"),
                            ('{"model":"ok","images":["%s"]' % b64(A), "unexpected EOF"),
                            ('{"model":"ok","images":["%s"' % b64(A)[:-1] + ',"a\\q"]}', None),
                            ('{"model":"ok","images":["%s"}' % b64(A), None),
                            ('{"model":"ok","images":["AA\nAA"]}', None), ('["image":"AAAA"]', None)):
            answer = self.gateway.post("/api/generate", body)
            self.assertEqual(answer.status, 400, body)
            self.assertEqual(answer.error, error or answer.error)

    def test_progress_is_the_runners(self):
        lines = self.generate(stream=True, steps=8, strength=0.5, image=b64(A)).lines
        self.assertEqual([(l.get("completed"), l["total"]) for l in lines[:-1]],
                         [(None, 4), (1, 4), (2, 4), (3, 4), (4, 4)])
        self.assertEqual(self.generate(stream=True, strength=0, image=b64(A)).lines[-1]["done_reason"], "stop")

    def test_load_and_unload(self):
        self.assertEqual(self.generate(prompt="", images=[b64(A)]).json["done_reason"], "load")
        self.assertEqual(self.generate(prompt="", images=[b64(A)], keep_alive=0).json["done_reason"], "unload")


class Images(Pictures):
    def test_edits(self):
        answer = self.edit(image=uri(A), seed=3, steps=2)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        self.assertRegex(answer.body, rb'^\{"created":\d{10},"data":\[\{"seed":3,"b64_json":"[A-Za-z0-9+/]+=*"\}\]\}\n$')
        self.assertEqual(self.edited(image=uri(A), seed=3, steps=2), [
            {"prompt": "a hat", "width": 0, "height": 0, "steps": 2, "seed": 3, "guidance": 0.0, "images": 1,
             "files": told(A), "strength": -1.0, "mask": None}])

    def test_forms_of_image(self):
        for value in (uri(A), uri(A, "image/jpeg"), uri(A, "image/jpg"), uri(A, "image/webp"), uri(A, ""), b64(A),
                      [uri(A)], [{"image_url": uri(A)}], {"image_url": b64(A)}):
            self.assertEqual(self.edited(image=value)[0]["files"], told(A), value)
        self.assertEqual(self.edited(images=[{"image_url": uri(A)}], mask={"image_url": uri(MASK)})[0]["files"],
                         told(A, MASK))
        self.assertEqual(self.edited(model="ok:sees", image=[uri(A), b64(B)], images=[uri(JPEG, "image/jpeg")],
                                     mask=b64(MASK), mask_mode="white", strength=0.5)[0]["files"],
                         told(A, B, JPEG, MASK))
        for file in (JPEG, WEBP):
            self.assertEqual(self.edited(image=b64(file))[0]["files"], told(file))

    def test_generations_take_pictures(self):
        drawn = self.edited("generations", image=uri(A), strength=0.5, size="512x256")[0]
        self.assertEqual((drawn["files"], drawn["strength"], drawn["width"], drawn["height"]), (told(A), 0.5, 512, 256))
        self.assertEqual(self.edited("generations", images=[b64(A)], size="auto")[0]["width"], 0)
        self.assertEqual(self.edited("generations")[0]["width"], 1024)
        self.invalid(self.v1("generations", mask=uri(MASK)), "mask needs an input image")

    def test_what_is_required(self):
        answer = self.gateway.post("/v1/images/edits", {})
        self.invalid(answer, "prompt is required")
        self.invalid(self.gateway.post("/v1/images/edits", {"prompt": "x", "image": "*"}), "model is required")
        for members in ({}, {"image": ""}, {"image": []}, {"images": []}, {"image": None}, {"mask": uri(MASK)},
                        {"image": [""]}, {"images": [{"image_url": ""}]}):
            self.invalid(self.edit(**members), "image is required")
        self.invalid(self.gateway.post("/v1/images/edits", b""), "EOF")
        self.invalid(self.gateway.post("/v1/images/edits", b"[1]"),
                     "json: cannot unmarshal array into Go value of type openai.ImageEditRequest")

    def test_bad_pictures(self):
        urls = "image URLs are not currently supported, please use base64 encoded data instead"
        for members, error in (
                ({"image": "http://example.com/a.png"}, "invalid image: " + urls),
                ({"image": "https://example.com/a.png"}, "invalid image: " + urls),
                ({"image": [uri(A), {"image_url": "https://example.com/a.png"}]}, "invalid image: " + urls),
                ({"image": uri(A), "mask": "https://example.com/a.png"}, "invalid mask: " + urls),
                ({"image": "data:image/gif;base64," + b64(A)}, "invalid image: invalid image input"),
                ({"image": "data:image/png," + b64(A)}, "invalid image: invalid image input"),
                ({"image": "ftp://x"}, "invalid image: invalid image input"),
                ({"image": uri(A)[:-3]}, "invalid image: invalid image input"),
                ({"image": "data:;base64,*"}, "invalid image: invalid image input"),
                ({"image": "AAAA"}, "invalid image: invalid image input"),
                ({"image": "\U0001f3a9"}, "invalid image: invalid image input"),
                ({"image": uri(A), "mask": "AAAA"}, "invalid mask: invalid image input"),
                ({"image": uri(b"GIF89a")}, "invalid image 0: not a PNG, JPEG or WebP file"),
                ({"image": [uri(A), uri(b"")]}, "invalid image 1: not a PNG, JPEG or WebP file"),
                ({"image": uri(A), "mask": uri(b"RIFF....WAVE")}, "invalid mask: not a PNG, JPEG or WebP file"),
                ({"image": [uri(A)] * 17}, "too many input images, maximum is 16"),
                ({"image": [{"file_id": "x"}]}, "member 'image' must be an array of base64 strings"),
                ({"image": uri(A), "strength": 1.5}, "strength must be between 0 and 1"),
                ({"image": uri(A), "mask_mode": "red"}, "mask_mode must be alpha or white, not 'red'"),
                ({"image": uri(A), "n": 11}, "n must be between 1 and 10")):
            self.invalid(self.edit(**members), error)
        answer = self.edit(image=[uri(A), uri(B)])
        self.refused(answer, 400, "model does not support image editing with more than one image")
        self.assertEqual(answer.json["error"]["type"], "invalid_request_error")
        self.refused(self.edit(model="unreadable", image=uri(A)), 400, "invalid image 0: the file is cut off")
        self.refused(self.edit(model="nope", image=uri(A)), 404, "model 'nope' not found")

    def test_several_pictures_from_one(self):
        drawn = self.edited(image=uri(A), mask=uri(MASK), n=3, seed=9)
        self.assertEqual([(d["seed"], d["files"]) for d in drawn], [(s, told(A, MASK)) for s in (9, 10, 11)])

    def test_events(self):
        answer = self.edit(image=uri(A), stream=True, n=2, steps=4, strength=0.5, seed=3)
        self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
        events = answer.body.split(b"\n\n")
        self.assertEqual(events[:4], [b'event: progress\ndata: {"step":%d,"total":4}' % step for step in range(1, 5)])
        self.assertRegex(events[4], rb'^event: done\ndata: \{"created":\d{10},"data":\[\{"seed":3,"b64_json":"[^"]+"\},'
                         rb'\{"seed":4,"b64_json":"[^"]+"\}\]\}$')
        self.assertEqual(self.v1("edits", {"Accept": "text/event-stream"}, image=uri(A)).headers["Content-Type"],
                         "text/event-stream")
        events = self.edit(model="fail", image=uri(A), stream=True).body.split(b"\n\n")
        self.assertIn(b"event: error\n", events[-2])

    def test_ignored_members(self):
        answer = self.edit(image=uri(A), input_fidelity="high", background="auto", partial_images=1)
        self.assertEqual(answer.headers["X-Easel-Ignored"], "background, input_fidelity")

    def test_a_runner_that_reads_late_gets_all(self):
        """More than a socket holds, twice, while another request waits."""
        big = png(5, 8 << 20)
        for route in ("edits", "generations"):
            drawn = self.edited(route, model="late-reader", image=b64(big), mask=uri(MASK), n=2)
            self.assertEqual([d["files"] for d in drawn], [told(big, MASK)] * 2)


if __name__ == "__main__":
    unittest.main()
