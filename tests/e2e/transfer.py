"""easel pull, push and create against a scripted server; sending files to the real one."""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import cli
from cli import EASEL, PULL, PULLED
from fake_server import Answer, Stream, run_on_terminal
from harness import EaselTest, Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gateway"))
import registry  # noqa: E402


class Transfer(cli.Cli):
    def test_pull(self):
        server = self.serve({"POST /api/pull": Stream(*PULL)})
        self.expect(self.cli("pull", "m", server=server), "", PULLED)
        self.assertEqual(server.requests[1:], [("POST /api/pull", {"name": "m", "insecure": False})])
        # The server says its last line again when there is no news.
        twice = self.serve({"POST /api/pull": Stream(*(line for line in PULL for _ in range(2)))})
        self.expect(self.cli("pull", "m", server=twice), "", PULLED)
        self.expect(self.cli("pull", "--insecure", "-q", "m", server=server))
        self.assertTrue(server.requests[3][1]["insecure"])

    def test_pull_on_a_terminal(self):
        for columns in (40, 80, 200):
            server = self.serve({"POST /api/pull": Stream(*PULL[:3], 0.25, *PULL[3:])})
            status, output = run_on_terminal([EASEL, "pull", "m"], cwd=self.folder, columns=columns,
                                             env=self.environment(server))
            self.assertEqual(status, 0, output)
            last = output.decode().split("\x1b[?2026h")[-1]
            self.assertRegex(last, "pulling manifest \x1b\\[K\npulling mode[^\n]*100% ▕█+▏  897 B *\x1b\\[K\n"
                             "writing manifest \x1b\\[K\nsuccess \x1b\\[K\x1b\\[\\?25h\x1b\\[\\?2026l\n\\Z")
            bar = re.search("pulling mode[^\x1b]*", output.decode()).group()
            self.assertRegex(bar, "\\Apulling mode[l:]* +88% ▕█+ +▏  790 B/ 897 B *\\Z")
            self.assertEqual(len(bar), columns - 1)

    def test_bars_of_single_layers(self):
        def line(digest, completed):
            return {"status": f"pulling {digest[7:19]}", "digest": digest, "total": 100, "completed": completed}
        one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
        server = self.serve({"POST /api/pull": Stream(line(one, 50), line(two, 100), line(one, 100), PULL[-1])})
        _, output = run_on_terminal([EASEL, "pull", "m"], cwd=self.folder, env=self.environment(server))
        last = output.decode().split("\x1b[?2026h")[-1]
        self.assertRegex(last, "pulling 1{12}: 100% [^\n]+\npulling 2{12}: 100% [^\n]+\nsuccess ")
        self.assertEqual(last.count("\n"), 3)

    def test_pull_failures(self):
        for answer, error in ((Stream({"error": "max retries exceeded: status 500"}), "max retries exceeded: status 500"),
                              (Answer({"error": "invalid model name"}, 400), "400 Bad Request: invalid model name"),
                              (Stream(), "the server's answer ended before m was pulled")):
            self.refused(error, "pull", "m", server=self.serve({"POST /api/pull": answer}))

    def test_interrupt(self):
        gone = threading.Event()
        server = self.serve({"POST /api/pull": Stream(PULL[0], gone)})
        process = subprocess.Popen([EASEL, "pull", "m"], env=self.environment(server), stderr=subprocess.PIPE)
        self.assertEqual(process.stderr.readline(), b"pulling manifest\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate(timeout=30), process.returncode), ((None, b""), -signal.SIGINT))
        self.assertTrue(gone.wait(10), "the connection is closed")

    def test_push(self):
        lines = [{"status": "retrieving manifest"},
                 {"status": "pushing model", "digest": "sha256:model", "total": 897, "completed": 897},
                 {"status": "success"}]
        for name, place in (("localhost:5000/ns/m:t", "localhost:5000/ns/m:t"), ("m", "https://ollama.com/m"),
                            ("x/m:8b", "https://ollama.com/x/m:8b"), ("h.io/x/m", "h.io/x/m:latest")):
            server = self.serve({"POST /api/push": Stream(*lines)})
            self.expect(self.cli("push", name, server=server), f"\nYou can find your model at:\n\n\t{place}\n",
                        "retrieving manifest\npushing model 100%\nsuccess\n")
            self.assertEqual(server.requests[1:], [("POST /api/push", {"name": name, "insecure": False})])
        self.expect(self.cli("push", "m", "-q", server=self.serve({"POST /api/push": Stream(*lines)})))
        refused = self.serve({"POST /api/push": Stream({"error": "unauthorized: access denied"})})
        self.refused("you are not authorized to push to this namespace, create the model under a namespace you own",
                     "push", "m", server=refused)


class Create(cli.Cli):
    STATUSES = [{"status": "importing image generation model"}, {"status": "importing transformer/a (3 tensors)"},
                {"status": "importing transformer/a", "total": 100, "completed": 55},
                {"status": "importing transformer/a", "total": 100, "completed": 100},
                {"status": "writing manifest for m"}, {"status": "success"}]

    def server(self, *lines):
        return self.serve({"POST /api/create": Stream(*(lines or self.STATUSES))})

    def created(self, *args, **options):
        server = self.server()
        result = self.cli("create", "m", *args, server=server, **options)
        self.assertEqual((result.returncode, result.stdout), (0, "Created image generation model 'm'\n"), result.stderr)
        return server.requests[-1][1]

    def path(self, name=""):
        return os.path.realpath(os.path.join(self.folder, name))

    def test_folder_alone(self):
        self.write("model_index.json", "{}")
        server = self.server()
        result = self.cli("create", "m", "--experimental", "-q", "FP8", server=server)
        self.expect(result, "Created image generation model 'm'\n",
                    "importing image generation model\nimporting transformer/a (3 tensors)\n"
                    "importing transformer/a 50%\nimporting transformer/a 100%\n"
                    "writing manifest for m\nsuccess\n")
        self.assertEqual(server.requests[1], ("POST /api/create", {
            "model": "m", "stream": True, "from": self.path(), "quantize": "FP8"}))

    def test_upload(self):
        files = {"model_index.json": b"{}", "transformer/config.json": b"[1]", "tokenizer/merges.txt": b"a b\n",
                 "transformer/model-00001-of-00002.safetensors": os.urandom(5 << 20), "vae/empty.json": b""}
        for name, data in {**files, "transformer/model.fp16.safetensors": b"x", ".git/config.json": b"x",
                           "README.md": b"x", "transformer/deep/config.json": b"x"}.items():
            self.write(name)
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(data)
        digests = {name: "sha256:" + hashlib.sha256(data).hexdigest() for name, data in files.items()}
        case = {"POST /api/create": Stream(*self.STATUSES)}
        for name, digest in digests.items():
            case[f"HEAD /api/blobs/{digest}"] = Answer(b"", 200 if name == "model_index.json" else 404)
            case[f"POST /api/blobs/{digest}"] = Answer(b"", 201)
        server = self.serve(case)
        result = self.cli("create", "m", "--upload", server=server)
        self.assertEqual((result.returncode, result.stdout), (0, "Created image generation model 'm'\n"), result.stderr)
        sent = {request[16:]: body or b"" for request, body in server.requests if request.startswith("POST /api/blobs")}
        self.assertEqual(sent, {digests[name]: data for name, data in files.items() if name != "model_index.json"})
        self.assertEqual(server.requests[-1], ("POST /api/create", {"model": "m", "stream": True, "files": digests}))
        self.assertIn("sending transformer/model-00001-of-00002.safetensors 100%\n", result.stderr)
        _, _, headers = next(row for row in server.http.seen if row[0].startswith("POST /api/blobs"))
        self.assertEqual(headers["Content-Type"], "application/octet-stream")

    def test_upload_failures(self):
        self.write("model_index.json", "{}")
        digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
        for head, post, error in ((Answer(b"", 500), None, "something went wrong, please see the easel server logs for "
                                   "details"), (Answer(b"", 404), Answer({"error": "disk full"}, 500), "disk full")):
            server = self.serve({f"HEAD /api/blobs/{digest}": head, f"POST /api/blobs/{digest}": post})
            self.refused(error, "create", "m", "--upload", "--quiet", server=server)

    def test_folder_argument(self):
        self.write("w/model_index.json", "{}")
        self.assertEqual(self.created("w"), {"model": "m", "stream": True, "from": self.path("w")})
        self.write("w/Modelfile", "PARAMETER steps 3\n")
        self.assertEqual(self.created("w")["parameters"], {"steps": 3})
        self.write("other/Modelfile", "FROM nothing\nSYSTEM s")
        self.assertEqual(self.created("w", "-f", "other/Modelfile"),
                         {"model": "m", "stream": True, "from": self.path("w"), "system": "s"})

    def test_modelfile(self):
        self.write("sub/model/model_index.json", "{}")
        self.write("sub/Modelfile", '\ufeff# comment\n\nfrom ./model  \r\n  PARAMETER width 128\n'
                   'Parameter steps 9\nPARAMETER guidance 1.5\nPARAMETER negative_prompt "a b"\n'
                   'PARAMETER mirostat 2\nLICENSE """\nfirst\n  "x"\n"""\nlicense second\nREQUIRES 0.20.0\n'
                   'SYSTEM "two\nlines"\nTEMPLATE {{ .Prompt }}\nRENDERER r\nPARSER\tp\n')
        self.assertEqual(self.created("-f", "sub/Modelfile"), {
            "model": "m", "stream": True, "from": self.path("sub/model"),
            "parameters": {"width": 128, "steps": 9, "guidance": 1.5, "negative_prompt": "a b"},
            "license": ['\nfirst\n  "x"\n', "second"], "system": "two\nlines", "template": "{{ .Prompt }}",
            "requires": "0.20.0"})

    def test_from_a_model(self):
        os.mkdir(os.path.join(self.folder, "base"))
        self.write("Modelfile", "FROM base\nFROM x/base:v1\nPARAMETER seed 5")
        self.assertEqual(self.created(), {"model": "m", "stream": True, "from": "x/base:v1", "parameters": {"seed": 5}})

    def test_modelfile_errors(self):
        commands = ('"from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
                    '"parameter", "message", or "requires"')
        for text, error in (
            ("FROM x\n\nBOGUS y\n", f"(line 3): command must be one of {commands}"),
            ("FROM\n", f"(line 1): command must be one of {commands}"),
            ("FROM", "unexpected EOF"),
            ('SYSTEM """never\nclosed ""\n', "unexpected EOF"),
            ("PARAMETER width", "unexpected EOF"),
            ("PARAMETER width\n", "(line 1): PARAMETER needs a name and a value"),
            ("FROM x\nPARAMETER foo 1", "unknown parameter 'foo'"),
            ("PARAMETER steps many", '(line 1): invalid int value for steps: "many"'),
            ("PARAMETER guidance 1,5", '(line 1): invalid float value for guidance: "1,5"'),
            ("ADAPTER ./x", "(line 1): ADAPTER is not supported for image models"),
            ("\nMESSAGE user hi", "(line 2): MESSAGE is not supported for image models"),
            ("DRAFT x", "(line 1): draft models are only supported for safetensors LLM models"),
            ("FROM   \n", "(line 1): from needs a value"),
            ("PARAMETER steps 1\n", "no FROM line"),
            ("FROM ./nothing\n", "./nothing is not a supported model directory "
             "(needs config.json + *.safetensors or model_index.json)"),
        ):
            with self.subTest(text):
                self.write("Modelfile", text)
                self.refused(error, "create", "m")

    def test_refusals(self):
        self.refused("invalid model name: a%b", "create", "a%b", "-f", "nothing")
        self.refused("specified Modelfile wasn't found", "create", "m", "-f", "nothing")
        self.refused(". is not a supported model directory (needs config.json + *.safetensors or model_index.json)",
                     "create", "m")
        self.refused('unsupported --quantize "int5": supported types are int4, int8, nvfp4, mxfp4, mxfp8, fp8',
                     "create", "m", "-q", "int5")
        self.refused("--draft-quantize requires a DRAFT model", "create", "m", "--draft-quantize", "int4")

    def test_server_errors(self):
        self.write("model_index.json", "{}")
        self.refused("403 Forbidden: only from this machine", "create", "m",
                     server=self.serve({"POST /api/create": Answer({"error": "only from this machine"}, 403)}))
        result = self.cli("create", "m", server=self.server(self.STATUSES[0], {"error": "vae/ is missing"}))
        self.expect(result, "", "importing image generation model\nError: vae/ is missing\n", 1)
        result = self.cli("create", "m", server=self.server(self.STATUSES[0]))
        self.assertEqual((result.returncode, result.stdout), (1, ""))

    def test_progress_stays_on_the_terminal(self):
        self.write("model_index.json", "{}")
        server = self.server(*self.STATUSES[:3], 0.25, *self.STATUSES[4:])
        status, output = run_on_terminal([EASEL, "create", "m"], cwd=self.folder, env=self.environment(server))
        self.assertEqual(status, 0, output)
        self.assertTrue(output.startswith("\x1b[?2026h\x1b[?25l\x1b[1Gimporting image generation model ⠋ ".encode()))
        last = output.decode().split("\x1b[?2026h")[-1]
        self.assertRegex(last, "importing image generation model \x1b\\[K\nimporting transformer/a \\(3 tensors\\) "
                         "\x1b\\[K\nimporting transformer/a +55% ▕█+ +▏ +55 B/ 100 B *\x1b\\[K\n"
                         "writing manifest for m \x1b\\[K\nsuccess \x1b\\[K\x1b\\[\\?25h\x1b\\[\\?2026l\n"
                         "Created image generation model 'm'\n")


@unittest.skipUnless(registry.available(), "no docker-registry (Debian package of that name)")
class RealRegistry(EaselTest):
    """The demo model to Debian's registry by one server, and from it by another."""

    @classmethod
    def prepare(cls):
        folder = tempfile.mkdtemp(prefix="easel-registry-")
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.registry = registry.Registry(folder)
        cls.addClassCleanup(cls.registry.close)
        cls.server.create_demo()

    def test_there_and_back(self):
        place = f"{self.registry.host}/me/demo:v1"
        self.server.cli("cp", "demo", place)
        result = self.server.cli("push", place)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"(?m)^Error: HEAD .*\(insecure is for a registry of plain HTTP\)$")
        result = self.server.cli("push", "--insecure", place)
        self.assertEqual((result.returncode, result.stdout),
                         (0, f"\nYou can find your model at:\n\n\t{place}\n"), result.stderr)
        self.assertRegex(result.stderr, "\\Aretrieving manifest\n(pushing model \\d+0%\n)*pushing model 100%\nsuccess\n\\Z")
        other = Server()
        self.addCleanup(other.close)
        result = other.cli("pull", "--insecure", place)
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        self.assertRegex(result.stderr, "\\Apulling manifest\n(pulling model: \\d+0%\n)*pulling model: 100%\n"
                         "writing manifest\nsuccess\n\\Z")
        self.assertEqual(other.cli("list").stdout.split()[4:6], self.server.cli("list").stdout.split()[4:6])
        result = other.cli("verify", place)
        self.assertEqual(result.returncode, 0, result.stderr)
        mine = self.server.get("/api/tags").json["models"][0]
        self.assertEqual((mine["name"], mine["digest"]),
                         tuple(other.get("/api/tags").json["models"][0][key] for key in ("name", "digest")))


if __name__ == "__main__":
    unittest.main()
