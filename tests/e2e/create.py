"""Models made at the boundary: of files that were sent, two at once, over a loaded name, and
after a client that left half-way."""
import base64
import hashlib
import os
import shutil
import tempfile
import threading
import unittest

from harness import DEMO, EaselTest, psnr, read_file, read_until, wait_for
from store import tensors, write_gguf

MODEL = os.path.join(os.path.abspath(DEMO), "model")
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
INDEX, CONFIG = "model_index.json", "vae/config.json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class CreateTest(EaselTest):
    def folder(self):
        """A copy of the demo model to change."""
        folder = tempfile.mkdtemp(prefix="easel-create-")
        self.addCleanup(shutil.rmtree, folder)
        return shutil.copytree(MODEL, os.path.join(folder, "model"))

    def digest(self, model):
        (found,) = [entry["digest"] for entry in self.server.get("/api/tags").json["models"]
                    if entry["name"] == model + ":latest"]
        return found

    def path_of(self, digest):
        return os.path.join(self.server.store, "blobs", digest.replace(":", "-"))

    def verified(self, model):
        done = self.server.cli("verify", model)
        self.assertEqual((done.returncode, done.stdout), (0, f"verified '{model}'\n"), done.stderr)


class Uploaded(CreateTest):
    """A server that cannot see the folder gets the files, and makes the same model of them."""

    def send(self, folder=MODEL):
        """Every file as a blob; path -> digest."""
        files = {}
        for parent, _, names in os.walk(folder):
            for name in names:
                data = read_file(parent, name)
                path = os.path.relpath(os.path.join(parent, name), folder)
                files[path] = sha256(data)
                self.assertIn(self.server.request("POST", "/api/blobs/" + files[path], data).status, (200, 201))
        return files

    def create(self, model, files, **members):
        return self.server.post("/api/create", {"model": model, "files": files, "stream": False, **members})

    def refused(self, answer, *texts):
        self.assertEqual(answer.status, 400, answer.body)
        for text in texts:
            self.assertIn(text, answer.error)

    def test_by_the_command_line(self):
        folder = self.folder()
        with open(os.path.join(folder, "LICENSE"), "w", encoding="utf-8") as file:
            file.write("Take it.\n")
        result = self.server.cli("create", "sent", folder, "--upload")
        self.assertEqual((result.returncode, result.stdout), (0, "Created image generation model 'sent'\n"),
                         result.stderr + self.server.log()[-3000:])
        self.assertIn("sending " + WEIGHTS, result.stderr)
        self.server.create("seen", folder)
        self.assertEqual(self.digest("sent"), self.digest("seen"))
        self.assertEqual(self.server.cli("show", "sent", "--license").stdout.strip(), "Take it.")
        # The weights became tensors, what they came in is gone; a config is a layer itself.
        self.assertFalse(os.path.exists(self.path_of(sha256(read_file(folder, WEIGHTS)))))
        self.assertTrue(os.path.exists(self.path_of(sha256(read_file(folder, CONFIG)))))
        self.verified("sent")

    def test_no_file(self):
        """A pipe that nobody writes is refused, not waited for."""
        folder = self.folder()
        os.mkfifo(os.path.join(folder, "vae", "odd.json"))
        result = self.server.cli("create", "piped", folder, "--upload")
        self.assertEqual(result.returncode, 1)
        self.assertIn("vae/odd.json is not a regular file", result.stderr)

    def test_quantised(self):
        answer = self.create("sent4", self.send(), quantize="Q4")
        self.assertEqual((answer.status, answer.body), (200, b'{"status":"success"}'))
        self.server.create("seen4", MODEL, quantize="q4")
        self.assertEqual(self.digest("sent4"), self.digest("seen4"))

    def test_what_somebody_else_sent_again_stays(self):
        files = self.send()
        path = self.path_of(files[WEIGHTS])
        os.utime(path, (os.stat(path).st_mtime + 1000,) * 2)
        self.assertEqual(self.create("claimed", files).status, 200)
        self.assertTrue(os.path.exists(path))
        os.utime(path, (0, 0))
        self.assertEqual(self.create("claimed", {**files, **self.send()}).status, 200)
        self.assertFalse(os.path.exists(path))

    def test_gguf(self):
        folder = self.folder()
        write_gguf(os.path.join(folder, "x.gguf"), {
            name.split("/", 1)[1]: value for name, value in tensors(folder).items() if name.startswith("transformer/")})
        modelfile = os.path.join(folder, "Modelfile")
        with open(modelfile, "w", encoding="utf-8") as file:
            file.write("FROM ./x.gguf\n")
        for name, flags in (("sent-gguf", ["--upload"]), ("seen-gguf", [])):
            result = self.server.cli("create", name, "-f", modelfile, *flags)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.digest("sent-gguf"), self.digest("seen-gguf"))
        files = self.send(folder)
        self.refused(self.create("two", {**files, "y.gguf": files["x.gguf"]}), "which GGUF file", "x.gguf", "y.gguf")

    def test_refused(self):
        files, nothing = self.send(), "sha256:" + "ab" * 32
        self.refused(self.create("a", {**files, WEIGHTS: nothing}), "1 of the ", WEIGHTS, nothing, "/api/blobs")
        self.refused(self.create("a", {**files, "vae/x.json": nothing, WEIGHTS: nothing}), "2 of the ", "vae/x.json")
        with open(self.path_of(files[WEIGHTS]), "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        self.refused(self.create("a", files), "1 of the ", WEIGHTS, files[WEIGHTS])
        self.assertEqual(self.server.request("HEAD", "/api/blobs/" + files[WEIGHTS]).status, 404)
        self.send()                                     # again what is not whole
        self.refused(self.create("a", {path: digest for path, digest in files.items() if path != INDEX}),
                     "needs config.json", INDEX)
        self.refused(self.create("a", {path: digest for path, digest in files.items() if path[:4] != "vae/"}),
                     'lists "vae"')
        self.refused(self.create("a", {**files, CONFIG: files[WEIGHTS]}), CONFIG)
        self.refused(self.create("a", files, **{"from": "demo"}), "not from both")
        self.assertFalse(any(entry["name"] == "a:latest" for entry in self.server.get("/api/tags").json["models"]))
        # What was sent is still there for another try.
        self.assertEqual(self.create("b", files).status, 200)

    def test_an_upload_keeps_nobody_from_freeing(self):
        self.server.create("old", MODEL, system="only here")
        path = self.path_of(sha256(b"only here"))
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.server.request("POST", "/api/blobs/" + sha256(b"y"), b"y").status, 201)
        self.server.create("old", MODEL, system="other")
        self.assertFalse(os.path.exists(path))


