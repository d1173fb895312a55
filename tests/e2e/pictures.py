"""The way of a picture through the real binaries: create, list, show, run, HTTP, SSE,
ps, stop, cp, rm; the demo model's golden pictures; the reference's store in place."""
import base64
import json
import os
import tarfile
import tempfile
import unittest

from harness import DATA, EaselTest, DEMO, alive, psnr, read_file, read_png, wait_for

GOLDENS = os.path.join(DATA, "goldens")
DEMO_GOLDENS = os.path.join(GOLDENS, "demo")


def demo_requests():
    with open(os.path.join(DEMO_GOLDENS, "index.json"), encoding="utf-8") as file:
        return json.load(file)


class DemoModel(EaselTest):
    @classmethod
    def prepare(cls):
        result = cls.server.cli("create", "demo", "-f", os.path.join(DEMO, "Modelfile"))
        if result.returncode:
            raise AssertionError(result.stderr + cls.server.log())
        cls.created = result

    def test_create_says_what_it_made(self):
        self.assertEqual(self.created.stdout, "Created image generation model 'demo'\n")

    def test_golden_pictures(self):
        for golden in demo_requests():
            request = golden["request"]
            with self.subTest(golden["name"]):
                answer = self.server.post("/api/generate", {
                    "model": "demo", "prompt": request["prompt"], "stream": False,
                    "width": request["width"], "height": request["height"], "steps": request["steps"],
                    "guidance": request["guidance"], "negative": request.get("negative") or "",
                    "options": {"seed": request["seed"]}})
                if answer.status != 200:
                    self.fail_log(answer.body)
                png = base64.b64decode(answer.json["image"])
                self.assertGreaterEqual(psnr(png, read_file(DEMO_GOLDENS, golden["png"])), 40)
                self.assertEqual(answer.json["seed"], request["seed"])

    def test_same_seed_same_pixels(self):
        body = {"model": "demo", "prompt": "a white cat", "steps": 2, "stream": False, "seed": 5}
        first, second = (self.server.post("/api/generate", body).json["image"] for _ in range(2))
        other = self.server.post("/api/generate", {**body, "seed": 6}).json["image"]
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)

    def test_model_defaults_and_rounding(self):
        answer = self.server.post("/api/generate", {"model": "demo", "prompt": "a tree", "steps": 1})
        lines = answer.lines
        self.assertEqual([line.get("completed") for line in lines], [None, 1, None])
        self.assertEqual(read_png(base64.b64decode(lines[-1]["image"]))[:2], (128, 128))
        answer = self.server.post("/api/generate", {
            "model": "demo", "prompt": "a tree", "steps": 1, "width": 100, "height": 1, "stream": False})
        self.assertEqual(read_png(base64.b64decode(answer.json["image"]))[:2], (96, 64))

    def test_openai_json_and_sse(self):
        body = {"model": "demo", "prompt": "a purple flower", "size": "64x64", "seed": 3, "steps": 2}
        answer = self.server.post("/v1/images/generations", body)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        png = base64.b64decode(answer.json["data"][0]["b64_json"])
        self.assertEqual(read_png(png)[:2], (64, 64))
        self.assertEqual(answer.json["data"][0]["seed"], 3)

        stream = self.server.post("/v1/images/generations", {**body, "stream": True})
        self.assertEqual(stream.headers["Content-Type"], "text/event-stream")
        events = stream.body.decode().strip("\n").split("\n\n")
        self.assertEqual(events[0], 'event: progress\ndata: {"step":1,"total":2}')
        self.assertEqual(events[1], 'event: progress\ndata: {"step":2,"total":2}')
        name, data = events[2].split("\n")
        self.assertEqual(name, "event: done")
        self.assertEqual(json.loads(data[len("data: "):])["data"][0]["b64_json"],
                         answer.json["data"][0]["b64_json"])

    def test_run_saves_the_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            result = self.server.cli("run", "demo", "A red circle!", "--seed", "1", "--steps", "2", cwd=folder)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("Generating: step 2/2", result.stderr)
            self.assertRegex(result.stdout, r"\AImage saved to: .*a-red-circle-\d{8}-\d{6}\.png\n\Z")
            (name,) = os.listdir(folder)
            self.assertEqual(read_png(read_file(folder, name))[:2], (128, 128))

    def test_list_show_ps_stop(self):
        listed = self.server.cli("list").stdout.splitlines()
        self.assertTrue(listed[0].startswith("NAME"))
        self.assertTrue(any(line.startswith("demo:latest") for line in listed[1:]), listed)
        shown = self.server.cli("show", "demo", "--verbose").stdout
        for text in ("ZImagePipeline", "image", "width", "transformer/all_x_embedder.2-1.weight", "[192 64]"):
            self.assertIn(text, shown)

        self.server.post("/api/generate", {"model": "demo"})
        running = self.server.cli("ps").stdout.splitlines()
        self.assertTrue(running[1].startswith("demo:latest"), running)
        self.assertIn("4 minutes from now", running[1])
        (entry,) = self.server.get("/api/ps").json["models"]
        self.assertTrue(entry["device"])
        (pid,) = self.server.runners()
        self.assertEqual(self.server.cli("stop", "demo").returncode, 0)
        wait_for("the runner to end", lambda: not alive(pid))
        wait_for("ps to be empty", lambda: self.server.cli("ps").stdout.count("\n") == 1)

    def test_copy_and_remove_keep_the_original(self):
        self.assertEqual(self.server.cli("cp", "demo", "other:v1").stdout, "copied 'demo' to 'other:v1'\n")
        before = self.server.blobs()
        self.assertEqual(self.server.cli("rm", "other:v1").stdout, "deleted 'other:v1'\n")
        self.assertEqual(self.server.blobs(), before)
        self.assertEqual(self.server.cli("show", "other:v1").returncode, 1)
        self.assertEqual(self.server.cli("show", "demo").returncode, 0)

    def test_create_again_writes_nothing_new(self):
        before = self.server.blobs()
        self.server.create("again", os.path.join(DEMO, "model"),
                           parameters={"width": 128, "height": 128, "steps": 9})
        added = set(self.server.blobs()) - set(before)
        self.assertEqual(added, set())
        self.assertEqual(self.server.cli("rm", "again").returncode, 0)
        self.assertEqual(self.server.blobs(), before)


