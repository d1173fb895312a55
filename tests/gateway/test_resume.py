"""Pulls that are killed at random points, by two processes, onto a full disk, of any size.
EASEL_RESUME_ROUNDS=200 in the environment makes it long; EASEL_RESUME_SEED repeats one.
"""
import os
import random
import re
import subprocess
import threading
import time
import unittest as plain

from gateway_test import GATEWAY, Gateway, wait_for
from transfer_test import Model, TransferTest, check_store, registry, unittest

MIB = 1 << 20
ROUNDS = int(os.environ.get("EASEL_RESUME_ROUNDS", "5"))
SEED = os.environ.get("EASEL_RESUME_SEED", str(random.randrange(1 << 30)))


def slow(request):
    return {"pace": 0.004} if request.is_blob else None


def is_sanitized():
    with open(GATEWAY, "rb") as file:
        return b"libasan" in file.read(1 << 18)


class Resume(TransferTest):
    env = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = Model("resume", [5 * MIB, 3 * MIB, 1200000, *[70000] * 8, 5, 1 << 18]).put(cls.registry)

    def states(self):
        """Digest -> bytes that are there, and whether that is all."""
        folder, found = os.path.join(self.root, "blobs"), {}
        for digest, data in self.model.blobs.items():
            path = os.path.join(folder, digest.replace(":", "-"))
            if os.path.exists(path):
                found[digest] = len(data), True
            elif os.path.exists(path + ".tmp"):
                found[digest] = os.path.getsize(path + ".tmp"), False
        return found

    def check_requests(self, had):
        """Nothing complete is asked for again, and what began goes on from its end."""
        for request in self.proxy.blob_requests():
            digest = request.path.rsplit("/", 1)[1]
            length, whole = had.get(digest, (0, False))
            self.assertFalse(whole or length == len(self.model.blobs[digest]), (digest, length, whole))
            self.assertEqual(request.headers.get("Range"), f"bytes={length}-" if length else None)

    def kill_at(self, amount):
        thread = threading.Thread(target=lambda: self.killed(), daemon=True)
        thread.start()
        wait_for("data", lambda: self.proxy.blob_bytes() >= amount or not thread.is_alive())
        self.gateway.process.kill()
        self.gateway.process.wait()
        thread.join()

    def watched_pull(self):
        """One that takes too long tells where everybody is."""
        try:
            return self.pull()
        except TimeoutError as error:
            tasks = f"/proc/{self.gateway.process.pid}/task"
            threads = []
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/wchan", encoding="utf-8") as file:
                    threads.append(file.read())
            raise AssertionError(f"threads wait in {threads}; {self.states()}; requests " + "; ".join(
                f"{r.method} {r.path} {r.status} {r.sent}" for r in self.proxy.requests)) from error

    def killed(self, transfer=None, *args):
        try:
            (transfer or self.pull)(*args)
        except (AssertionError, OSError, Exception):    # its server is killed
            pass

    def test_kill_at_random_points(self):
        chance = random.Random(SEED)
        print(f"seed {SEED}, {ROUNDS} rounds")
        kills = 0
        for _ in range(ROUNDS):
            self.gateway = self.serve()
            for _ in range(chance.randrange(1, 4)):
                had = self.states()
                self.proxy.reset(slow)
                self.kill_at(chance.randrange(1, max(2, int(self.model.bytes * chance.choice((.02, .3, .6))))))
                self.check_requests(had)
                kills += 1
                check_store(self.root)
                self.gateway.start()
            had = self.states()
            total = self.model.bytes - sum(length for length, _ in had.values())
            self.proxy.reset()
            self.succeeds(self.watched_pull())
            self.check_requests(had)
            self.assertEqual(self.proxy.blob_bytes(), total)
            self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)
            self.assertEqual(self.files(".tmp"), [])
            self.gateway.stop()
        print(f"{kills} kills")

    def test_resume_after_hours(self):
        """What an interrupted pull brought is still there tomorrow."""
        self.proxy.reset(slow)
        self.kill_at(self.model.bytes // 2)
        had = self.states()
        self.assertTrue(had)
        old = time.time() - 7200
        for name in self.files():
            os.utime(os.path.join(self.root, "blobs", name), (old, old))
        self.gateway.start()
        self.assertEqual(self.states(), had)
        self.proxy.reset()
        self.succeeds(self.pull())
        self.check_requests(had)

    def test_damaged_partial(self):
        """Its hash does not fit in the end: fetched anew, once."""
        self.proxy.reset(slow)
        self.kill_at(self.model.bytes // 2)
        for name in self.files(".tmp"):
            with open(os.path.join(self.root, "blobs", name), "r+b") as file:
                file.write(b"xxxx")
        self.gateway.start()
        self.proxy.reset()
        self.succeeds(self.pull())
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)

    def test_whole_and_overlong_partials(self):
        folder = os.path.join(self.root, "blobs")
        (first, one), (second, two), *_ = self.model.blobs.items()
        for digest, data in ((first, one), (second, two + b"more")):
            with open(os.path.join(folder, digest.replace(":", "-") + ".tmp"), "wb") as file:
                file.write(data)
        self.succeeds(self.pull())
        self.assertFalse(any(first in request.path for request in self.proxy.requests))
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)

    def test_two_processes(self):
        other = self.serve(EASEL_MODELS=self.root)
        self.proxy.reset(slow)
        for answer in self.at_once(self.pull, lambda: self.pull(gateway=other)):
            self.succeeds(answer)
        self.assertEqual(len(self.proxy.blob_requests()), len(self.model.blobs))
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)
        self.assertEqual(self.files(".tmp"), [])

    def test_kill_during_push(self):
        """A push that is killed goes on with what the registry lacks; the store stays as it is."""
        chance = random.Random(SEED)
        source = self.name(host=self.registry.host)
        self.succeeds(self.pull(source))
        for turn in range(max(2, ROUNDS // 2)):
            repository = f"library/k{turn}"
            self.gateway.post("/api/copy", {"source": source, "destination": self.name(repository)})
            self.proxy.reset(lambda request: {"pace": 0.004} if request.method == "PUT" else None)
            amount = chance.randrange(1, self.model.bytes)
            thread = threading.Thread(target=lambda r=repository: self.killed(self.push, self.name(r)), daemon=True)
            thread.start()
            wait_for("data", lambda a=amount, t=thread: self.proxy.upload_bytes() >= a or not t.is_alive())
            self.gateway.process.kill()
            self.gateway.process.wait()
            thread.join()
            wait_for("what was on its way", lambda: all(request.done for request in self.proxy.requests))
            there = {digest for digest in self.model.blobs
                     if self.registry.request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200}
            self.gateway.start()
            self.proxy.reset()
            self.succeeds(self.push(self.name(repository)))
            sent = {r.path.rsplit("digest=", 1)[1].replace("%3A", ":"): r.received for r in self.proxy.requests
                    if r.method == "PUT" and not r.is_manifest}
            self.assertEqual(sent, {digest: len(data) for digest, data in self.model.blobs.items() if digest not in there})
            self.assertEqual(self.registry.request("GET", f"/v2/{repository}/manifests/latest", None, {
                "Accept": registry.MANIFEST})[2], self.model.manifest)
            self.assertEqual(check_store(self.root, self.registry.host), self.model.manifest)
            self.gateway.request("DELETE", "/api/delete", {"model": self.name(repository)})

    @plain.skipIf(is_sanitized(), "nothing is loaded before the sanitizer")
    def test_slow_disk(self):
        """No sync ends before somebody else was answered."""
        syncs = os.path.join(self.folder, "syncs")
        self.gateway = self.serve(LD_PRELOAD=os.environ["EASEL_SLOW_SYNC"], EASEL_SYNCS=syncs,
                                  EASEL_MODELS=os.path.join(self.folder, "slow"))
        answers = []
        with open(syncs, "wb", buffering=0) as file:
            thread = threading.Thread(target=lambda: answers.append(self.pull()))
            thread.start()
            while thread.is_alive():
                self.assertEqual(self.gateway.get("/api/version").status, 200)
                file.write(b"x")
                thread.join(0.01)
            n_turns = file.tell()
        os.unlink(syncs)
        self.succeeds(answers[0])
        self.assertGreater(n_turns, len(self.model.blobs))

    def test_memory_and_responsiveness(self):
        """A blob much larger than what may be held; others are answered meanwhile."""
        Model("large", [120 * MIB, *[MIB] * 20]).put(self.registry, "library/large")
        slowest = 0
        thread = threading.Thread(target=lambda: self.succeeds(self.pull(self.name("library/large",
                                                                                   host=self.registry.host))))
        thread.start()
        while thread.is_alive():
            began = time.monotonic()
            self.gateway.get("/api/version")
            slowest = max(slowest, time.monotonic() - began)
            thread.join(0.02)
        with open(f"/proc/{self.gateway.process.pid}/status", encoding="utf-8") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) * 1024
        print(f"peak {peak / 1e6:.0f} MB, slowest answer {slowest * 1e3:.0f} ms")
        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as file:
            if "asan" not in file.read():       # which keeps what was freed
                self.assertLess(peak, 100e6)
        self.assertLess(slowest, 2)
        check_store(self.root, self.registry.host, "library/large")


class FullDisk(TransferTest):
    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.folder, self.id())
        os.makedirs(self.disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", self.disk], check=False,
                          capture_output=True).returncode:
            raise plain.SkipTest("no small file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)
        self.gateway = Gateway(self.models, {**self.env, "EASEL_MODELS": self.disk})
        self.addCleanup(self.gateway.close)

    def test_no_room(self):
        Model("room", [5 * MIB]).put(self.registry, "library/room")
        self.fails(self.pull(self.name("library/room")), f"^no space left on device: {self.disk} has .* are needed")
        self.assertEqual(self.proxy.blob_requests(), [])

    def test_full_at_every_stage(self):
        """One more file can be made each time, until the pull succeeds."""
        model = Model("stages", [3000, 70]).put(self.registry, "library/stages")
        failed = 0
        for left in range(40):
            files = os.statvfs(self.disk)
            subprocess.run(["mount", "-o", f"remount,nr_inodes={files.f_files - files.f_ffree + left}", self.disk], check=True)
            answer = self.pull(self.name("library/stages"))
            if answer.lines[-1] == {"status": "success"}:
                break
            self.fails(answer, f"{self.disk}/.*: No space left on device$")
            check_store(self.disk)
            left_over = [os.path.join(folder, name) for folder, _, names in os.walk(self.disk) for name in names]
            self.assertEqual([name for name in left_over if "/manifests" in name and not name.endswith("/latest")], [])
            self.assertEqual([name for name in left_over if "/blobs/" in name and not re.fullmatch(
                "sha256-[0-9a-f]{64}(.tmp)?", os.path.basename(name))], [])
            failed += 1
        self.assertGreater(failed, 5)
        self.assertEqual(check_store(self.disk, self.proxy.host, "library/stages"), model.manifest)

    def test_full_while_writing(self):
        Model("full", [3 * MIB]).put(self.registry, "library/full")

        def rule(request):
            if request.is_blob:
                with open(os.path.join(self.disk, "filler"), "wb") as file:
                    file.write(b"x" * 2 * MIB)
            return None
        self.proxy.reset(rule)
        self.fails(self.pull(self.name("library/full")), f"^write {self.disk}/blobs/sha256-.*: No space left on device")
        self.assertEqual([name for name in os.listdir(os.path.join(self.disk, "blobs")) if len(name) == 71
                          and os.path.getsize(os.path.join(self.disk, "blobs", name)) > MIB], [])
        self.assertLessEqual(len(self.proxy.blob_requests()), 3)
        os.unlink(os.path.join(self.disk, "filler"))
        self.proxy.reset()
        self.succeeds(self.pull(self.name("library/full")))
        check_store(self.disk, self.proxy.host, "library/full")


if __name__ == "__main__":
    unittest.main()
