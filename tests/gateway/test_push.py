"""POST /api/push to Debian's registry, through a proxy that breaks things."""
import hashlib
import json
import os

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
        self.place(model)
        cut = set()

        def rule(request):
            if request.method not in ("PATCH", "PUT") or request.is_manifest or request.method in cut:
                return None
            cut.add(request.method)
            return {"cut_upload": MIB}
        self.proxy.reset(rule)
        lines = self.succeeds(self.push(self.mine()))
        self.assertEqual(cut, {"PATCH", "PUT"})
        completed = [line.get("completed", 0) for line in lines if "digest" in line]
        self.assertEqual(completed, sorted(completed))
        self.check_pushed(model)

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
            self.gateway = self.serve(EASEL_TRANSFER_STALL="60ms")
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
        self.place(derived, self.repository + "b")
        self.proxy.reset()
        self.succeeds(self.push(self.mine(self.repository + "b")))
        self.assertEqual(self.proxy.upload_bytes(), model.config["size"] + len(derived.manifest))
        self.check_pushed(derived, self.repository + "b")

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
        self.assertEqual([(r.method, r.path, r.received) for r in store.requests],
                         [("PUT", "/part?sig=1", len(data))])

    def test_location_of_nowhere(self):
        model = self.make(1000)
        self.place(model)
        for headers in ({}, {"Location": "ftp://x/"}):
            self.proxy.reset(lambda request, h=headers: {"answer": (202, b"", h)} if request.method == "POST" else None)
            self.fails(self.push(self.mine()), "leads nowhere")


if __name__ == "__main__":
    unittest.main()
