"""Pictures as input through the real binaries: img2img and masks with the demo model over
JSON, and curl's own forms."""
import base64
import json
import os
import shutil
import subprocess
import unittest

from harness import PATIENCE, EaselTest, psnr, read_png, write_png

RED = write_png(96, 64)
RIGHT_HALF, NOTHING = write_png(96, 64, alpha=[255] * 48 + [0] * 48), write_png(96, 64, alpha=255)


def mean_change(png, first, behind):
    """Of the columns first to behind, against RED."""
    width, height, pixels = read_png(png)
    red = read_png(RED)[2]
    spots = [(row * width + column) * 3 + c for row in range(height) for column in range(first, behind) for c in range(3)]
    return sum(abs(pixels[i] - red[i]) for i in spots) / len(spots)


class Inputs(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()

    def draw(self, **members):
        answer = self.server.post("/api/generate", {
            "model": "demo", "prompt": "a white cat", "stream": False, "seed": 5, "steps": 4,
            **{k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in members.items()}})
        if answer.status != 200:
            self.fail_log(answer.body)
        return base64.b64decode(answer.json["image"])

    def test_sizes_follow_the_picture(self):
        for members, size in (({}, (96, 64)), ({"width": 64, "height": 128}, (64, 128)), ({"width": 192}, (192, 128))):
            self.assertEqual(read_png(self.draw(image=RED, **members))[:2], size)

    def test_strength(self):
        """The less is drawn anew, the nearer the result is to the picture; a seed repeats it."""
        distances = [psnr(self.draw(image=RED, strength=strength), RED) for strength in (0.25, 0.5, 1)]
        self.assertEqual(distances, sorted(distances, reverse=True))
        self.assertEqual(self.draw(image=RED), self.draw(image=RED, strength=0.6))

    def test_masks(self):
        """What is kept stays."""
        drawn = self.draw(image=RED, mask=RIGHT_HALF, strength=1)
        self.assertLess(3 * mean_change(drawn, 0, 40), mean_change(drawn, 56, 96))
        for mask, mode in ((NOTHING, "alpha"), (write_png(96, 64, (0, 0, 0)), "white")):
            answer = self.server.post("/api/generate", {
                "model": "demo", "prompt": "x", "image": base64.b64encode(RED).decode(), "mask_mode": mode,
                "mask": base64.b64encode(mask).decode()})
            self.assertEqual((answer.status, answer.error), (400, "the mask marks nothing to draw anew"))

    def test_progress_never_passes_its_total(self):
        answer = self.server.post("/api/generate", {
            "model": "demo", "prompt": "x", "steps": 8, "strength": 0.5, "image": base64.b64encode(RED).decode()})
        lines = answer.lines
        self.assertTrue(lines[-1]["done"], answer.body[-300:])
        for line in lines[:-1]:
            self.assertLessEqual(line.get("completed", 0), line["total"])
        self.assertEqual(lines[-2]["completed"], lines[-2]["total"])

    def test_files_that_are_none(self):
        for data in (RED[:-30], RED[:8], RED.replace(b"IDAT", b"IDAX"), b"\xff\xd8\xff\xd9"):
            answer = self.server.post("/api/generate", {
                "model": "demo", "prompt": "x", "image": base64.b64encode(data).decode()})
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn("invalid image 0: ", answer.error)
        answer = self.server.post("/api/generate", {
            "model": "demo", "prompt": "x", "image": base64.b64encode(RED).decode(),
            "mask": base64.b64encode(RED[:-30]).decode()})
        self.assertEqual(answer.status, 400, answer.body)
        self.assertIn("invalid mask: ", answer.error)
        self.assertEqual(len(self.server.runners()), 1)

    def curl(self, *args):
        for name, data in (("red.png", RED), ("mask.png", RIGHT_HALF)):
            with open(os.path.join(self.server.folder, name), "wb") as file:
                file.write(data)
        result = subprocess.run(
            ["curl", "-s", *args, f"http://127.0.0.1:{self.server.port}/v1/images/edits"], cwd=self.server.folder,
            capture_output=True, timeout=PATIENCE, check=True)
        return json.loads(result.stdout)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl(self):
        common = ("-F", "model=demo", "-F", "prompt=a white cat", "-F", "seed=5", "-F", "steps=4", "-F", "strength=0.5")
        whole = self.curl(*common, "-F", "image=@red.png")
        for args in (("-F", "image[]=@red.png;type=image/png"), ("-F", "image=<red.png"),
                     ("-H", "Transfer-Encoding: chunked", "-F", "image=@red.png;filename=a_b.png"),
                     ("-H", "Expect: 100-continue", "-F", "image=@red.png")):
            self.assertEqual(self.curl(*common, *args)["data"], whole["data"], args)
        self.assertEqual(base64.b64decode(whole["data"][0]["b64_json"]), self.draw(image=RED, strength=0.5))
        masked = self.curl(*common, "-F", "image=@red.png", "-F", "mask=@mask.png", "-F", "mask_mode=alpha", "-F", "n=2")
        self.assertEqual([picture["seed"] for picture in masked["data"]], [5, 6])
        self.assertEqual(self.curl(*common)["error"]["message"], "image is required")


if __name__ == "__main__":
    unittest.main()
