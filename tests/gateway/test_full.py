"""A pull onto a disk that is full at every stage of it: the error names the path and the cause,
nothing is tagged and no temporary is left, and what has come already is not fetched again.
"""
import fcntl
import os
import time

from gateway_test import Gateway
from small_disk import PAGE, SmallDisk, need_mounts     # in tests, which gateway_test puts on the path
from transfer_test import Model, TransferTest, check_store, unittest

FULL = "[Nn]o space left on device"


class Full(TransferTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = Model("full", [300000, 70000, *[9000] * 4, 5]).put(cls.registry)

    def setUp(self):
        super().setUp()
        self.disk = SmallDisk()
        self.addCleanup(self.disk.close)
        self.gateway = Gateway((), {**self.env, "EASEL_MODELS": os.path.join(self.disk.path, "store")})
        self.addCleanup(self.gateway.close)

    @property
    def root(self):
        return os.path.join(self.disk.path, "store")

    def check_refused(self, answer):
        self.fails(answer, FULL)
        error = answer.lines[-1]["error"]
        self.assertIn(self.root, error)
        check_store(self.root)
        for tree in ("manifests", "manifests-v2"):
            found = [os.path.join(*entry[:1], *entry[2]) for entry in os.walk(os.path.join(self.root, tree))][1:]
            self.assertEqual(found, [], error)
        self.assertEqual([name for name in self.files() if name.startswith(".")], [])
        self.assertEqual(self.gateway.get("/api/version").status, 200)
        return error

    def sweep(self, limit, steps, stages):
        errors, fetched = [], 0
        size, inodes = self.disk.used()
        for more in steps:
            limit(size, inodes, more)
            self.proxy.reset()
            answer = self.pull()
            fetched += self.proxy.blob_bytes()
            if answer.lines[-1] == {"status": "success"}:
                break
            errors.append(self.check_refused(answer))
        else:
            self.fail(errors[-1])
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)
        self.assertEqual(self.files(".tmp"), [])
        self.assertFalse(os.path.exists(os.path.join(self.root, ".easel-pulls")) and
                         os.listdir(os.path.join(self.root, ".easel-pulls")))
        for stage in stages:
            self.assertTrue([error for error in errors if stage in error], (stage, sorted(set(errors))))
        return fetched

    def test_files(self):
        """Nothing comes twice, however often it was tried."""
        fetched = self.sweep(lambda size, inodes, more: self.disk.limit(inodes=inodes + more), range(0, 40),
                             (".easel-pulls", "/blobs/sha256-", "failed to write manifest", "/manifests-v2/",
                              "/manifests/"))
        # What a blob that found no file had on the line already.
        self.assertLess(fetched, self.model.bytes * 3)

    def test_bytes(self):
        pages = sum(-(-len(data) // PAGE) for data in self.model.blobs.values())
        # What came stays, and takes room itself.
        self.sweep(lambda size, inodes, more: self.disk.limit(max(size + more * PAGE, self.disk.used()[0])),
                   [*range(0, pages - 4, 20), *range(pages - 4, pages + 20)],
                   ("are needed", "failed to write manifest"))


    def test_what_others_began_makes_room(self):
        """But not what this pull goes on with, nor what is young or being written."""
        blobs = os.path.join(self.root, "blobs")
        digest, data = max(self.model.blobs.items(), key=lambda item: len(item[1]))
        ours = os.path.join(blobs, digest.replace(":", "-") + ".tmp")
        others = [os.path.join(blobs, "sha256-" + letter * 64 + ".tmp") for letter in "abc"]
        for path, content in ((ours, data[:1000]), *((path, bytes(300000)) for path in others)):
            with open(path, "wb") as file:
                file.write(content)
        for path in (ours, *others[:2]):
            os.utime(path, (time.time() - 7200,) * 2)
        size, _ = self.disk.used()
        self.disk.limit(size=size + 200000)
        with open(others[0], "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.succeeds(self.pull())
        self.assertEqual([os.path.exists(path) for path in others], [True, False, True])
        request = next(request for request in self.proxy.blob_requests() if digest in request.path)
        self.assertEqual(request.headers.get("Range"), "bytes=1000-")
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)


if __name__ == "__main__":
    need_mounts()
    unittest.main()
