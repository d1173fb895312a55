"""POST /api/pull from Debian's registry, through a proxy that breaks things."""
import fcntl
import json
import os
import threading
import time

from gateway_test import read_until, wait_for
from transfer_test import Model, TransferTest, check_store, registry, unittest

MIB = 1 << 20


class Pull(TransferTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = Model("pull", [3 * MIB, 2 * MIB, 100000, 1, 70000]).put(cls.registry)

    def check_pulled(self):
        self.assertEqual(check_store(self.root, self.proxy.host), self.model.manifest)
        self.assertEqual(self.files(".tmp"), [])

    def test_lines(self):
        answer = self.pull()
        self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        lines = self.succeeds(answer)
        total = self.model.total
        self.assertEqual(lines[0], {"status": "pulling manifest"})
        self.assertEqual(lines[1], {"status": "pulling model", "digest": "sha256:model", "total": total})
        self.assertEqual(lines[-3:], [
            {"status": "pulling model", "digest": "sha256:model", "total": total, "completed": total},
            {"status": "writing manifest"}, {"status": "success"}])
        self.check_pulled()
        self.assertEqual(self.proxy.blob_bytes(), self.model.bytes)
        self.assertIn(self.name(), [m["name"] for m in self.gateway.get("/api/tags").json["models"]])

    def test_again(self):
        self.succeeds(self.pull())
        self.proxy.reset()
        self.assertEqual(self.succeeds(self.pull()), [{"status": "pulling manifest"}, {"status": "writing manifest"},
                                                      {"status": "success"}])
        self.assertEqual(self.proxy.blob_requests(), [])

    def test_one_object(self):
        answer = self.pull(stream=False)
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body),
                         (200, "application/json", b'{"status":"success"}'))
        answer = self.pull(self.name("library/none"), stream=False)
        self.assertEqual((answer.status, answer.error), (500, "pull model manifest: file does not exist"))

    def test_damaged_blob_is_repaired(self):
        self.succeeds(self.pull())
        path = os.path.join(self.root, "blobs", self.model.layers[0]["digest"].replace(":", "-"))
        with open(path, "r+b") as file:
            file.seek(1000)
            file.write(b"x")
        self.proxy.reset()
        self.succeeds(self.pull())
        self.check_pulled()
        self.assertEqual(len(self.proxy.blob_requests()), 1)

    def test_equal_layers_are_fetched_once(self):
        model = Model("equal", [MIB, 5000], repeats=4).put(self.registry, "library/equal")
        lines = self.succeeds(self.pull(self.name("library/equal")))
        self.assertEqual(lines[1]["total"], model.total)
        self.assertEqual(len(self.proxy.blob_requests()), len(model.blobs))

    def test_two_clients_fetch_once(self):
        self.proxy.reset(lambda request: {"pace": 0.01} if request.is_blob else None)
        for answer in self.at_once(*[self.pull] * 3):
            self.succeeds(answer)
        self.assertEqual(len(self.proxy.blob_requests()), len(self.model.blobs))
        self.check_pulled()

    def test_two_tags_fetch_once(self):
        """Two models at a time that share their large blobs."""
        one = Model("shared", [2 * MIB, 70000]).put(self.registry, "library/one")
        two = Model("shared", [2 * MIB, 70000, 5000]).put(self.registry, "library/two")
        self.proxy.reset(lambda request: {"pace": 0.01} if request.is_blob else None)
        names = ("library/one", "library/two")
        for answer in self.at_once(*[lambda name=name: self.pull(self.name(name)) for name in names]):
            self.succeeds(answer)
        asked = [request.path.rsplit("/", 1)[1] for request in self.proxy.blob_requests()]
        self.assertEqual(sorted(asked), sorted({**one.blobs, **two.blobs}))
        for name, model in zip(names, (one, two)):
            self.assertEqual(check_store(self.root, self.proxy.host, name), model.manifest)

    def test_cut_connections(self):
        cut = {}

        def rule(request):
            if not request.is_blob or cut.setdefault(request.path, 0) >= 2:
                return None
            cut[request.path] += 1
            return {"cut": 300000}
        self.proxy.reset(rule)
        lines = self.succeeds(self.pull())
        self.check_pulled()
        completed = [line.get("completed", 0) for line in lines if "digest" in line]
        self.assertEqual(completed, sorted(completed))
        self.assertLessEqual(self.proxy.blob_bytes(), self.model.bytes * 1.01)
        self.assertTrue(any("Range" in request.headers for request in self.proxy.requests))

    def test_ranges_ignored(self):
        seen = set()

        def rule(request):
            first = request.path not in seen
            seen.add(request.path)
            return {"ignore_range": True, "cut": 200000 if first else None} if request.is_blob else None
        self.proxy.reset(rule)
        self.succeeds(self.pull())
        self.check_pulled()

    def test_ranges_answered_with_others(self):
        """What does not go on where the blob ends is not read, however much it is; then all is asked for."""
        data = bytes(6 * MIB)
        Model("ranges", [3 * MIB]).put(self.registry, "library/ranges")

        def rule(request):
            if not request.is_blob:
                return None
            if "Range" not in request.headers:
                return {"cut": MIB} if len(self.proxy.blob_requests()) <= 4 else None
            return {"answer": (206, data, {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"})}
        self.proxy.reset(rule)
        self.succeeds(self.pull(self.name("library/ranges")))
        self.assertTrue(any("Range" in request.headers for request in self.proxy.requests))
        check_store(self.root, self.proxy.host, "library/ranges")

    def test_stalls(self):
        stalled = set()

        def rule(request):
            if request.path in stalled:
                return None
            stalled.add(request.path)
            return {"stall": 1024} if request.is_blob else {"hang": True}
        self.proxy.reset(rule)
        self.succeeds(self.pull())
        self.check_pulled()

    def test_always_stalling_ends(self):
        self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
        self.proxy.reset(lambda request: {"stall": 1024} if request.is_blob else None)
        self.fails(self.pull(), "^max retries exceeded: .*no data for 0.2 s")
        self.assertLessEqual(max(self.attempts().values()), 8)
        check_store(self.root)

    def test_corruption(self):
        seen = set()

        def rule(request):
            bad = request.is_blob and request.path not in seen
            seen.add(request.path)
            return {"corrupt": bad}
        self.proxy.reset(rule)
        self.succeeds(self.pull())
        self.check_pulled()
        self.gateway = self.serve()
        self.proxy.reset(lambda request: {"corrupt": request.is_blob})
        self.fails(self.pull(), "^max retries exceeded: digest mismatch")
        check_store(self.root)
        self.assertFalse(os.path.exists(os.path.join(self.root, "manifests", self.proxy.host)))

    def test_statuses(self):
        for status, tries in ((403, 1), (404, 1), (410, 1), (500, 8)):
            self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
            self.proxy.reset(lambda request, s=status: {"answer": (s, b"why not\n")} if request.is_blob else None)
            self.fails(self.pull(), f"status {status}: why not$")
            self.assertEqual(max(self.attempts().values()), tries)

    def test_retry_after(self):
        asked = {}

        def rule(request):
            times = asked.setdefault(request.path, [])
            times.append(time.monotonic())
            status = 503 if request.is_manifest else 429
            return {"answer": (status, b"", {"Retry-After": "1"})} if len(times) == 1 else None
        self.gateway = self.serve(EASEL_TRANSFER_STALL="5s")
        self.proxy.reset(rule)
        self.succeeds(self.pull())
        self.assertEqual(len(asked), len(self.model.blobs) + 1)
        for times in asked.values():
            self.assertEqual(len(times), 2)
            self.assertGreaterEqual(times[1] - times[0], 0.99)

    def test_progress_renews_patience(self):
        """A mebibyte an attempt goes on for ever; less than that does not."""
        Model("patience", [11 * MIB]).put(self.registry, "library/patience")
        self.proxy.reset(lambda request: {"cut": MIB + 100000} if request.is_blob else None)
        self.succeeds(self.pull(self.name("library/patience")))
        self.assertGreater(max(self.attempts().values()), 8)
        self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
        self.proxy.reset(lambda request: {"cut": 300000} if request.is_blob else None)
        self.fails(self.pull(self.name("library/patience")), "^max retries exceeded: ")
        self.assertLessEqual(max(self.attempts().values()), 8)

    def attempts(self):
        counts = {}
        for request in self.proxy.blob_requests():
            counts[request.path] = counts.get(request.path, 0) + 1
        return counts

    def test_redirects(self):
        store = registry.Proxy(self.registry)
        self.addCleanup(store.close)
        for status in (301, 302, 303, 307, 308):
            self.gateway = self.serve()
            store.reset()
            self.proxy.reset(lambda request, s=status: {"answer": (s, b"", {
                "Location": f"http://{store.host}{request.path}?sig=a%2Fb%20c"})} if request.is_blob else None)
            self.succeeds(self.pull())
            self.check_pulled()
            self.assertEqual(store.blob_bytes(), self.model.bytes)
            self.assertTrue(all(r.path.endswith("?sig=a%2Fb%20c") for r in store.requests))
            self.assertFalse(any("Authorization" in r.headers for r in store.requests))

    def test_bad_redirects(self):
        for status, headers, error in (
                *((status, {}, f"^status {status} without a Location$") for status in (301, 302, 303, 307, 308)),
                (307, {"Location": "ftp://x/y"}, "leads to no address"),
                (308, {"Location": "file:///etc/passwd"}, "leads to no address"),
                (303, {"Location": ""}, "leads to no address"), (302, {"Location": "http://"}, "leads to no address"),
                (301, {"Location": "/v2/library/m/blobs/x"}, "more than 10 redirects")):
            self.proxy.reset(lambda request, s=status, h=headers: {"answer": (s, b"", h)} if "/blobs/" in request.path
                             else None)
            self.fails(self.pull(), error)
        for status in (300, 304, 305):          # no answers of a registry, and not followed
            self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
            self.proxy.reset(lambda request, s=status: {"answer": (s, b"", {"Location": "/x"})} if request.is_blob else None)
            self.fails(self.pull(), f"^max retries exceeded: blob sha256:[0-9a-f]{{12}}: status {status}")

    def test_relative_redirect(self):
        """On the registry's own host, with what it is told."""
        self.proxy.reset(lambda request: {"answer": (307, b"", {"Location": request.path + "?again"})}
                         if request.is_blob and not request.path.endswith("?again") else None)
        self.succeeds(self.pull())
        self.check_pulled()
        self.assertEqual(self.proxy.blob_bytes(), self.model.bytes)

    def test_expired_redirect_is_resolved_again(self):
        store = registry.Proxy(self.registry)
        self.addCleanup(store.close)
        expired = set()

        def expire(request):
            new = request.path not in expired
            expired.add(request.path)
            return {"answer": (403, b"expired")} if new else None
        store.reset(expire)
        self.proxy.reset(lambda request: {"answer": (307, b"", {"Location": f"http://{store.host}{request.path}"})}
                         if request.is_blob else None)
        self.succeeds(self.pull())

    def test_manifests_that_are_none(self):
        good = self.model.layers[0]
        layer = '{"mediaType":"%s","digest":"%%s","size":%%s,"name":"%%s"}' % good["mediaType"]
        for body, error in ((b"{}", "no manifest"), (b"<html>", "no manifest"), (self.model.manifest[:-9], "no manifest"),
                            (b'{"schemaVersion":2,"layers":[]}', "no layers"),
                            *((('{"schemaVersion":2,"config":{},"layers":[%s]}' % (layer % row)).encode(), error)
                              for row, error in ((("sha256:../../../etc/passwd", 1, "a"), "invalid digest format"),
                                                 (("sha256:" + "a" * 63, 1, "a"), "invalid digest format"),
                                                 (("md5:" + "a" * 64, 1, "a"), "invalid digest format"),
                                                 (("sha256:" + "a" * 64, -1, "a"), "size"),
                                                 (("sha256:" + "a" * 64, 1 << 41, "a"), "terabyte"),
                                                 (("sha256:" + "a" * 64, 1, "x" * 600), "longer than 512"),
                                                 (("sha256:" + "a" * 64, 1, "../x"), "invalid layer name"))),
                            (b" " * (5 << 20), "too long")):
            self.proxy.reset(lambda request, b=body: {"answer": (200, b)})
            self.fails(self.pull(), "^pull model manifest: .*" + error)
            self.assertEqual((self.files(), self.proxy.blob_requests()), ([], []), body[:80])
        self.proxy.reset(lambda request: {"answer": (200, self.model.manifest, {
            "Docker-Content-Digest": "sha256:" + "0" * 64})})
        self.fails(self.pull(), "^pull model manifest: digest mismatch")

    def test_as_many_layers_as_there_may_be(self):
        """They cost no more than one after the other: all at once took 4 s of the loop, and 300 MB."""
        layers = [{"mediaType": "x", "digest": f"sha256:{i:064x}", "size": 5} for i in range(30000)]
        manifest = json.dumps({"schemaVersion": 2, "layers": layers}, separators=(",", ":")).encode()
        self.gateway = self.serve(EASEL_TRANSFER_STALL="60s")
        self.proxy.reset(lambda request: {"answer": (200, manifest)} if request.is_manifest else {"hang": True})
        sock = self.gateway.send("POST", "/api/pull", {"model": self.name(), "insecure": True})
        wait_for("blobs to be asked for", lambda: len(self.proxy.blob_requests()) == 4)
        with open(f"/proc/{self.gateway.process.pid}/schedstat", encoding="ascii") as file:
            took = int(file.read().split()[0]) / 1e9
        print(f"{took:.2f} s")
        self.assertLess(took, 2)
        sock.close()
        self.assertEqual(self.gateway.get("/api/version").status, 200)

    def test_another_process_frees_blobs(self):
        """A pull and a push wait for that; nobody else does."""
        self.succeeds(self.pull())
        self.gateway.post("/api/copy", {"source": self.name(), "destination": self.name("library/sent")})
        lock = open(os.path.join(self.root, ".easel-lock"), "rb")
        self.addCleanup(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.proxy.reset()
        answers = []
        threads = [threading.Thread(target=lambda a=ask: answers.append(a())) for ask in (
            self.pull, lambda: self.push(self.name("library/sent")))]
        for thread in threads:
            thread.start()
        gone = [self.gateway.send("POST", path, {"model": self.name(), "insecure": True}) for path in ("/api/pull", "/api/push")]
        for sock in gone:
            read_until(sock, b"ing manifest")
            sock.close()
        self.assertEqual(self.gateway.get("/api/version").status, 200)
        self.assertEqual(self.proxy.requests, [])
        fcntl.flock(lock, fcntl.LOCK_UN)
        for thread in threads:
            thread.join()
        for answer in answers:
            self.succeeds(answer)

    def test_manifest_statuses(self):
        for status, body, error, tries in ((404, b"", "file does not exist", 1), (400, b"bad\n", "400: bad", 1),
                                           (500, b"{}\n", "500: {}", 4)):
            self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
            self.proxy.reset(lambda request, s=status, b=body: {"answer": (s, b)})
            self.fails(self.pull(), f"^pull model manifest: {error}$")
            self.assertEqual(len(self.proxy.requests), tries)
        self.fails(self.pull(f"127.0.0.1:{registry.free_port()}/library/m"),
                   '^pull model manifest: GET "http://127.0.0.1:[0-9]+/v2/library/m/manifests/latest": connect: '
                   "connection refused$")

    def test_plain_http_is_for_near_hosts(self):
        """192.0.2.0/24 is nobody's."""
        self.fails(self.pull("192.0.2.1:5000/library/m"), "plain HTTP is only for this machine and its network")

    def test_credentials_are_not_for_the_request(self):
        for member in ("username", "password"):
            answer = self.pull(**{member: "x"})
            self.assertEqual((answer.status, answer.error),
                             (400, "username and password are not supported here; see docs/REGISTRIES.md"))

    def test_client_gone(self):
        self.proxy.reset(lambda request: {"stall": 500000, "hang": False} if request.is_blob else None)
        gateway = self.gateway = self.serve(EASEL_TRANSFER_STALL="30s")
        before = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        sock = gateway.send("POST", "/api/pull", {"model": self.name(), "insecure": True})
        wait_for("data on its way", lambda: self.proxy.blob_bytes() >= 1000000)
        sock.close()
        wait_for("files to be closed", lambda: not any(
            os.readlink(f"/proc/{gateway.process.pid}/fd/{fd}").endswith(".tmp")
            for fd in os.listdir(f"/proc/{gateway.process.pid}/fd")
            if os.path.islink(f"/proc/{gateway.process.pid}/fd/{fd}")))
        self.assertLessEqual(len(os.listdir(f"/proc/{gateway.process.pid}/fd")), before + 8)
        self.assertFalse(os.path.exists(os.path.join(self.root, "manifests", self.proxy.host)))
        had = sum(os.path.getsize(os.path.join(self.root, "blobs", name)) for name in self.files())
        self.assertGreater(had, 900000)
        self.proxy.reset()
        self.succeeds(self.pull())
        self.check_pulled()
        self.assertEqual(self.proxy.blob_bytes(), self.model.bytes - had)

    def rate(self, turn, unlimited):
        """Mebibytes a second of a pull and a push together, by what the proxy has seen move."""
        Model(f"in {turn}", [MIB] * 3).put(self.registry, f"library/in{turn}")
        Model(f"out {turn}", [MIB] * 2).put(self.registry, f"library/out{turn}")
        there, sent = self.name(f"library/out{turn}", host=self.registry.host), self.name(f"library/sent{turn}")
        self.succeeds(self.pull(there, unlimited))
        self.gateway.post("/api/copy", {"source": there, "destination": sent})
        self.proxy.reset()
        began = time.monotonic()
        push = threading.Thread(target=lambda: self.succeeds(self.push(sent)))
        push.start()
        self.succeeds(self.pull(self.name(f"library/in{turn}")))
        push.join()
        took, moved = time.monotonic() - began, self.proxy.blob_bytes() + self.proxy.upload_bytes()
        self.assertGreater(self.proxy.upload_bytes(), 2 * MIB)
        self.assertGreater(moved, 5 * MIB)
        return moved / took / MIB

    def test_rate(self):
        unlimited = self.gateway
        self.gateway = self.serve(EASEL_TRANSFER_RATE=str(2 * MIB), EASEL_MODELS=unlimited.store.root)
        for turn in range(5):           # slower may be the machine's fault, faster never is
            rate = self.rate(turn, unlimited)
            self.assertLess(rate, 2.2)
            if rate > 1.8:
                return
        self.fail(f"{rate:.3f} MiB/s")

    def test_pull_while_deleting(self):
        """What a pull has found must not be freed by the deletion of another model with the same blobs."""
        Model("pull", [3 * MIB, 2 * MIB, 100000, 1, 70000, 2000]).put(self.registry, "library/other")
        last = Model("pull", [3 * MIB, 2 * MIB, 100000, 1, 70000, 2000]).layers[5]["digest"]
        self.proxy.reset(lambda request: {"stall": 500} if last in request.path and not self.proxy.released.is_set()
                         else None)
        self.gateway = self.serve(EASEL_TRANSFER_STALL="30s")
        self.succeeds(self.pull())
        sock = self.gateway.send("POST", "/api/pull", {"model": self.name("library/other"), "insecure": True})
        wait_for("the last blob", lambda: any(last in r.path and r.sent for r in self.proxy.requests))
        self.assertEqual(self.gateway.request("DELETE", "/api/delete", {"model": self.name()}).status, 200)
        self.proxy.released.set()
        text = b""
        while b"success" not in text and b"error" not in text:
            text += sock.recv(65536)
        self.assertIn(b'{"status":"success"}', text)
        check_store(self.root, self.proxy.host, "library/other")


if __name__ == "__main__":
    unittest.main()
