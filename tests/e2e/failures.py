"""What breaks, and what must hold then: dead runners, dead gateways, clients that go
away, damaged stores, a full disk, a runner that is missing or of another version."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import DEMO, EaselTest, PATIENCE, Server, alive, read_all, read_until, wait_for

# Long enough to be running still when the test looks, whatever the machine.
LONG = {"model": "demo", "prompt": "the moon over mountains at night", "steps": 1000, "width": 256, "height": 256}
SHORT = {"model": "demo", "prompt": "a tree", "steps": 1, "stream": False}


class Failures(EaselTest):
    @classmethod
    def prepare(cls):
        cls.server.create_demo()

    def busy(self, stream=True):
        sock = self.server.open_request("/api/generate", {**LONG, "stream": stream})
        self.addCleanup(sock.close)
        if stream:
            read_until(sock, b'"total"')
        else:
            wait_for("the picture to start", self.drawing)
        return sock

    def drawing(self):
        models = self.server.ps()
        return any(model.get("state") == "busy" for model in models)

    def test_killed_runner_fails_its_request_and_the_next_one_works(self):
        self.server.post("/api/generate", {"model": "demo"})
        (pid,) = self.server.runners()
        sock = self.busy()
        os.kill(pid, signal.SIGKILL)
        body = read_all(sock)
        self.assertIn(b'"error"', body)
        self.assertIn(b"runner", body)
        self.assertEqual(self.server.get("/api/ps").json["models"], [])
        self.assertEqual(self.server.post("/api/generate", SHORT).status, 200)
        self.assertNotEqual(self.server.runners(), [pid])

    def test_client_gone_cancels_within_a_second(self):
        self.server.post("/api/generate", SHORT)
        for stream in (True, False):
            with self.subTest(stream=stream):
                sock = self.busy(stream)
                sock.close()
                # Ten times the second that is promised: machines are loaded.
                wait_for("the picture to be cancelled", lambda: not self.drawing(), 10)
                self.assertEqual(self.server.post("/api/generate", SHORT).status, 200)

    def test_stop_lets_the_running_picture_finish(self):
        self.server.post("/api/generate", SHORT)
        sock = self.server.open_request("/api/generate", {**LONG, "steps": 30, "width": 128, "height": 128})
        self.addCleanup(sock.close)
        read_until(sock, b'"total"')
        (pid,) = self.server.runners()
        answer = self.server.post("/api/generate", {"model": "demo", "keep_alive": 0})
        self.assertEqual(answer.json["done_reason"], "unload")
        self.assertTrue(alive(pid))
        self.assertIn(b'"image"', read_all(sock))
        wait_for("the stopped runner to end", lambda: not alive(pid))

    def test_deleted_blob_under_a_loaded_model(self):
        self.server.post("/api/generate", SHORT)
        before = self.server.post("/api/generate", {**SHORT, "seed": 9}).json["image"]
        blobs = os.path.join(self.server.store, "blobs")
        name = max(os.listdir(blobs), key=lambda blob: os.path.getsize(os.path.join(blobs, blob)))
        path = os.path.join(blobs, name)
        shutil.copy2(path, path + ".kept")
        os.unlink(path)
        try:
            self.assertEqual(self.server.post("/api/generate", {**SHORT, "seed": 9}).json["image"], before)
            self.server.cli("stop", "demo")
            wait_for("the runner to end", lambda: not self.server.runners())
            answer = self.server.post("/api/generate", SHORT)
            self.assertEqual(answer.status, 500)
            self.assertIn(name[len("sha256-"):], answer.error)
        finally:
            os.rename(path + ".kept", path)
        self.assertEqual(self.server.post("/api/generate", SHORT).status, 200)


class GatewayEnds(unittest.TestCase):
    def start(self, **env):
        server = Server(env=env)
        self.addCleanup(server.close)
        server.create_demo()
        server.post("/api/generate", SHORT)
        return server

    def test_sigterm_ends_every_runner(self):
        server = self.start()
        pids = server.runners()
        self.assertEqual(len(pids), 1)
        server.process.terminate()
        self.assertEqual(server.process.wait(PATIENCE), 0)
        self.assertFalse([pid for pid in pids if alive(pid)])

    def test_sigkill_leaves_no_runner(self):
        server = self.start()
        sock = server.open_request("/api/generate", LONG)
        self.addCleanup(sock.close)
        read_until(sock, b'"total"')
        pids = server.runners()
        server.process.kill()
        server.process.wait()
        wait_for("the runners to end", lambda: not any(alive(pid) for pid in pids), 10)

    def test_truncated_blob_under_a_loaded_model(self):
        server = self.start()
        # Every tensor shrinks to nothing: whichever page is touched next is gone.
        blobs = os.path.join(server.store, "blobs")
        for name in os.listdir(blobs):
            if os.path.getsize(os.path.join(blobs, name)) > 20000:
                os.truncate(os.path.join(blobs, name), 0)
        answer = server.post("/api/generate", {**SHORT, "prompt": "a white cat"})
        self.assertEqual(answer.status, 500, answer.body)
        self.assertIn("sha256:", answer.error)
        self.assertEqual(server.get("/api/version").status, 200)

    def test_keep_alive_zero_unloads(self):
        server = self.start()
        self.assertEqual(server.post("/api/generate", {**SHORT, "keep_alive": 0}).status, 200)
        wait_for("the runner to end", lambda: not server.runners())


class RunnerBinary(unittest.TestCase):
    def error_with(self, runner):
        server = Server()
        self.addCleanup(server.close)
        server.create_demo()
        server.process.terminate()
        server.process.wait(PATIENCE)
        server.env["EASEL_RUNNER"] = runner
        server.start()
        answer = server.post("/api/generate", SHORT)
        self.assertEqual(answer.status, 500)
        self.assertEqual(server.get("/api/ps").json["models"], [])
        return answer.error

    def script(self, text):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "runner")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/usr/bin/env python3\n" + text)
        os.chmod(path, 0o755)
        return path

    def test_missing(self):
        self.assertIn("/nonexistent/easel-runner", self.error_with("/nonexistent/easel-runner"))

    def test_other_protocol_version(self):
        error = self.error_with(self.script(
            "import json, os, struct, sys\n"
            "if '--devices' in sys.argv: sys.exit(print('[]'))\n"
            "text = json.dumps({'type': 'hello', 'version': 99}).encode()\n"
            "os.write(3, struct.pack('<IB', len(text), ord('J')) + text)\n"
            "os.read(3, 1)\n"))
        self.assertIn("99", error)
        self.assertIn("version", error)

    def test_ends_at_once_with_a_reason(self):
        error = self.error_with(self.script(
            "import sys\nprint('no usable device', file=sys.stderr)\nsys.exit(3)\n"))
        self.assertIn("no usable device", error)


class CreateFails(unittest.TestCase):
    """Model folders that are wrong: a clear error, and nothing is left in the store."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "model")
        shutil.copytree(os.path.join(DEMO, "model"), path)
        return path

    def refused(self, path, *texts):
        before = self.server.blobs()
        result = self.server.cli("create", "broken", path)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertTrue(result.stderr.splitlines()[-1].startswith("Error: "), result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr)
        self.assertEqual(self.server.blobs(), before)
        self.assertEqual(self.server.post("/api/show", {"model": "broken"}).status, 404)

    def test_no_model_index(self):
        self.refused(tempfile.gettempdir(), "model_index.json")

    def test_without_vae(self):
        path = self.folder()
        shutil.rmtree(os.path.join(path, "vae"))
        self.refused(path, "vae")

    def test_truncated_weights(self):
        path = self.folder()
        weights = os.path.join(path, "transformer", "diffusion_pytorch_model.safetensors")
        os.truncate(weights, os.path.getsize(weights) - 1)
        self.refused(path, "diffusion_pytorch_model.safetensors")

    def test_huge_header_length(self):
        path = self.folder()
        with open(os.path.join(path, "vae", "diffusion_pytorch_model.safetensors"), "r+b") as file:
            file.write((1 << 63).to_bytes(8, "little"))
        self.refused(path, "vae", "header")

    def test_head_dims_that_do_not_divide(self):
        path = self.folder()
        config_path = os.path.join(path, "transformer", "config.json")
        with open(config_path, encoding="utf-8") as file:
            config = json.load(file)
        config["n_heads"] = config["n_kv_heads"] = 7
        with open(config_path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.refused(path, "transformer/config.json")

    def test_disk_full(self):
        if os.geteuid() != 0:
            self.skipTest("needs root for a small tmpfs")
        folder = tempfile.mkdtemp()
        self.addCleanup(os.rmdir, folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False).returncode:
            self.skipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=False)
        server = Server(store=os.path.join(folder, "store"))
        self.addCleanup(server.close)
        answer = server.post("/api/create", {"model": "demo", "from": os.path.join(os.path.abspath(DEMO), "model"),
                                             "stream": False})
        self.assertEqual(answer.status, 500, answer.body)
        self.assertRegex(answer.error, "space|free")
        self.assertEqual(server.blobs(), [])
        self.assertEqual(server.get("/api/tags").json, {"models": []})

    def test_not_a_number_fails_the_picture_not_the_runner(self):
        path = self.folder()
        weights = os.path.join(path, "transformer", "diffusion_pytorch_model.safetensors")
        with open(weights, "r+b") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            begin, end = header["all_final_layer.2-1.linear.weight"]["data_offsets"]
            file.seek(8 + size + begin)
            file.write(b"\xff\x7f" * ((end - begin) // 2))
        self.server.create("nan", path)
        body = {**SHORT, "model": "nan", "width": 64, "height": 64}
        for _ in range(2):
            answer = self.server.post("/api/generate", body)
            self.assertEqual(answer.status, 500)
            self.assertRegex(answer.error, "finite|NaN")
        (runner,) = self.server.runners()
        self.assertTrue(alive(runner))

    def test_client_gone_during_create(self):
        sock = self.server.open_request("/api/create", {
            "model": "gone", "from": os.path.join(os.path.abspath(DEMO), "model")})
        sock.close()
        wait_for("the importer to end", lambda: not self.server.runners())
        leftovers = [name for name in self.server.blobs() if len(name) != len("sha256-") + 64]
        self.assertEqual(leftovers, [])


if __name__ == "__main__":
    unittest.main()
