"""What is known to be whole is not hashed again, and what is not is: pulls over what is there,
uploads, and a list and lookups in a store of 10,000 tags.
"""
import hashlib
import os
import tempfile
import time
import unittest as plain

from gateway_test import Gateway, wait_for
from transfer_test import Model, TransferTest, check_store, unittest

MIB = 1 << 20


class Record(TransferTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = Model("record", [3 * MIB, MIB, 70000, 1]).put(cls.registry)

    def path(self, digest):
        return os.path.join(self.root, "blobs", digest.replace(":", "-"))

    def first(self):
        return self.path(self.model.layers[0]["digest"])

    def hashes(self, lines):
        """Bytes that a pull says it verified; 0 when it did not have to."""
        return max([line.get("completed", 0) for line in lines if line["status"] == "verifying model"], default=0)

    def flip(self, path):
        """One bit, and the times put back."""
        st = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(1000)
            byte = file.read(1)[0]
            file.seek(1000)
            file.write(bytes([byte ^ 1]))
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

    def again(self):
        self.proxy.reset()
        return self.succeeds(self.pull())

    def test_pull_after_pull_hashes_nothing(self):
        self.succeeds(self.pull())
        for _ in range(3):                      # finding a blob makes it young, and leaves it on record
            lines = self.again()
            self.assertEqual((self.hashes(lines), self.proxy.blob_requests()), (0, []))
        self.gateway.stop()
        self.gateway.start()                    # a start's sweep too
        self.assertEqual(self.hashes(self.again()), 0)

    def test_only_what_changed_is_hashed(self):
        self.succeeds(self.pull())
        wait_for("the clock to tick", lambda: time.time_ns() > os.stat(self.first()).st_ctime_ns + 20_000_000)
        os.utime(self.first())
        lines = self.again()
        self.assertEqual(self.hashes(lines), os.path.getsize(self.first()))
        self.assertEqual(self.proxy.blob_requests(), [])
        self.assertEqual(self.hashes(self.again()), 0)

    def test_a_flipped_bit_is_fetched_again(self):
        self.succeeds(self.pull())
        wait_for("the clock to tick", lambda: time.time_ns() > os.stat(self.first()).st_ctime_ns + 20_000_000)
        self.flip(self.first())
        self.again()
        self.assertEqual([request.path[-64:] for request in self.proxy.blob_requests()], [self.first()[-64:]])
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)

    def test_copied_in(self):
        """Or the record is gone: all is hashed, nothing fetched, once."""
        self.succeeds(self.pull())
        for damage in (os.unlink, lambda path: os.truncate(path, os.path.getsize(path) // 2), self.scribble):
            damage(os.path.join(self.root, ".easel-verified"))
            lines = self.again()
            self.assertGreater(self.hashes(lines), 0)
            self.assertEqual(self.proxy.blob_requests(), [])
            self.assertEqual(self.hashes(self.again()), 0)

    def scribble(self, path):
        with open(path, "wb") as file:
            file.write(os.urandom(5000))

    def test_upload_of_a_damaged_blob_repairs_it(self):
        data = os.urandom(5000)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.assertEqual(self.gateway.post("/api/blobs/" + digest, data).status, 201)
        wait_for("the clock to tick", lambda: time.time_ns() > os.stat(self.path(digest)).st_ctime_ns + 20_000_000)
        self.flip(self.path(digest))
        self.assertEqual(self.gateway.post("/api/blobs/" + digest, data).status, 200)
        check_store(self.root)


class Many(plain.TestCase):
    """10,000 tags; the deadlines are ten times those of docs/PERFORMANCE.md's rows."""

    def seconds(self, gateway, ask, status, times=20):
        """Of processor time that the gateway takes for one, which others' work does not change much."""
        def taken():
            with open(f"/proc/{gateway.process.pid}/schedstat", encoding="ascii") as file:
                return int(file.read().split()[0]) / 1e9
        began = taken()
        for _ in range(times):
            self.assertEqual(ask().status, status)
        return (taken() - began) / times

    def test_ten_thousand_tags(self):
        if os.access("/dev/shm", os.W_OK):       # so many files are quicker made there
            tempfile.tempdir = "/dev/shm"
            self.addCleanup(setattr, tempfile, "tempdir", None)
        gateway = Gateway(("ok",))
        self.addCleanup(gateway.close)
        folder = os.path.join(gateway.store.root, "manifests", "registry.ollama.ai", "library")
        with open(os.path.join(folder, "ok", "latest"), "rb") as file:
            manifest = file.read()
        os.makedirs(os.path.join(folder, "many"))
        for i in range(10000):
            with open(os.path.join(folder, "many", f"t{i}"), "wb") as file:
                file.write(manifest)
        self.assertEqual(len(gateway.get("/api/tags").json["models"]), 10001)

        self.assertLess(self.seconds(gateway, lambda: gateway.get("/api/tags"), 200), 0.5)
        for name, status in (("many:t77", 200), ("MANY:T77", 200), ("none", 404)):
            took = self.seconds(gateway, lambda: gateway.post("/api/show", {"model": name}), status)
            self.assertLess(took, 0.01, name)
        # What happens meanwhile is seen.
        os.unlink(os.path.join(folder, "many", "t5"))
        os.rename(os.path.join(folder, "many", "t6"), os.path.join(folder, "many", "T6b"))
        names = {model["name"] for model in gateway.get("/api/tags").json["models"]}
        self.assertEqual((len(names), "many:t5" in names, "many:t6" in names, "many:T6b" in names),
                         (10000, False, False, True))


if __name__ == "__main__":
    unittest.main()