class Folder(CreateTest):
    def picture(self, model):
        answer = self.server.post("/v1/images/generations", {
            "model": model, "prompt": "a white cat", "size": "128x128", "steps": 4, "seed": 2})
        self.assertEqual(answer.status, 200, answer.body)
        return base64.b64decode(answer.json["data"][0]["b64_json"])

    def test_two_at_once(self):
        """No file is shared on the way: each is what it is alone."""
        answers = {}

        def create(quantize):
            answers[quantize] = self.server.post("/api/create", {
                "model": "at-once-" + quantize, "from": MODEL, "quantize": quantize, "stream": False})
        threads = [threading.Thread(target=create, args=[quantize]) for quantize in ("int8", "mxfp4")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for quantize, answer in answers.items():
            self.assertEqual((answer.status, answer.body), (200, b'{"status":"success"}'), quantize)
            self.verified("at-once-" + quantize)
            self.server.create("alone-" + quantize, MODEL, quantize=quantize)
            self.assertEqual(self.digest("at-once-" + quantize), self.digest("alone-" + quantize))

    def test_over_a_loaded_name(self):
        self.server.create("loaded", MODEL)
        first = self.picture("loaded")
        self.server.create("loaded", MODEL, quantize="int4")
        second = self.picture("loaded")
        (entry,) = [entry for entry in self.server.get("/api/ps").json["models"] if entry["name"] == "loaded:latest"]
        self.assertEqual(entry["digest"], self.digest("loaded"))
        self.assertNotEqual(psnr(first, second), float("inf"))
        self.server.create("int4", MODEL, quantize="int4")
        self.assertEqual(psnr(second, self.picture("int4")), float("inf"))

    def files(self):
        """Blobs by name: a blob that is written anew is another file."""
        return {name: os.stat(os.path.join(self.server.store, "blobs", name)).st_ino for name in self.server.blobs()}

    @staticmethod
    def imports(pid):
        try:
            return b"--import" in read_file(f"/proc/{pid}/cmdline")
        except FileNotFoundError:
            return False

    def test_goes_on_after_a_client_that_left(self):
        folder, before = self.folder(), self.files()
        weights = os.path.join(folder, WEIGHTS)
        with open(weights, "r+b") as file:              # tensors that the store does not know yet
            length = int.from_bytes(file.read(8), "little")
            data = bytearray(file.read())
            data[length:] = bytes(byte ^ 1 if i % 2 == 0 else byte for i, byte in enumerate(data[length:]))
            file.seek(8)
            file.write(data)
        sock = self.server.open_request("/api/create", {"model": "half", "from": folder})
        read_until(sock, b"importing vae/")
        sock.close()
        wait_for("the importer to end", lambda: not any(map(self.imports, self.server.runners())))
        left = {name: inode for name, inode in self.files().items() if name not in before}
        self.assertGreater(len(left), 50)
        self.server.create("half", folder)
        now = self.files()
        # But for those that were just being put on record as whole when the importer ended.
        self.assertLessEqual(len([name for name in left if now[name] != left[name]]), 4)
        self.verified("half")

    def test_license_and_index_fields(self):
        folder = self.folder()
        for name, text in (("LICENSE.md", "First."), ("LICENSE-code", "Second.")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self.server.create("licensed", folder)
        shown = self.server.post("/api/show", {"model": "licensed"}).json
        self.assertEqual(shown["license"], "Second.\nFirst.")
        counts = {component: 0 for component in ("text_encoder", "transformer", "vae")}
        for name, (_, shape, _) in tensors(folder).items():
            product = 1
            for side in shape:
                product *= side
            counts[name.split("/")[0]] += product
        self.assertEqual(shown["model_info"]["general.parameter_count"], sum(counts.values()))

    def test_wrong_type_is_found_first(self):
        before = self.files()
        done = self.server.cli("create", "x", "/nowhere", "-q", "q5")
        self.assertEqual(done.returncode, 1)
        self.assertIn('unsupported --quantize "q5"', done.stderr)
        answer = self.server.post("/api/create", {"model": "x", "from": "/nowhere", "quantize": "q5"})
        self.assertEqual(answer.status, 400)
        self.assertIn('unsupported --quantize "q5"', answer.error)
        self.assertEqual(self.files(), before)


if __name__ == "__main__":
    unittest.main()
