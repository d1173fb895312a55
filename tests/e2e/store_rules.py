"""What a store must bear: another server's sweep, a tag that moves while its model is loaded,
manifests that lead elsewhere.
"""
import base64
import hashlib
import json
import os
import shutil
import tempfile
import time
import unittest

from harness import SOURCE, Server, binary, psnr, wait_for

MODEL = os.path.join(SOURCE, "tests", "data", "goldens", "models", "zimage-b")
PUBLIC = ("registry.ollama.ai", "library")
# Runs the real runner, but a load waits for somebody to write into the pipe if there is one.
RUNNER = """#!/bin/sh
if [ $# = 0 ] && [ -p '{folder}/hold' ]; then
	: > '{folder}/held'
	read -r line < '{folder}/hold'
fi
exec '{runner}' "$@"
"""


class Rules(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="easel-rules-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        runner = os.path.join(self.folder, "runner")
        with open(runner, "w", encoding="utf-8") as file:
            file.write(RUNNER.format(folder=self.folder, runner=binary("runner", "easel-runner")))
        os.chmod(runner, 0o755)
        self.server = Server(os.path.join(self.folder, "store"), {"EASEL_RUNNER": runner})
        self.addCleanup(self.server.close)
        self.root = self.server.store

    def request(self, model):
        return {"model": model, "prompt": "x", "steps": 1, "seed": 1, "width": 64, "height": 64, "stream": False}

    def picture(self, model):
        answer = self.server.post("/api/generate", self.request(model))
        self.assertEqual(answer.status, 200, answer.body)
        return base64.b64decode(answer.json["image"])

    def legacy(self, name, tag="latest"):
        return os.path.join(self.root, "manifests", *PUBLIC, name, tag)

    def v2(self, name, tag="latest"):
        return os.path.join(self.root, "manifests-v2", "ollama.com", "library", name, tag)

    # ---- another server's sweep ----

    def reference_prune(self):
        """As the reference does at its start: what no legacy manifest names, and is an hour old, goes."""
        used = set()
        for folder, _, files in os.walk(os.path.join(self.root, "manifests")):
            for name in files:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    manifest = json.load(file)
                used |= {layer["digest"].replace(":", "-") for layer in [manifest["config"], *manifest["layers"]]}
        removed = set(os.listdir(os.path.join(self.root, "blobs"))) - used
        for name in removed:
            os.unlink(os.path.join(self.root, "blobs", name))
        return removed

    def test_the_references_sweep_leaves_every_model(self):
        self.server.create("plain", MODEL)
        self.server.create("small", MODEL, quantize="int8", parameters={"steps": 2})
        self.server.post("/api/copy", {"source": "small", "destination": "host.example/x/copied:1"})
        names = ("plain", "small", "host.example/x/copied:1")
        want = [self.picture(name) for name in names]
        for name in names:
            self.server.cli("stop", name)
        self.server.stop()
        removed = self.reference_prune()
        self.assertEqual(len(removed), 2)                # only the manifests' own blobs, of two contents
        self.assertFalse(os.path.exists(self.v2("plain")))      # dangling now
        self.server.start()
        for name, picture in zip(names, want):
            self.assertEqual(psnr(self.picture(name), picture), float("inf"))
            self.assertEqual(self.server.cli("verify", name).returncode, 0)
        # Writing the tag again repairs its link.
        self.server.create("plain", MODEL)
        with open(self.v2("plain"), "rb") as link, open(self.legacy("plain"), "rb") as file:
            self.assertEqual(link.read(), file.read())

    # ---- a tag that moves ----

    def test_a_tag_that_moves_while_its_model_is_started(self):
        self.server.create("m", MODEL)
        self.server.create("other", MODEL, quantize="int8")
        want, other = self.picture("m"), self.picture("other")
        self.assertNotEqual(psnr(want, other), float("inf"))
        for name in ("m", "other"):
            self.server.cli("stop", name)
        wait_for("the runners to end", lambda: not self.server.runners())
        hold = os.path.join(self.folder, "hold")
        os.mkfifo(hold)
        sock = self.server.open_request("/api/generate", self.request("m"))
        wait_for("the runner to be held", lambda: os.path.exists(os.path.join(self.folder, "held")))
        self.assertEqual(self.server.post("/api/copy", {"source": "other", "destination": "m"}).status, 200)
        with open(hold, "w", encoding="ascii") as pipe:
            os.unlink(hold)
            pipe.write("go\n")
        body = b""
        while more := sock.recv(65536):
            body += more
        answer = json.loads(body.split(b"\r\n\r\n", 1)[1])
        self.assertEqual(psnr(base64.b64decode(answer["image"]), want), float("inf"))
        # The next request is for what the tag says now.
        self.assertEqual(psnr(self.picture("m"), other), float("inf"))

    # ---- manifests that lead elsewhere ----

    def test_digests_that_are_none(self):
        self.server.create("m", MODEL)
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("secret")
        with open(self.legacy("m"), encoding="utf-8") as file:
            good = json.load(file)
        digest = good["layers"][0]["digest"]
        before = {model["name"] for model in self.server.get("/api/tags").json["models"]}
        for i, bad in enumerate(("sha256:../../../secret", "sha256:x/../../../secret", "../../secret", digest[:-1],
                                 digest + "0", "sha512:" + digest[7:], "", "sha256-" + "g" * 64, 7, None)):
            name = f"bad{i}"
            os.makedirs(os.path.dirname(self.legacy(name)))
            layers = [{**good["layers"][0], "digest": bad}, *good["layers"][1:]]
            with open(self.legacy(name), "w", encoding="utf-8") as file:
                json.dump({**good, "layers": layers}, file)
            for path, body in (("/api/show", {"model": name}), ("/api/generate", self.request(name)),
                               ("/api/push", {"model": name, "stream": False}),
                               ("/api/copy", {"source": name, "destination": "copied"}),
                               ("/api/create", {"model": "made", "from": name, "stream": False})):
                answer = self.server.post(path, body)
                self.assertIn(answer.status, (400, 404, 500), (path, bad))
                self.assertIn("error", answer.json)
                self.assertNotIn(b"secret\"", answer.body)
            self.assertEqual({model["name"] for model in self.server.get("/api/tags").json["models"]}, before)
            self.assertEqual(self.server.request("DELETE", "/api/delete", {"model": name}).status, 200)
        self.assertTrue(os.path.exists(secret))

    def test_upper_case_digests_are_the_same_blobs(self):
        self.server.create("m", MODEL)
        want = self.picture("m")
        with open(self.legacy("m"), encoding="utf-8") as file:
            manifest = json.load(file)
        for layer in manifest["layers"]:
            layer["digest"] = "sha256-" + layer["digest"][7:].upper()
        os.makedirs(os.path.dirname(self.legacy("upper")))
        with open(self.legacy("upper"), "w", encoding="utf-8") as file:
            json.dump(manifest, file)
        self.assertEqual(psnr(self.picture("upper"), want), float("inf"))
        # They count as used.
        self.assertEqual(self.server.request("DELETE", "/api/delete", {"model": "m"}).status, 200)
        self.assertEqual(self.server.cli("verify", "upper").returncode, 0)

    # ---- what an interrupted pull has ----

    def test_partials_are_kept_for_a_week(self):
        blobs = os.path.join(self.root, "blobs")
        day = 24 * 3600
        ages = {"a" * 64 + ".tmp": 6 * day, "b" * 64 + ".tmp": 8 * day, "c" * 64 + "-partial": 6 * day,
                "d" * 64 + "-partial-0": 8 * day, "e" * 64: 2 * 3600, "f" * 64: 0, "12345": 2 * 3600}
        for name, age in ages.items():
            path = os.path.join(blobs, "sha256-" + name)
            with open(path, "w", encoding="ascii") as file:
                file.write("x")
            os.utime(path, (time.time() - age,) * 2)
        # A whole blob of a pull that has not ended stays as well, however old.
        whole = "sha256-" + hashlib.sha256(b"whole").hexdigest()
        with open(os.path.join(blobs, whole), "wb") as file:
            file.write(b"whole")
        os.utime(os.path.join(blobs, whole), (time.time() - 6 * day,) * 2)
        manifest = json.dumps({"schemaVersion": 2, "layers": [{"mediaType": "x", "digest": whole.replace("-", ":"),
                                                               "size": 5}]}).encode()
        os.makedirs(os.path.join(self.root, ".easel-pulls"))
        with open(os.path.join(self.root, ".easel-pulls", hashlib.sha256(manifest).hexdigest()), "wb") as file:
            file.write(manifest)
        self.server.stop()
        self.server.start()
        self.assertEqual(set(os.listdir(blobs)), {whole, *("sha256-" + name for name in (
            "a" * 64 + ".tmp", "c" * 64 + "-partial", "f" * 64))})


if __name__ == "__main__":
    unittest.main()
