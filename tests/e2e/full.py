"""A disk that fills up at every stage of a create, an upload, a copy: the error names the path
and the cause, nothing is left over, and the server goes on. The store lies on a small tmpfs
whose size, or number of files, is allowed to grow step by step until all fits.
"""
import hashlib
import json
import os
import unittest

from harness import SOURCE, Server
from small_disk import PAGE, SmallDisk, need_mounts  # in tests, which harness puts on the path

MODEL = os.path.join(SOURCE, "tests", "data", "goldens", "models", "klein-b")
FULL = "No space left on device|not enough disk space"


class Full(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.disk = SmallDisk()
        cls.addClassCleanup(cls.disk.close)
        cls.root = os.path.join(cls.disk.path, "store")
        cls.server = Server(cls.root)
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.addCleanup(self.remove_models)
        self.addCleanup(self.disk.limit)

    def remove_models(self):
        for model in self.server.get("/api/tags").json["models"]:
            self.server.request("DELETE", "/api/delete", {"model": model["name"]})

    def files(self):
        """Everything in the store but the record of verified blobs, which may grow."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                if name != ".easel-verified":
                    found[path] = os.lstat(path).st_size if name in files else None
        return found

    def refused(self, answer, before):
        self.assertEqual(answer.status, 500, answer.body)
        self.assertRegex(answer.error, FULL)
        self.assertIn(self.root, answer.error)
        self.assertEqual(self.files(), before, answer.error)

    def sweep(self, ask, undo, stages, steps, limit):
        """Grows the limit until ask() succeeds; each of stages must have been what failed, for some step."""
        before, errors = self.files(), []
        size, inodes = self.disk.used()
        for more in steps:
            limit(size, inodes, more)
            answer = ask()
            if answer.status in (200, 201) and b'"error"' not in answer.body:
                break
            self.refused(answer, before)
            errors.append(answer.error)
            self.assertEqual(self.server.get("/api/version").status, 200)
        else:
            self.fail(f"it never fitted; the last error is {errors[-1]}")
        self.disk.limit()
        undo()
        self.assertEqual(self.files(), before)
        for stage in stages:
            self.assertTrue([error for error in errors if stage in error], (stage, sorted(set(errors))))
        return errors

    def by_files(self, ask, undo, stages, steps):
        return self.sweep(ask, undo, stages, steps, lambda size, inodes, more: self.disk.limit(inodes=inodes + more))

    def by_bytes(self, ask, undo, stages, steps):
        return self.sweep(ask, undo, stages, steps, lambda size, inodes, more: self.disk.limit(size=size + more * PAGE))

    def test_an_interrupted_pull_makes_room(self):
        partial = os.path.join(self.root, "blobs", f"sha256-{'0' * 64}-partial")
        self.assertEqual(self.create().status, 200)
        self.remove_models()
        size, _ = self.disk.used()
        with open(partial, "wb") as file:
            file.write(bytes(16 << 20))
        self.disk.limit(size=size + (16 << 20) + PAGE)
        self.assertRegex(self.create().error, "not enough disk space")
        os.utime(partial, (1e9, 1e9))
        self.assertEqual(self.create().status, 200)
        self.assertFalse(os.path.exists(partial))

    def create(self, name="m", **members):
        return self.server.post("/api/create", {"model": name, "from": MODEL, "stream": False, **members})

    def delete(self, *names):
        for name in names:
            self.assertEqual(self.server.request("DELETE", "/api/delete", {"model": name}).status, 200)

    def count_files(self):
        """How many a create makes: the steps near the end are the ones that differ."""
        inodes = self.disk.used()[1]
        self.assertEqual(self.create().status, 200)
        n, size = self.disk.used()[1] - inodes, self.disk.used()[0]
        self.delete("m")
        return n, (size - self.disk.used()[0]) // PAGE

    def test_create(self):
        n, pages = self.count_files()
        stages = ("blobs/sha256-", "failed to write manifest", "manifests-v2/ollama.com", "manifests/registry.ollama.ai")
        ends = [*range(0, n - 12, n // 5), *range(n - 12, n + 20)]
        self.by_files(self.create, lambda: self.delete("m"), stages, ends)
        ends = [*range(0, pages - 20, pages // 5), *range(pages - 20, pages + 30, 3)]
        self.by_bytes(self.create, lambda: self.delete("m"), ("not enough disk space", "write "), ends)

    def test_create_over_a_model(self):
        """Which stays what it was."""
        self.assertEqual(self.create("m", quantize="int8").status, 200)
        was = self.server.post("/api/show", {"model": "m"}).json
        inodes = self.disk.used()[1]
        self.disk.limit(inodes=inodes + 5)
        before = self.files()
        self.refused(self.create(), before)
        self.assertEqual(self.server.post("/api/show", {"model": "m"}).json, was)
        self.disk.limit()
        self.assertEqual(self.create().status, 200)
        self.assertNotEqual(self.server.post("/api/show", {"model": "m"}).json, was)

    def test_upload(self):
        data = os.urandom(10 * PAGE)
        path = "/api/blobs/sha256:" + hashlib.sha256(data).hexdigest()
        blob = os.path.join(self.root, "blobs", path.rsplit("/", 1)[1].replace(":", "-"))

        def ask():
            return self.server.request("POST", path, data)
        self.by_files(ask, lambda: os.unlink(blob), ("failed to create",), range(0, 3))
        self.by_bytes(ask, lambda: os.unlink(blob), ("write ",), range(0, 15))

    def test_copy(self):
        self.assertEqual(self.create().status, 200)

        def ask():
            return self.server.post("/api/copy", {"source": "m", "destination": "host.example/x/copy:1"})
        stages = ("manifests-v2/host.example", "manifests/host.example/x", "manifests/host.example/x/copy/1")
        self.by_files(ask, lambda: self.delete("host.example/x/copy:1"), stages, range(0, 12))
        self.by_bytes(ask, lambda: self.delete("host.example/x/copy:1"), ("manifests/host.example",), range(0, 60, 2))

    def test_full_disk_lets_one_delete_and_start(self):
        self.assertEqual(self.create().status, 200)
        size, inodes = self.disk.used()
        self.disk.limit(size, inodes)
        self.server.stop()
        self.server.start()
        self.assertEqual([model["name"] for model in self.server.get("/api/tags").json["models"]], ["m:latest"])
        self.delete("m")
        self.disk.limit()
        self.assertEqual(self.create().status, 200)
        answer = self.server.post("/api/verify", {"model": "m", "stream": False})
        self.assertEqual((answer.status, json.loads(answer.body.splitlines()[-1])["status"]), (200, "success"))


if __name__ == "__main__":
    need_mounts()
    unittest.main()