class ValidationLayer(EaselTest):
    """The Khronos layer with synchronisation validation over a whole generation."""
    env = {"EASEL_VALIDATION": "1"}

    def test_silent(self):
        self.server.create_demo()
        answer = self.server.post("/api/generate", {"model": "demo"})
        if answer.status != 200 and "vulkan-validationlayers" in answer.error:
            self.skipTest(answer.error)
        (runner,) = self.server.runners()
        self.assertIn(b"libVkLayer_khronos_validation", read_file("/proc", str(runner), "maps"))
        answer = self.server.post("/api/generate", {
            "model": "demo", "prompt": "a white cat", "negative": "a tree", "guidance": 2, "steps": 2,
            "width": 160, "height": 96, "stream": False})
        self.assertEqual(answer.status, 200, answer.body[:200])
        self.assertNotRegex(self.server.log(), "validation: |VUID|SYNC-HAZARD")


class ReferenceStore(EaselTest):
    """A store as the reference wrote it, used in place."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="easel-reference-")
        cls.addClassCleanup(folder.cleanup)
        with tarfile.open(os.path.join(DATA, "reference-store-v2.tar.gz")) as archive:
            archive.extractall(folder.name)
        cls.store = os.path.join(folder.name, "models")
        super().setUpClass()

    def test_listed_shown_run_copied_deleted(self):
        (model,) = self.server.get("/api/tags").json["models"]
        self.assertEqual(model["name"], "za:latest")
        self.assertEqual(model["details"]["family"], "ZImagePipeline")
        self.assertEqual(self.server.cli("show", "za").returncode, 0)

        case = "zimage-a.word"
        with open(os.path.join(GOLDENS, "cases", case + ".json"), encoding="utf-8") as file:
            request = json.load(file)["request"]
        answer = self.server.post("/api/generate", {
            "model": "za", "prompt": request["prompt"], "width": request["width"], "height": request["height"],
            "steps": request["steps"], "seed": request["seed"], "stream": False})
        if answer.status != 200:
            self.fail_log(answer.body)
        golden = read_file(GOLDENS, "cases", case + ".png")
        self.assertGreaterEqual(psnr(base64.b64decode(answer.json["image"]), golden), 40)

        blobs = set(self.server.blobs())
        self.assertEqual(self.server.cli("cp", "za", "zb").returncode, 0)
        self.assertEqual(self.server.cli("rm", "za").returncode, 0)
        self.assertLessEqual(blobs, set(self.server.blobs()))
        (model,) = self.server.get("/api/tags").json["models"]
        self.assertEqual(model["name"], "zb:latest")
        again = self.server.post("/api/generate", {
            "model": "zb", "prompt": request["prompt"], "width": request["width"], "height": request["height"],
            "steps": request["steps"], "seed": request["seed"], "stream": False})
        # Its name is in the file, too.
        self.assertEqual(*(read_png(base64.b64decode(a.json["image"])) for a in (again, answer)))


if __name__ == "__main__":
    unittest.main()
