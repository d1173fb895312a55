"""POST /api/push to Debian's registry, through a proxy that breaks things."""
import hashlib
import json
import os
import time

from transfer_test import Model, TransferTest, check_store, registry, unittest

MIB = 1 << 20


class Push(TransferTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.count = 0

    def setUp(self):
        super().setUp()
        type(self).count += 1
        self.repository = f"library/p{self.count}"

    def place(self, model, repository=None, host=None, manifest=None):
        """The model into the store, by hand."""
        for digest, data in model.blobs.items():
            with open(os.path.join(self.root, "blobs", digest.replace(":", "-")), "wb") as file:
                file.write(data)
        folder = os.path.join(self.root, "manifests", host or self.proxy.host, repository or self.repository)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "latest"), "wb") as file:
            file.write(manifest or model.manifest)

    def mine(self, repository=None):
        return self.name(repository or self.repository)

    def check_pushed(self, model, repository=None):
        """Another gateway gets it back from the registry itself."""
        repository = repository or self.repository
        gateway = self.serve()
        self.succeeds(self.pull(self.name(repository, host=self.registry.host), gateway))
        self.assertEqual(check_store(gateway.store.root, self.registry.host, repository), model.manifest)

    def make(self, *sizes):
        return Model(self.id(), sizes or (2 * MIB, 300000, 5, 5000))

    def test_lines(self):
        model = self.make()
        self.place(model)
        lines = self.succeeds(self.push(self.mine()))
        total = model.total
        self.assertEqual(lines[0], {"status": "retrieving manifest"})
        self.assertEqual(lines[1], {"status": "pushing model", "digest": "sha256:model", "total": total})
        self.assertEqual(lines[-2:], [{"status": "pushing model", "digest": "sha256:model", "total": total,
                                       "completed": total}, {"status": "success"}])
        self.check_pushed(model)
        self.assertEqual(self.proxy.upload_bytes(), model.bytes + len(model.manifest))
        self.proxy.reset()
        self.succeeds(self.push(self.mine()))
        self.assertEqual(self.proxy.upload_bytes(), len(model.manifest))

    def test_large_blob_is_streamed(self):
        model = self.make(65 * MIB)
        self.place(model)
        self.succeeds(self.push(self.mine()))
        methods = [request.method for request in self.proxy.requests]
        self.assertEqual(methods.count("PATCH"), 1)
        self.check_pushed(model)

    def test_missing_model(self):
        answer = self.push(self.mine("library/none"))
        self.assertEqual(answer.lines[1], {"status": "couldn't retrieve manifest"})
        self.assertRegex(answer.lines[2]["error"], "^model '.*library/none:latest' not found$")
        self.assertEqual(self.proxy.requests, [])

    def test_missing_or_short_blob(self):
        model = self.make()
        self.place(model)
        path = os.path.join(self.root, "blobs", model.layers[0]["digest"].replace(":", "-"))
        os.truncate(path, 5)
        self.fails(self.push(self.mine()), "has 5 bytes, the manifest says")
        os.unlink(path)
        self.fails(self.push(self.mine()), "blob sha256:[0-9a-f]{64} is missing")

    def test_traversal(self):
        """A crafted manifest must not upload a file from outside of the store."""
        secret = os.path.join(self.gateway.folder, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret")
        model = self.make()
        for digest in ("sha256:x/../../../secret", "sha256:../../secret", "../secret"):
            manifest = json.loads(model.manifest)
            manifest["layers"][0].update(digest=digest, size=6)
            self.place(model, manifest=json.dumps(manifest).encode())
            self.fails(self.push(self.mine()), "invalid digest format")
        path = os.path.join(self.root, "blobs", model.layers[0]["digest"].replace(":", "-"))
        os.unlink(path)
        os.symlink(secret, path)
        self.place(Model("no", []), "library/unused")
        folder = os.path.join(self.root, "manifests", self.proxy.host, self.repository, "latest")
        with open(folder, "wb") as file:
            file.write(model.manifest)
        self.fails(self.push(self.mine()), "is no regular file")
        self.assertEqual(self.proxy.upload_bytes(), 0)

    def test_cut_uploads(self):
        model = self.make(65 * MIB, 2 * MIB)
        self.gateway = self.serve(EASEL_TRANSFER_STALL="5s")
        self.place(model)
        cut = set()

        def rule(request):
            if request.method in cut or int(request.headers.get("Content-Length") or 0) <= MIB:
                return None
            cut.add(request.method)
            return {"cut_upload": MIB}
        self.proxy.reset(rule)
        lines = self.succeeds(self.push(self.mine()))
        self.assertEqual(cut, {"PATCH", "PUT"})
        completed = [line.get("completed", 0) for line in lines if "digest" in line]
        self.assertEqual(completed, sorted(completed))
        self.check_pushed(model)
        # A session that broke is lost: two blobs have two, and nothing is sent to a lost one.
        sessions = sum(request.method == "POST" for request in self.proxy.requests)
        self.assertEqual(sessions, len(model.blobs) + 2)
        self.assertLessEqual(self.proxy.upload_bytes(), model.bytes + 3 * MIB)

    def test_nobody_there(self):
        """Whom nobody has ever met is not waited for; who answered once is."""
        model = self.make(1000)
        host = f"127.0.0.1:{registry.free_port()}"
        self.gateway = self.serve(EASEL_TRANSFER_STALL="20m")
        self.place(model, host=host)
        began = time.monotonic()
        self.fails(self.push(self.name(self.repository, host=host)), "connect: connection refused$")
        self.fails(self.push(self.name(self.repository, host=host), insecure=False), "connect: connection refused$")
        self.place(model)
        self.fails(self.push(self.mine(), insecure=False), "insecure is for a registry of plain HTTP")
        self.assertLess(time.monotonic() - began, 30)           # the first wait is of a minute

    def test_always_stalling_ends(self):
        model = self.make(1000)
        self.place(model)
        self.gateway = self.serve(EASEL_TRANSFER_STALL="100ms")
        self.place(model)
        self.proxy.reset(lambda request: {"hang": True} if request.method == "POST" else None)
        self.fails(self.push(self.mine()), "^max retries exceeded: .*no answer for")
        tries = sum(r.method == "POST" for r in self.proxy.requests)
        self.assertGreaterEqual(tries, 8)
        self.assertLessEqual(tries, 8 * len(model.blobs))

    def test_stalls(self):
        model = self.make()
        self.place(model)
        stalled = set()

        def rule(request):
            kind = (request.method, request.is_manifest)
            if kind in stalled or request.method == "PUT":
                return None
            stalled.add(kind)
            return {"hang": True}
        self.proxy.reset(rule)
        self.succeeds(self.push(self.mine()))
        self.check_pushed(model)

    def test_statuses(self):
        """Per request: how often it is sent when it is answered so, and whether the push fails."""
        model = self.make(70000)
        for method, status, tries in (("HEAD", 500, 8), ("HEAD", 403, 1), ("POST", 500, 8), ("POST", 403, 1),
                                      ("PUT", 400, 1), ("PUT", 500, 8)):
            self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
            self.place(model)
            self.proxy.reset(lambda request, m=method, s=status: {"answer": (s, b"no\n")} if request.method == m
                             and not request.is_manifest else None)
            self.fails(self.push(self.mine()), f"status {status}")
            counts = {}
            for request in self.proxy.requests:
                if request.method == method:
                    path = request.path.split("?")[0] if method == "HEAD" else method
                    counts[path] = counts.get(path, 0) + 1
            self.assertLessEqual(max(counts.values()), tries * (1 if method == "HEAD" else len(model.blobs)))
            self.assertGreaterEqual(max(counts.values()), tries)

    def test_manifest_is_put_again(self):
        model = self.make(1000)
        self.place(model)
        seen = []

        def rule(request):
            if request.is_manifest:
                seen.append(request)
                return {"answer": (503, b"")} if len(seen) == 1 else None
            return None
        self.proxy.reset(rule)
        self.succeeds(self.push(self.mine()))
        self.assertEqual(len(seen), 2)
        self.check_pushed(model)
        self.proxy.reset(lambda request: {"answer": (400, b"no")} if request.is_manifest else None)
        self.fails(self.push(self.mine()), "^push model manifest: 400: no$")
        self.assertEqual(sum(request.is_manifest for request in self.proxy.requests), 1)

    def test_mount(self):
        model = self.make()
        self.place(model)
        self.succeeds(self.push(self.mine()))
        manifest = json.loads(model.manifest)
        for layer in manifest["layers"]:
            layer["from"] = self.mine()
        derived = Model(self.id(), (2 * MIB, 300000, 5, 5000))
        derived.manifest = json.dumps(manifest).encode()
        self.gateway = self.serve()             # whose store knows of no other tag
        self.place(derived, self.repository + "b")
        self.proxy.reset()
        self.succeeds(self.push(self.mine(self.repository + "b")))
        self.assertEqual(self.proxy.upload_bytes(), model.config["size"] + len(derived.manifest))
        self.check_pushed(derived, self.repository + "b")

    def test_copy_is_mounted(self):
        """A copy says nothing of where it came from; the store's other tag does."""
        model = self.make()
        self.place(model)
        self.succeeds(self.push(self.mine()))
        copy = self.repository + "copy"
        self.assertEqual(self.gateway.post("/api/copy", {"source": self.mine(), "destination": self.mine(copy)}).status, 200)
        self.proxy.reset()
        self.succeeds(self.push(self.mine(copy)))
        self.assertLessEqual(self.proxy.upload_bytes(), model.config["size"] + len(model.manifest))
        self.check_pushed(model, copy)

    def test_mount_forbidden(self):
        """Who may not read the other repository sends the blobs."""
        model = self.make()
        self.place(model)
        self.place(model, "library/secret")
        self.proxy.reset(lambda request: {"answer": (403, b"no")} if "mount=" in request.path else None)
        self.succeeds(self.push(self.mine()))
        self.assertTrue(any("from=library/secret" in request.path for request in self.proxy.requests))
        self.check_pushed(model)

    def test_mount_refused(self):
        """202 instead of 201: the session is used."""
        model = self.make()
        manifest = json.loads(model.manifest)
        for layer in manifest["layers"]:
            layer["from"] = self.mine("library/nowhere")
        model.manifest = json.dumps(manifest).encode()
        self.place(model)
        self.succeeds(self.push(self.mine()))
        self.check_pushed(model)
        self.assertTrue(any("mount=" in request.path for request in self.proxy.requests))

    def know_ollama(self):
        folder = os.path.join(self.gateway.folder, ".config", "easel")
        os.makedirs(folder)
        with open(os.path.join(folder, "registries.json"), "w", encoding="utf-8") as file:
            json.dump({self.proxy.host: {"ollama": True}}, file)

    def test_direct_upload(self):
        """The public registry's way: the body goes to a signed address, then the session is committed."""
        store, stored = registry.Proxy(self.registry), {}
        self.addCleanup(store.close)
        model = self.make(2 * MIB, 5)
        self.place(model)
        self.know_ollama()
        store.reset(lambda request: {"answer": (200, b"")})

        def rule(request):
            if request.method == "POST":
                digest = request.path.rsplit("=", 1)[1]
                stored[digest] = request.headers["X-Content-Length"]
                return {"answer": (202, b"", {
                    "Location": f"http://{self.proxy.host}/session/{digest}?x=y",
                    "X-Direct-Upload-URL": f"http://{store.host}/put/{digest}?sig=a%2Fb",
                    "X-Signed-Header-Content-Type": "text/x", "X-Signed-Header-X-Sum": "17"})}
            return {"answer": (404 if request.method == "HEAD" else 201, b"")}
        self.proxy.reset(rule)
        self.succeeds(self.push(self.mine()))
        self.assertEqual(stored, {digest: str(len(data)) for digest, data in model.blobs.items()})
        self.assertEqual({r.path: r.headers["Content-Length"] for r in store.requests},
                         {f"/put/{digest}?sig=a%2Fb": size for digest, size in stored.items()})
        for request in store.requests:
            self.assertEqual((request.method, request.headers["Content-Type"], request.headers["X-Sum"],
                              "Authorization" in request.headers), ("PUT", "text/x", "17", False))
            self.assertNotIn("Expect", request.headers)
        commits = {r.path for r in self.proxy.requests if r.path.startswith("/session/")}
        self.assertEqual(commits, {f"/session/{digest}?x=y&digest={digest}" for digest in stored})

    def test_redirected_part(self):
        """307 to a PATCH: the part goes there by PUT, and its MD5 into the end."""
        store = registry.Proxy(self.registry)
        self.addCleanup(store.close)
        model = self.make(65 * MIB)
        self.place(model)
        self.know_ollama()
        store.reset(lambda request: {"answer": (200, b"")})

        def rule(request):
            if request.method == "POST":
                return {"answer": (202, b"", {"Location": "/session/1"})}
            if request.method == "PATCH":
                return {"early": True, "answer": (307, b"", {"Location": f"http://{store.host}/part?sig=1",
                                                             "Docker-Upload-Location": "/session/2"})}
            return {"answer": (404 if request.method == "HEAD" else 201, b"")}
        self.proxy.reset(rule)
        self.succeeds(self.push(self.mine()))
        data = max(model.blobs.values(), key=len)
        etag = hashlib.md5(hashlib.md5(data).digest()).hexdigest() + "-1"
        digest = model.layers[0]["digest"]
        self.assertIn(f"/session/2?digest={digest}&etag={etag}", [r.path for r in self.proxy.requests])
        self.assertEqual([r.received for r in self.proxy.requests if r.method == "PATCH" and len(data) == int(
            r.headers["Content-Length"])], [0])
        self.assertEqual([(r.method, r.path, r.received) for r in store.requests if r.received > MIB],
                         [("PUT", "/part?sig=1", len(data))])

    def test_parts(self):
        """The public registry's way with large blobs: one taken, one that goes elsewhere, one that fails first."""
        store = registry.Proxy(self.registry)
        self.addCleanup(store.close)
        model = self.make(201 * MIB)
        data = max(model.blobs.values(), key=len)
        parts = [data[at:at + 100 * MIB] for at in range(0, len(data), 100 * MIB)]
        self.place(model)
        self.know_ollama()
        # The last part is refused once, where it is told to go.
        store.reset(lambda request: {"answer": (500 if len(store.requests) == 2 else 200, b"")})

        def rule(request):
            if request.method == "POST":
                large = request.headers["X-Content-Length"] == str(len(data))
                return {"answer": (202, b"", {"Docker-Upload-Location": "/large/0" if large else "/small/0"})}
            if request.method == "PATCH":
                _, kind, number = request.path.split("/")
                if kind == "small" or number == "0":
                    return {"answer": (202, b"", {"Location": f"/{kind}/{int(number) + 1}"})}
                return {"early": True, "answer": (307, b"", {
                    "Location": f"http://{store.host}/part/{number}", "Docker-Upload-Location": f"/large/{int(number) + 1}"})}
            return {"answer": (404 if request.method == "HEAD" else 201, b"")}
        self.proxy.reset(rule)
        self.succeeds(self.push(self.mine()))
        patches = [r for r in self.proxy.requests if r.path.startswith("/large/") and r.method == "PATCH"]
        ends, ranges = 0, []
        for part in parts:
            ranges.append(f"{ends}-{ends + len(part) - 1}")
            ends += len(part)
        self.assertEqual([r.headers["Content-Range"] for r in patches], [*ranges, ranges[-1]])
        self.assertEqual([r.path for r in patches], ["/large/0", "/large/1", "/large/2", "/large/2"])
        # Bodies go where they are taken, and nowhere else.
        self.assertEqual([r.received for r in patches], [len(parts[0]), 0, 0, 0])
        self.assertEqual([(r.path, r.received) for r in store.requests],
                         [("/part/1", len(parts[1])), ("/part/2", len(parts[2])), ("/part/2", len(parts[2]))])
        sums = [hashlib.md5(part).digest() for part in parts]
        self.assertEqual([patches[0].md5, *(r.md5 for r in store.requests)], [*sums, sums[2]])
        etag = hashlib.md5(b"".join(sums)).hexdigest() + "-3"
        self.assertIn(f"/large/3?digest={model.layers[0]['digest']}&etag={etag}", [r.path for r in self.proxy.requests])

    def test_part_session_lost(self):
        """A part that fails three times, or whose session is gone, takes a new session."""
        model = self.make(2 * MIB)
        self.know_ollama()
        for status, tries in ((500, 3), (404, 1)):
            self.place(model)
            seen = []

            def rule(request):
                if request.method == "POST":
                    return {"answer": (202, b"", {"Location": f"/session/{request.path[-9:]}"})}
                if request.method == "PATCH" and int(request.headers["Content-Length"]) > 2 * MIB:
                    seen.append(request)
                    return {"answer": (status if len(seen) <= tries else 202, b"", {"Location": "/session/end"})}
                return {"answer": {"HEAD": (404, b""), "PATCH": (202, b"", {"Location": "/session/x"})}.get(
                    request.method, (201, b""))}
            self.proxy.reset(rule)
            self.succeeds(self.push(self.mine()))
            self.assertEqual(len(seen), tries + 1)
            self.assertEqual(sum(r.method == "POST" for r in self.proxy.requests), len(model.blobs) + 1)

    def test_always_failing_late_ends(self):
        """What was sent before is no progress when it is sent again for a session that fails later."""
        model = self.make(1000)
        self.gateway = self.serve(EASEL_TRANSFER_STALL="200ms")
        self.place(model)
        self.know_ollama()
        self.proxy.reset(lambda request: {"answer": {
            "HEAD": (404, b""), "POST": (202, b"", {"Location": "/session/0"}), "PATCH": (202, b"", {
                "Location": "/session/1"}), "PUT": (500, b"no")}[request.method]})
        self.fails(self.push(self.mine()), "^max retries exceeded: .*status 500: no$")
        self.assertLessEqual(sum(r.method == "POST" for r in self.proxy.requests), 8 * len(model.blobs))

    def test_no_word_before_the_body(self):
        """Nobody says "100 Continue": a second later the body is sent anyhow."""
        model = self.make(2 * MIB)
        self.place(model)
        self.know_ollama()
        took = []

        def rule(request):
            if request.method == "PATCH" and request.headers.get("Expect"):
                took.append(request)
                return {"mute": True, "answer": (202, b"", {"Location": "/session/1"})}
            return {"answer": {"POST": (202, b"", {"Location": "/session/0"}), "HEAD": (404, b""),
                               "PATCH": (202, b"", {"Location": "/session/1"})}.get(request.method, (201, b""))}
        self.gateway = self.serve(EASEL_TRANSFER_STALL="1m")
        self.place(model)
        self.know_ollama()
        self.proxy.reset(rule)
        began = time.monotonic()
        self.succeeds(self.push(self.mine()))
        self.assertEqual([r.received for r in took], [len(max(model.blobs.values(), key=len))])
        self.assertGreater(time.monotonic() - began, 0.9)
        self.assertLess(time.monotonic() - began, 25)

    def test_location_of_nowhere(self):
        model = self.make(1000)
        self.place(model)
        for headers in ({}, {"Location": "ftp://x/"}):
            self.proxy.reset(lambda request, h=headers: {"answer": (202, b"", h)} if request.method == "POST" else None)
            self.fails(self.push(self.mine()), "leads nowhere")


if __name__ == "__main__":
    unittest.main()
