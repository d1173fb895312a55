"""POST /api/create: what reaches the importer, progress lines, errors, clients that leave."""
import time

from gateway_test import GatewayTest, read_until, unittest, wait_for


class Create(GatewayTest):
    def create(self, model="new", stream=True, **members):
        return self.gateway.post("/api/create", {"model": model, "from": "/tmp", "stream": stream, **members})

    def test_stream(self):
        answer = self.create()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/x-ndjson"))
        self.assertEqual(answer.lines[0]["status"], "importing transformer/model.safetensors (7 tensors)")
        self.assertEqual(answer.lines[-3:], [
            {"status": "importing transformer/model.safetensors (7 tensors)", "total": 200, "completed": 200},
            {"status": "writing manifest for x"}, {"status": "success"}])
        self.assertTrue(answer.body.endswith(b'{"status":"success"}\n'))

    def test_at_most_ten_lines_a_second(self):
        began = time.monotonic()
        lines = self.create().lines
        self.assertLess(len(lines), 6 + 10 * (time.monotonic() - began))

    def test_one_object(self):
        answer = self.create(stream=False)
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body),
                         (200, "application/json", b'{"status":"success"}'))

    def test_failures(self):
        answer = self.create("bad-import")
        self.refused(answer, 400, "no vae here")
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        answer = self.create("late-import")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.lines[-1], {"error": "No space left on device"})
        self.refused(self.create("late-import", stream=False), 500, "No space left on device")

    def test_requests(self):
        post = self.gateway.post
        self.refused(post("/api/create", b""), 400, "missing request body")
        self.refused(post("/api/create", {}), 400, "invalid model name")
        self.refused(post("/api/create", {"model": "a b", "from": "/tmp"}), 400, "invalid model name")
        self.refused(post("/api/create", {"model": "a"}), 400, "neither 'from' or 'files' was specified")
        self.refused(post("/api/create", {"model": "a", "from": "b c"}), 400, "invalid model name")
        digest = "sha256:" + "0" * 64
        for files in ({"x": digest}, {"model_index.json": digest}, {"model.safetensors.txt": digest}):
            self.refused(post("/api/create", {"model": "a", "files": files}), 400, "unknown type")
        both = {"model": "a", "from": "ok", "files": {"x.gguf": digest}}
        self.refused(post("/api/create", both), 400, "a model is made from 'from' or from 'files', not from both")
        many = {f"x{i}.safetensors": digest for i in range(4097)}
        self.assertIn("4097 members", post("/api/create", {"model": "a", "files": many}).error)
        for path in ("/x", "../x", "a/../x", "..", "a\\..\\x", "c:x", "", ".", "./x", "a/./x", "a//x", "a/", "a/.."):
            self.refused(post("/api/create", {"model": "a", "files": {path: digest}}), 400, "file path must be relative")
        for bad in ("", "sha256:1", "md5:x"):
            self.refused(post("/api/create", {"model": "a", "files": {"x": bad}}), 400, "invalid digest format")
        self.refused(self.create(quantize="q5"), 400, 'unsupported --quantize "q5": supported types are int4, int8, '
                     "nvfp4, mxfp4, mxfp8, fp8")
        self.refused(self.create(info={"model_family": 3}), 400, 'info field "model_family" must be a string')
        self.refused(self.create(info={"capabilities": "x"}), 400, 'info field "capabilities" must be an array')
        self.refused(self.create(info={"context_length": "x"}), 400, 'info field "context_length" must be a number')
        for number in (-1, 1.5):
            self.refused(self.create(info={"embedding_length": number}), 400,
                         'info field "embedding_length" must be a non-negative integer')
        self.assertEqual(self.create(quantize="FP8", info={"parameter_size": "1B"}, stream=False).status, 200)
        for member, value in (("files", []), ("parameters", "x"), ("license", 5), ("license", [5]), ("from", 1)):
            answer = self.create(**{member: value})
            self.assertEqual(answer.status, 400, member)
            self.assertIn(member, answer.error)

    def test_from_files(self):
        files = {"model_index.json": "sha256-" + "AB" * 32, "vae/x.safetensors": "sha256:" + "0" * 64}
        self.assertEqual(self.gateway.post("/api/create", {"model": "new", "files": files}).lines[-1], {"status": "success"})
        # The importer says what it was given.
        self.assertEqual(self.gateway.post("/api/create", {"model": "bad-import", "files": files}).error,
                         "no vae here: model_index.json is sha256:" + "ab" * 32)

    def test_from_a_model(self):
        self.assertEqual(self.gateway.post("/api/create", {"name": "new", "from": "ok", "stream": False}).status, 200)

    def test_one_import_of_a_name_at_a_time(self):
        sock = self.gateway.send("POST", "/api/create", {"model": "held-import", "from": "/tmp"})
        read_until(sock, b'"completed":200')
        self.refused(self.create("HELD-import"), 503, "model 'HELD-import:latest' is being created by another request")
        sock.close()
        wait_for("the importer to end", lambda: not self.gateway.runners())

    def test_client_gone_ends_the_import(self):
        for stream in (True, False):
            sock = self.gateway.send("POST", "/api/create", {"model": "held-import", "from": "/tmp", "stream": stream})
            wait_for("the importer", self.gateway.runners)
            sock.close()
            wait_for("the importer to end", lambda: not self.gateway.runners())

    def test_replaced_model_leaves_memory(self):
        self.gateway.store.model("again")
        self.gateway.post("/api/generate", {"model": "again"})
        self.assertEqual([m["name"] for m in self.gateway.ps()], ["again:latest"])
        self.assertEqual(self.create("again").status, 200)
        wait_for("the runner to end", lambda: not self.gateway.ps())


if __name__ == "__main__":
    unittest.main()
