"""What comes out of the real binaries beside pixels: texts inside the files, other formats,
pictures that are not finished, tokens."""
import base64
import json
import os
import shutil
import tempfile
import unittest

from harness import DEMO, EaselTest, psnr, read_file, read_png, write_png


def events_of(answer):
    """(name, data) of each event."""
    parts = [part.split("\n", 1) for part in answer.body.decode().split("\n\n") if part.startswith("event: ")]
    return [(name[len("event: "):], json.loads(data[len("data: "):])) for name, data in parts]


class Outputs(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="easel-outputs-")
        self.addCleanup(shutil.rmtree, self.folder)

    def cli(self, *args, **options):
        result = self.server.cli(*args, cwd=self.folder, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def keep(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def shown(self, name):
        return json.loads(self.cli("show", name, "--json").stdout)

    def images(self, **members):
        answer = self.server.post("/v1/images/generations", {
            "model": "demo", "prompt": "a white cat", "size": "64x64", "steps": 4, "seed": 5, **members})
        if answer.status != 200:
            self.fail_log(answer.body)
        return answer

    def picture(self, **members):
        return base64.b64decode(self.images(**members).json["data"][0]["b64_json"])


class Texts(Outputs):
    def test_the_same_picture_again(self):
        """To the pixel, and without a warning that the model changed."""
        for flags in (["--seed", "7"], ["--steps", "4", "--guidance", "1.5", "--negative", "blur", "--width", "96"],
                      ["--steps", "6", "--step-cache", "teacache:0.3"]):
            self.cli("run", "demo", "a white cat", "-o", "first.png", *flags)
            again = self.cli("run", "--from", "first.png", "-o", "again.png")
            self.assertNotIn("Warning", again.stderr)
            first, second = (read_file(self.folder, name) for name in ("first.png", "again.png"))
            self.assertEqual(read_png(first), read_png(second), flags)
            self.assertEqual(self.shown("first.png"), self.shown("again.png"))

    def test_what_was_used(self):
        """Defaults of the model, and the seed that was chosen, are told."""
        self.cli("run", "demo", "a white cat", "-o", "a.png")
        meta = self.shown("a.png")
        (tag,) = [m for m in self.server.get("/api/tags").json["models"] if m["name"] == "demo:latest"]
        self.assertEqual({**meta, "seed": meta["seed"] > 0}, {
            "easel": meta["easel"], "model": "demo:latest", "digest": tag["digest"], "prompt": "a white cat", "seed": True,
            "steps": 9, "width": 128, "height": 128, "guidance": 0.0, "scheduler": "flow_match", "step_cache": "off"})
        self.keep("in.png", write_png(96, 64))
        self.cli("run", "demo", "a white cat", "-o", "b.png", "--image", "in.png", "--steps", "4")
        meta = self.shown("b.png")
        self.assertEqual([meta[name] for name in ("images", "strength", "width", "height")], [1, 0.6, 96, 64])

    def test_odd_prompts(self):
        long = "a \U0001f600 cat, " * 70000
        for name, prompt in (("a.png", "\x01\x02\x1b[2J\x7f\x80 \u00e9\n\ttab"), ("b.png", "\U0001f600 猫 <b>&amp;]]>\ufffe"),
                             ("c.png", long), ("d.png", "a\nSteps: 3, Seed: 9\nNegative prompt: x")):
            for output_format in ("png", "jpeg", "webp"):
                file = name.replace("png", output_format)
                self.keep(file, self.picture(prompt=prompt, negative_prompt=prompt[::-1], steps=1, output_format=output_format,
                                             guidance=1.5))
                meta = self.shown(file)
                self.assertTrue(prompt.startswith(meta["prompt"]))
                self.assertTrue(prompt[::-1].startswith(meta["negative_prompt"]))
                if prompt is not long:
                    self.assertEqual(meta["prompt"], prompt)
                self.assertGreater(len(meta["prompt"]), min(len(prompt) - 1, 3000))

    def test_marked_as_made_by_a_machine(self):
        mark = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        for output_format in ("png", "jpeg", "webp"):
            answer = self.images(stream=True, partial_images=1, output_format=output_format)
            for _, data in events_of(answer):
                self.assertEqual(base64.b64decode(data["b64_json"]).count(mark), 1)


class Formats(Outputs):
    def test_other_formats(self):
        """What they say is the same; the CLI draws the picture of a JPEG again."""
        png = self.picture()
        for output_format, begin in (("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")):
            fine = self.picture(output_format=output_format)
            coarse = self.picture(output_format=output_format, output_compression=10)
            self.assertTrue(fine.startswith(begin) and coarse.startswith(begin))
            self.assertLess(len(coarse), len(fine))
            self.keep("a." + output_format, fine)
            self.cli("run", "--from", "a." + output_format, "-o", "again.png")
            self.assertEqual(read_png(read_file(self.folder, "again.png")), read_png(png))
            # The name of the file says what it becomes.
            self.cli("run", "--from", "a." + output_format, "-o", "again." + output_format)
            self.assertEqual(self.shown("again." + output_format), self.shown("a." + output_format))
            self.assertTrue(read_file(self.folder, "again." + output_format).startswith(begin))
            # And it can be drawn from: decoders find what was written.
            answer = self.server.post("/v1/images/edits", {
                "model": "demo", "prompt": "x", "image": base64.b64encode(fine).decode(), "strength": 0, "steps": 1})
            self.assertEqual(answer.status, 200, answer.body)

    def test_several_of_one_prompt(self):
        """Seeds count on, and each picture is that of its own seed."""
        answer = self.images(n=3)
        self.assertEqual([entry["seed"] for entry in answer.json["data"]], [5, 6, 7])
        for entry in answer.json["data"]:
            self.assertEqual(entry["b64_json"], self.images(seed=entry["seed"]).json["data"][0]["b64_json"])


class Partial(Outputs):
    @classmethod
    def prepare(cls):
        """Beside the demo model one that brings no linear guess: its VAE shows what there is."""
        super().prepare()
        folder = tempfile.mkdtemp(prefix="easel-outputs-")
        cls.addClassCleanup(shutil.rmtree, folder)
        model = os.path.join(folder, "model")
        shutil.copytree(os.path.join(DEMO, "model"), model)
        os.remove(os.path.join(model, "vae", "latent_rgb.json"))
        cls.server.create("plain", model)

    def test_partial_images(self):
        for model in ("demo", "plain"):
            for size in ("128x128", "96x64"):
                events = events_of(self.images(model=model, stream=True, partial_images=3, steps=8, size=size))
                self.assertEqual([name.split(".")[1] for name, _ in events], ["partial_image"] * 3 + ["completed"])
                self.assertEqual([data.get("partial_image_index") for _, data in events], [0, 1, 2, None])
                pictures = [base64.b64decode(data["b64_json"]) for _, data in events]
                likeness = [psnr(picture, pictures[-1]) for picture in pictures[:-1]]
                # Each is nearer to the end than the one before, the last one a fair guess.
                self.assertEqual(likeness, sorted(likeness), (model, size))
                self.assertGreater(likeness[-1], 15, (model, size))
                self.assertEqual(pictures[-1], self.picture(model=model, steps=8, size=size))

    def test_few_steps(self):
        for steps, wanted, sent in ((1, 3, 0), (2, 3, 1), (3, 3, 2), (4, 1, 1)):
            events = events_of(self.images(stream=True, partial_images=wanted, steps=steps))
            self.assertEqual(len(events) - 1, sent, (steps, wanted))

    def test_edits(self):
        body = {"model": "demo", "prompt": "a white cat", "stream": True, "partial_images": 2, "steps": 8, "seed": 1,
                "image": base64.b64encode(write_png(96, 64)).decode(), "mask_mode": "white",
                "mask": base64.b64encode(write_png(96, 64, (255, 255, 255))).decode()}
        events = events_of(self.server.post("/v1/images/edits", body))
        self.assertEqual([name for name, _ in events], ["image_edit.partial_image"] * 2 + ["image_edit.completed"])
        self.assertEqual({data["size"] for _, data in events}, {"96x64"})

    def test_tokens(self):
        """As the template makes them, the same when the caption was kept."""
        counts = [events_of(self.images(prompt=prompt, stream=True, partial_images=0))[-1][1]["usage"]["input_tokens"]
                  for prompt in ("a white cat", "a white cat", "a white cat " * 3, "a white cat " * 3000)]
        self.assertEqual(counts[0], counts[1])
        self.assertLess(counts[1], counts[2])
        self.assertEqual(counts[3], 512)


if __name__ == "__main__":
    unittest.main()
