"""The command line against a scripted server: what it prints, byte for byte, what it
sends, and how it ends."""
import base64
import datetime
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from fake_server import Answer, FakeServer, Stream, run_on_terminal
from harness import SOURCE, binary

EASEL = binary("cli", "easel")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
IMAGE = base64.b64encode(PNG).decode()
DIGEST = "16542dce28dab2c052609be25ae2c5f32fc25a274e53b10d8b4f071f70a36dd9"
SHOW = {"details": {"family": "ZImagePipeline", "parameter_size": "10.3B", "quantization_level": "Q8"},
        "model_info": {"general.architecture": "ZImagePipeline", "general.parameter_count": 10320000000},
        "capabilities": ["image"], "requires": "0.19.0"}
DONE = {"model": "m", "response": "", "done": True, "done_reason": "stop",
        "total_duration": 12345678901, "load_duration": 1234567890, "image": IMAGE}


PULL = [{"status": "pulling manifest"},
        {"status": "pulling model", "digest": "sha256:model", "total": 897},
        {"status": "pulling model", "digest": "sha256:model", "total": 897, "completed": 790},
        {"status": "pulling model", "digest": "sha256:model", "total": 897, "completed": 897},
        {"status": "writing manifest"}, {"status": "success"}]
PULLED = "pulling manifest\npulling model: 80%\npulling model: 100%\nwriting manifest\nsuccess\n"


def step(completed, total=9):
    line = {"model": "m", "response": "", "done": False, "total": total}
    return {**line, "completed": completed} if completed else line


def after(**delta):
    """A time from now, as the server writes it."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)).isoformat()


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="easel-cli-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def serve(self, case=None, tls=None):
        server = FakeServer(case, tls)
        self.addCleanup(server.close)
        return server

    def environment(self, server, env=None):
        kept = {k: v for k, v in os.environ.items()
                if not k.startswith(("OLLAMA_", "EASEL_", "KITTY_", "WEZTERM_", "GHOSTTY_", "TERM", "TMUX",
                                                                "STY", "NO_COLOR"))}
        # Port 9 (discard) has no listener on a build machine.
        address = server.address if server else "127.0.0.1:9"
        return {**kept, "EASEL_HOST": address, "TERM": "xterm", "TZ": "UTC", **(env or {})}

    def cli(self, *args, server=None, stdin="", env=None, program=EASEL, text=True):
        return subprocess.run([program, *args], input=stdin, capture_output=True, text=text,
                              cwd=self.folder, env=self.environment(server, env), timeout=60, check=False)

    def expect(self, result, stdout="", stderr="", status=0):
        self.assertEqual((result.stdout, result.stderr, result.returncode), (stdout, stderr, status))

    def refused(self, error, *args, server=None, **options):
        self.expect(self.cli(*args, server=server, **options), "", f"Error: {error}\n", 1)

    def write(self, name, text=""):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def files(self):
        return sorted(os.listdir(self.folder))

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()


class Invocation(Cli):
    def test_argument_errors(self):
        for error, args in {
            'unknown command "bogus" for "easel"': ["bogus"],
            "unknown flag: --bogus": ["run", "--bogus", "m"],
            "unknown shorthand flag: 'x' in -xv": ["ps", "-xv"],
            "flag needs an argument: --steps": ["run", "m", "--steps"],
            "flag needs an argument: 'o' in -o": ["run", "m", "-o"],
            'invalid argument "abc" for "--width" flag: strconv.ParseInt: parsing "abc": invalid syntax':
                ["run", "m", "--width", "abc"],
            'invalid argument "99999999999999999999" for "--seed" flag: strconv.ParseInt: '
            'parsing "99999999999999999999": value out of range':
                ["run", "m", "--seed=99999999999999999999"],
            'invalid argument "maybe" for "-v, --verbose" flag: strconv.ParseBool: '
            'parsing "maybe": invalid syntax': ["show", "m", "-v=maybe"],
            "requires at least 1 arg(s), only received 0": ["run"],
            "accepts 1 arg(s), received 0": ["show"],
            "accepts 2 arg(s), received 1": ["cp", "a"],
            "accepts 0 arg(s), received 1": ["serve", "now"],
        }.items():
            with self.subTest(error):
                self.refused(error, *args)

    def test_no_server(self):
        for args in (["list"], ["ps"], ["show", "m"], ["run", "m", "x"], ["stop", "m"], ["rm", "m"], ["cp", "a", "b"],
                     ["pull", "m"], ["push", "m"]):
            with self.subTest(args[0]):
                self.refused("could not connect to easel server, run 'easel serve' to start it", *args)

    def test_called_by_another_name(self):
        os.symlink(EASEL, os.path.join(self.folder, "ollama"))
        program = os.path.join(self.folder, "ollama")
        self.refused("could not connect to ollama server, run 'ollama serve' to start it", "ps", program=program)
        text = self.cli("run", "--help", program=program).stdout
        self.assertIn("  ollama run MODEL [PROMPT] [flags]\n", text)
        self.assertIn("\n      OLLAMA_HOST                   ", text)

    def test_help(self):
        text = self.cli().stdout
        self.assertEqual(text, self.cli("--help").stdout)
        self.assertEqual(text, self.cli("help").stdout)
        names = re.findall(r"^  ([a-z]+) {3,}[A-Z]", text, re.M)
        self.assertEqual(names, ["serve", "create", "show", "run", "stop", "pull", "push", "list", "ps", "cp", "rm",
                                 "verify", "help"])
        self.assertTrue(text.endswith('\nUse "easel [command] --help" for more information about a command.\n'))
        self.expect(self.cli("ls", "-h"), self.cli("help", "list").stdout)
        self.assertTrue(self.cli("help", "list").stdout.startswith(
            "List models\n\nUsage:\n  easel list [PREFIX] [flags]\n\nAliases:\n  list, ls\n\n"
            "Flags:\n  -h, --help    help for list\n      --json    "))
        text = re.sub(" +", " ", self.cli("run", "--help").stdout)
        self.assertIn("\nImage Generation Flags (experimental):\n --width int Image width\n --height int Image height\n"
                      " --steps int Denoising steps\n --seed int Random seed\n --negative str Negative prompt\n", text)
        self.assertIn("\n      EASEL_GRAPHICS                pictures in the terminal: ", self.cli("run", "-h").stdout)
        self.assertTrue(self.cli("run", "-h").stdout.endswith(
            "      EASEL_NOHISTORY               Do not preserve readline history\n"))
        self.assertNotIn("NOHISTORY", self.cli("serve", "-h").stdout + self.cli("ps", "-h").stdout)
        self.expect(self.cli("help", "bogus"), "", "Unknown help topic [`bogus`]\n" + self.cli().stdout)

    def test_version(self):
        own = re.search(r"client version is (\S+)", self.cli("-v").stdout).group(1)
        self.expect(self.cli("--version"), "Warning: could not connect to a running easel instance\n"
                                           f"Warning: client version is {own}\n")
        same = self.serve({"GET /api/version": Answer({"version": "0.99.0", "easel": own})})
        self.expect(self.cli("version", server=same), f"easel version is {own}\n")
        self.assertEqual(same.requests, [("GET /api/version", None)])
        other = self.serve({"GET /api/version": Answer({"version": "0.99.0"})})
        self.expect(self.cli("-v", server=other),
                    f"easel version is 0.99.0\nWarning: client version is {own}\n")

    def test_accounts(self):
        for command in ("signin", "signout"):
            self.expect(self.cli(command), "You are not signed in to ollama.com\n")

    def test_serve_becomes_the_gateway(self):
        gateway = self.write("gateway", "#!/bin/sh\necho \"gateway $# $$\"\nexit 7\n")
        os.chmod(gateway, 0o755)
        process = subprocess.Popen([EASEL, "serve"], stdout=subprocess.PIPE, text=True,
                                   env=self.environment(None, {"EASEL_GATEWAY": gateway}))
        output, _ = process.communicate(timeout=30)
        self.assertEqual((output, process.returncode), (f"gateway 0 {process.pid}\n", 7))
        result = self.cli("serve", env={"EASEL_GATEWAY": "/nowhere/gateway"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nowhere/gateway", result.stderr)

    def test_output_that_cannot_be_written_is_a_failure(self):
        server = self.serve({"GET /api/tags": Answer({"models": []})})
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([EASEL, "list"], stdout=full, stderr=subprocess.PIPE, text=True,
                                    env=self.environment(server), timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left on device", result.stderr)


class Answers(Cli):
    """How answers of every kind reach the user."""

    def test_error_answers(self):
        for answer, error in (
            (Answer({"error": "broken"}, 500), "broken"),
            (Answer({"error": {"message": "odd"}}, 400), "odd"),
            (Answer(b"no JSON", 502), "no JSON"),
            (Answer(b"", 403), "something went wrong, please see the easel server logs for details"),
            (Answer({}, 500), "something went wrong, please see the easel server logs for details"),
            (Answer({"error": "in chunks"}, 500, chunked=True), "in chunks"),
            (Answer({"error": "a\x1b[2J\u009bb\n\tc"}, 500), "a?[2J??b\n\tc"),
        ):
            with self.subTest(error):
                self.refused(error, "list", server=self.serve({"GET /api/tags": answer}))

    def test_bodies_of_every_framing(self):
        body = {"models": [{"name": "m:latest", "digest": DIGEST, "size": 5, "modified_at": after(hours=-5)}]}
        for options in ({}, {"chunked": True}, {"length": False}):
            with self.subTest(options):
                result = self.cli("ls", server=self.serve({"GET /api/tags": Answer(body, **options)}))
                self.assertEqual(result.stdout.splitlines()[1], "m:latest    16542dce28da    5 B     5 hours ago    ")

    def raw(self, *answers):
        """Serves bytes that are no proper HTTP, one connection each."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def work():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
        threading.Thread(target=work, daemon=True).start()
        return {"EASEL_HOST": "127.0.0.1:%d" % listener.getsockname()[1]}

    def test_damaged_answers(self):
        head = b"HTTP/1.1 200 OK\r\n"
        for answer in (b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n",
                       head + b"Content-Length: 5x\r\n\r\nabc", head + b"Content-Length: 10\r\n\r\nabc",
                       head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", head + b"x" * (2 << 20),
                       head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
                       head + b"Transfer-Encoding: gzip\r\n\r\nabc", head + b"no colon\r\n\r\n",
                       head + b"Content-Length: 2\r\n\r\n{]", head + b"Content-Length: 0\r\n\r\n"):
            with self.subTest(answer[:60]):
                result = self.cli("list", env=self.raw(head + b"Content-Length: 0\r\n\r\n", answer))
                self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
                self.assertRegex(result.stderr, r"\AError: [^\n]+\n\Z")

    def test_interim_answers_are_skipped(self):
        result = self.cli("list", env=self.raw(
            b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"models\":[]}"))
        self.expect(result, "NAME    ID    SIZE    MODIFIED \n")

    def test_host_forms_and_headers(self):
        server = self.serve({"GET /pre/fix/api/tags": Answer({"models": []}), "HEAD /pre/fix/": Answer()})
        port = server.address.split(":")[1]
        for host in (f"http://0.0.0.0:{port}/pre/fix", f" \"http://localhost:{port}/pre/fix\" "):
            self.expect(self.cli("list", server=server, env={"EASEL_HOST": host}),
                        "NAME    ID    SIZE    MODIFIED \n")
        request, _, headers = server.http.seen[1]
        self.assertEqual(request, "GET /pre/fix/api/tags")
        self.assertEqual(headers["Host"], f"127.0.0.1:{port}")
        self.assertRegex(headers["User-Agent"], r"^easel/\S+ \(\S+ linux\)$")

    @unittest.skipUnless(shutil.which("openssl"), "needs the openssl command for a certificate")
    def test_tls(self):
        key, certificate = os.path.join(self.folder, "key"), os.path.join(self.folder, "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=easel",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = self.serve({"GET /api/tags": Answer({"models": []}, chunked=True)}, context)
        port = server.address.split(":")[1]
        trusted = {"EASEL_HOST": f"https://127.0.0.1:{port}", "SSL_CERT_FILE": certificate}
        self.expect(self.cli("list", env=trusted), "NAME    ID    SIZE    MODIFIED \n")
        for env, reason in ((trusted | {"SSL_CERT_FILE": "/dev/null"}, "verify failed"),
                            (trusted | {"EASEL_HOST": f"https://localhost:{port}"}, "verify failed")):
            result = self.cli("list", env=env)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(reason, result.stderr)


class Lists(Cli):
    def test_list(self):
        server = self.serve({"GET /api/tags": Answer({"models": [
            {"name": "z-image:latest", "digest": DIGEST, "size": 13999999999, "modified_at": after(seconds=-130)},
            {"name": "x/flux2-klein:4b", "digest": "sha256:5a6cb5be65b9" + "0" * 52, "size": 7900000000,
             "modified_at": after(days=-3, minutes=-5)}]})})
        self.expect(self.cli("list", server=server),
                    "NAME                ID              SIZE      MODIFIED      \n"
                    "z-image:latest      16542dce28da    13 GB     2 minutes ago    \n"
                    "x/flux2-klein:4b    5a6cb5be65b9    7.9 GB    3 days ago       \n")
        self.assertEqual(self.cli("ls", "X/F", server=server).stdout.count("\n"), 2)
        self.assertEqual(server.requests[:2], [("HEAD /", None), ("GET /api/tags", None)])

    def test_numbers(self):
        sizes = {0: "0 B", 999: "999 B", 1000: "1 KB", 1024: "1.0 KB", 1500: "1.5 KB", 999999: "999 KB",
                 7720000000: "7.7 GB", 1999999999999: "2.0 TB"}
        server = self.serve({"GET /api/tags": Answer({"models": [
            {"name": f"m{size}", "digest": DIGEST, "size": size, "modified_at": "0001-01-01T00:00:00Z"}
            for size in sizes]})})
        rows = self.cli("list", server=server).stdout.splitlines()[1:]
        self.assertEqual([re.split("    +", row)[2] for row in rows], list(sizes.values()))
        self.assertTrue(all(row.rstrip().endswith("Never") for row in rows))

    def ps(self, **members):
        model = {"name": "z-image:latest", "digest": DIGEST, "size": 7720000000, "size_vram": 7720000000,
                 "context_length": 0, "expires_at": after(minutes=4, seconds=30), "device": "llvmpipe", **members}
        return self.serve({"GET /api/ps": Answer({"models": [model]})})

    def test_ps(self):
        self.expect(self.cli("ps", server=self.ps()),
                    "NAME              ID              SIZE      PROCESSOR    CONTEXT    UNTIL              \n"
                    "z-image:latest    16542dce28da    7.7 GB    100% GPU     0          4 minutes from now    \n")
        self.assertEqual(self.cli("ps", "Z", server=self.ps()).stdout.count("\n"), 1)
        row = self.cli("ps", "-v", server=self.ps()).stdout.splitlines()
        self.assertTrue(row[0].endswith("UNTIL                 DEVICE   "), row)
        self.assertTrue(row[1].endswith("4 minutes from now    llvmpipe    "), row)

    def test_ps_processor_and_until(self):
        for members, text in (({"size_vram": 0}, "100% CPU"), ({"size": 100, "size_vram": 75}, "25%/75% CPU/GPU"),
                              ({"size": 1, "size_vram": 2}, "Unknown"), ({"size": 0, "size_vram": 0}, "100% CPU"),
                              ({"expires_at": after(seconds=-1)}, "Stopping..."),
                              ({"expires_at": "2318-03-05T10:00:00.5Z"}, "Forever"),
                              ({"expires_at": "0001-01-01T00:00:00Z"}, "Never")):
            with self.subTest(text):
                self.assertIn(text, self.cli("ps", server=self.ps(**members)).stdout)

    def test_json(self):
        for args, path, body in ((("list", "--json"), "GET /api/tags", {"models": []}),
                                 (("ps", "--json"), "GET /api/ps", {"models": [{"b": 1, "a": [2.5, None, "é"]}]}),
                                 (("show", "m", "--json"), "POST /api/show", SHOW)):
            text = json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"
            self.expect(self.cli(*args, server=self.serve({path: Answer(body)})), text)


    def test_quiet(self):
        models = {"models": [{"name": "b:latest", "digest": DIGEST}, {"name": "a:1", "digest": DIGEST}]}
        for command, path in (("list", "GET /api/tags"), ("ps", "GET /api/ps"), ("__names", "GET /api/tags")):
            args = [command] if command == "__names" else [command, "-q"]
            self.expect(self.cli(*args, server=self.serve({path: Answer(models)})), "b:latest\na:1\n")
        self.expect(self.cli("ls", "--quiet", "A", server=self.serve({"GET /api/tags": Answer(models)})), "a:1\n")

    def test_names_for_completions_are_silent_and_soon(self):
        self.expect(self.cli("__names"))
        self.expect(self.cli("__names", server=self.serve({"GET /api/tags": Answer({"error": "odd"}, 500)})))
        gone = threading.Event()
        self.expect(self.cli("__names", server=self.serve({"GET /api/tags": Stream(gone)})))
        self.assertTrue(gone.wait(10), "it gives up")


class Show(Cli):
    def show(self, *args, **members):
        server = self.serve({"POST /api/show": Answer({**SHOW, **members})})
        return self.cli("show", "m", *args, server=server), server

    def test_default(self):
        result, server = self.show()
        self.expect(result, "  Model\n"
                            "    architecture    ZImagePipeline    \n"
                            "    parameters      10.3B             \n"
                            "    quantization    Q8                \n"
                            "    requires        0.19.0            \n\n"
                            "  Capabilities\n    image    \n\n")
        self.assertEqual(server.requests[1], ("POST /api/show", {"name": "m", "verbose": False}))

    def test_capabilities(self):
        result, _ = self.show(capabilities=["image", "vision"])
        self.assertIn("  Capabilities\n    image     \n    vision    \n\n", result.stdout)

    def test_verbose(self):
        result, server = self.show(
            "--verbose", parameters="steps                          9\nnegative_prompt                \"a b\"",
            tensors=[{"name": "vae/x", "type": "BF16", "shape": [4, 8]}, {"name": "y", "type": "F32", "shape": []}])
        self.assertEqual(result.stdout.split("\n\n", 2)[2],
                         "  Parameters\n"
                         "    steps              9           \n"
                         "    negative_prompt    \"a    b\"    \n\n"
                         "  Metadata\n"
                         "    general.architecture       ZImagePipeline    \n"
                         "    general.parameter_count    10320000000       \n\n"
                         "  Tensors\n"
                         "    vae/x    BF16    [4 8]    \n"
                         "    y        F32     []       \n\n")
        self.assertTrue(server.requests[1][1]["verbose"])

    def test_texts_are_cut_and_wrapped(self):
        result, _ = self.show(license="\n  First line \n" + "word " * 30 + "\nthird\n", system="one")
        text = result.stdout.split("\n\n", 2)[2]
        rows = [row.rstrip() for row in text.splitlines()]
        self.assertEqual(rows[:4], ["  System", "    one", "", "  License"])
        self.assertEqual(rows[4], "    First line")
        self.assertEqual(rows[5], "    " + " ".join(["word"] * 20))
        self.assertEqual(rows[6], "    " + " ".join(["word"] * 10))
        self.assertEqual(rows[7:], ["    ...", ""])

    def test_sparse_answer(self):
        server = self.serve({"POST /api/show": Answer({"details": {"family": "flux"}})})
        self.expect(self.cli("show", "m", server=server),
                    "  Model\n    architecture    flux    \n    quantization            \n\n")

    def test_single_texts(self):
        members = {"license": "L", "modelfile": "FROM x\n", "parameters": "p 1", "system": "S", "template": "T"}
        for name, text in members.items():
            end = "" if name in ("system", "template") else "\n"
            self.expect(self.show(f"--{name}", **members)[0], text + end)
        self.refused("only one of '--license', '--modelfile', '--parameters', '--system', or '--template' "
                     "can be specified", "show", "m", "--license", "--system")


class ChangeModels(Cli):
    def test_cp(self):
        server = self.serve({"POST /api/copy": Answer()})
        self.expect(self.cli("cp", "a", "b", server=server), "copied 'a' to 'b'\n")
        self.assertEqual(server.requests[1], ("POST /api/copy", {"source": "a", "destination": "b"}))
        server = self.serve({"POST /api/copy": Answer({"error": 'model "a" not found'}, 404)})
        self.refused('model "a" not found', "cp", "a", "b", server=server)

    def test_stop(self):
        server = self.serve({"POST /api/show": Answer(SHOW), "POST /api/generate": Answer({"done": True})})
        self.expect(self.cli("stop", "a", server=server))
        self.assertEqual(server.requests[1:], [("POST /api/show", {"model": "a"}),
                                               ("POST /api/generate", {"model": "a", "keep_alive": "0s"})])
        server = self.serve({"POST /api/show": Answer({"error": "model 'a:latest' not found"}, 404)})
        self.refused("couldn't find model \"a\" to stop", "stop", "a", server=server)

    def test_quiet(self):
        server = self.serve({"POST /api/copy": Answer(), "POST /api/show": Answer(SHOW), "DELETE /api/delete": Answer(),
                             "POST /api/generate": Answer({"done": True})})
        for args in (["cp", "-q", "a", "b"], ["rm", "a", "--quiet"], ["stop", "-q", "a"]):
            self.expect(self.cli(*args, server=server))

    def test_rm_stops_at_the_first_failure(self):
        gone = Answer({"error": "model 'b' not found"}, 404)
        server = self.serve({
            "POST /api/show": [Answer(SHOW), Answer({"error": "model 'b:latest' not found"}, 404)],
            "POST /api/generate": Answer({"done": True}), "DELETE /api/delete": [Answer(), gone]})
        self.expect(self.cli("rm", "a", "b", "c", server=server), "deleted 'a'\n", "Error: model 'b' not found\n", 1)
        self.assertEqual([request for request, _ in server.requests[1:]],
                         ["POST /api/show", "POST /api/generate", "DELETE /api/delete", "POST /api/show",
                          "DELETE /api/delete"])

    def test_rm_of_a_model_that_does_not_stop(self):
        server = self.serve({"POST /api/show": Answer({"error": "odd"}, 500), "DELETE /api/delete": Answer()})
        self.expect(self.cli("rm", "a", server=server), "deleted 'a'\n", "Warning: unable to stop model 'a'\n")


class Run(Cli):
    def case(self, *lines):
        return self.serve({"POST /api/show": Answer(SHOW), "POST /api/generate": Stream(*lines)})

    def drawn(self, *args, lines=(step(0), step(1), DONE), **options):
        server = self.case(*lines)
        result = self.cli("run", "m", *args, server=server, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result, server.requests[-1][1]

    def test_picture_on_pipes(self):
        result, body = self.drawn("A Cat, playing: Piano! (éà) x_y-z 123", lines=(step(0), step(1), step(9), DONE))
        (name,) = self.files()
        self.assertRegex(name, r"\Aa-cat-playing-piano--xy-z-123-\d{8}-\d{6}\.png\Z")
        self.expect(result, f"Image saved to: {name}\n", "Generating: step 1/9\nGenerating: step 9/9\n")
        self.assertEqual(self.read(name), PNG)
        self.assertEqual(os.stat(os.path.join(self.folder, name)).st_mode & 0o777, 0o644)
        self.assertEqual(body, {"model": "m", "prompt": "A Cat, playing: Piano! (éà) x_y-z 123"})

    def test_request(self):
        _, body = self.drawn("--width", "512", "two", "--height=256", "--steps", "4", "words", "--seed", "7",
                             "--negative", "blur", "--guidance", "0", "--keepalive", "1h30m", "--nowordwrap",
                             "--think=high", "--", "--not-a-flag")
        self.assertEqual(body, {
            "model": "m", "prompt": "two words --not-a-flag", "width": 512, "height": 256, "steps": 4,
            "options": {"seed": 7}, "negative": "blur", "guidance": 0.0, "keep_alive": "1h30m0s"})
        _, body = self.drawn("x", "--width", "0", "--steps=-1", "--seed", "-5", "--keepalive", "-1m")
        self.assertEqual(body, {"model": "m", "prompt": "x", "keep_alive": -1})

    def test_prompt_from_stdin(self):
        for stdin, args, prompt in (("from stdin\n", [], "from stdin"), ("a\nb\n\n", ["c", "d"], "a\nb c d"),
                                    ("", ["e"], "e")):
            _, body = self.drawn(*args, stdin=stdin)
            self.assertEqual(body["prompt"], prompt)
        _, body = self.drawn(stdin=b"caf\xc3\xa9 \xff", text=False)
        self.assertEqual(body["prompt"], "café \ufffd")

    def test_step_cache(self):
        result, body = self.drawn("x", "--step-cache", "teacache:0.2", "--seed", "3", "--verbose",
                                  lines=[{**DONE, "steps_reused": 4}])
        self.assertEqual(body, {"model": "m", "prompt": "x", "options": {"seed": 3, "step_cache": "teacache:0.2"}})
        self.assertIn("steps reused:         4\n", result.stderr)

    def picture(self, name, data=PNG):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)
        return base64.b64encode(data).decode()

    def test_images(self):
        first, second = self.picture("a.png"), self.picture("b c.JPG", b"\xff\xd8\xff\xe0b")
        third, mask = self.picture("c.webp", b"RIFF\0\0\0\0WEBPVP8 c"), self.picture("m.png", PNG + b"m")
        for args, members in (
            (["make it blue", "a.png"], {"images": [first]}),
            (["make", "./b c.JPG", "it", "a.png", "blue"], {"images": [second, first]}),
            (["--image", "b c.JPG", "make ./a.png it", "--image=c.webp", "blue"],
             {"prompt": "make  it blue", "images": [second, third, first]}),
            (["make it blue", "--image", "a.png", "--strength", "0.4", "--width", "64"],
             {"images": [first], "strength": 0.4, "width": 64}),
            (["make it blue", "a.png", "--mask", "m.png"], {"images": [first], "mask": mask}),
            (["make it blue", "a.png", "--mask", "m.png", "--mask-mode=white", "--strength=1"],
             {"images": [first], "mask": mask, "mask_mode": "white", "strength": 1.0}),
            (["make it blue", "nothing.png"], {"prompt": "make it blue nothing.png"}),
        ):
            with self.subTest(args):
                _, body = self.drawn(*args, lines=[DONE])
                self.assertEqual(body, {"model": "m", "prompt": "make it blue", **members})

    def test_images_are_told(self):
        self.picture("a.png")
        result, _ = self.drawn("--image", "a.png", "make it", "./a.png", "blue and add 'a.png'", lines=[DONE])
        self.assertEqual(result.stderr, "Added image './a.png'\nAdded image 'a.png'\n")
        self.assertRegex(result.stdout, r"\AImage saved to: make-it-blue-and-add-\d{8}-\d{6}[.]png\n\Z")

    def test_images_with_a_prompt_from_stdin(self):
        image = self.picture("a.png")
        for stdin, args in (("make it blue\n", ["a.png"]), ("make it", ["blue", "./a.png"]),
                            ("./a.png make it blue", [])):
            _, body = self.drawn(*args, stdin=stdin, lines=[DONE])
            self.assertEqual(body, {"model": "m", "prompt": "make it blue", "images": [image]})

    def test_images_of_a_large_request(self):
        image = self.picture("a.png", PNG + bytes(20 << 20))
        _, body = self.drawn("x", "a.png", "--mask", "a.png", lines=[DONE])
        self.assertEqual((body["images"], body["mask"]), ([image], image))

    def test_refused_images(self):
        self.picture("a.png")
        self.picture("text.png", b"no picture")
        self.picture("big.png", PNG + bytes(48 << 20))
        type_error = "invalid image type: text/plain; charset=utf-8"
        for args, pattern in (
            (["x", "--image", "none.png"], "open none.png: No such file or directory"),
            (["x", "--image", "."], r"[.] is not a regular file"),
            (["x", "--image", "text.png"], f"text.png: {type_error}"),
            (["x", "--image", "a.png", "--mask", "text.png"], f"text.png: {type_error}"),
            (["x", "text.png"], type_error), (["make ./text.png blue"], type_error),
            (["x", "--mask", "none.png"], "open none.png: No such file or directory"),
            (["x", "--image", "big.png"], r"big.png is 5\d+ bytes, more than the 4\d+ allowed"),
            (["x", "big.png"], r"big.png is 5\d+ bytes, more than the 4\d+ allowed"),
            (["x"] + ["a.png"] * 17, "a.png is one too many: a picture is made from at most 16 images"),
            (["x"] + ["--image", "a.png"] * 17, 'invalid argument "a.png" for "--image" flag: given too often'),
            (["x", "a.png"] + ["--image", "a.png"] * 16,
             "a.png is one too many: a picture is made from at most 16 images"),
            (["a.png"], 'image generation models require a prompt. Usage: easel run z-image "your prompt here"'),
            (["x", "--image", "a.png", "--mask-mode", "alpha"],
             "--mask-mode says how to read a mask: give --mask too"),
            (["x", "--image", "a.png", "--mask", "a.png", "--mask-mode", "black"],
             'invalid argument "black" for "--mask-mode" flag: must be one of: alpha white'),
            (["x", "none.png", "--strength", "0.5"],
             "--strength says how much a picture changes: name an existing PNG, JPEG or WebP file too"),
            (["x", "--strength", "much"], 'invalid argument "much" for "--strength" flag: strconv.ParseFloat: '
             'parsing "much": invalid syntax'),
        ):
            with self.subTest(args[:4]):
                server = self.serve({"POST /api/show": Answer(SHOW)})
                result = self.cli("run", "m", *args, server=server)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr.splitlines()[-1], f"\\AError: {pattern}\\Z")
                self.assertNotIn("POST /api/generate", [request for request, _ in server.requests])

    def test_refusals(self):
        case = {"POST /api/show": Answer(SHOW)}
        self.refused('image generation models require a prompt. Usage: easel run z-image "your prompt here"',
                     "run", "m", server=self.serve(case))
        self.refused('time: missing unit in duration "10"', "run", "m", "x", "--keepalive", "10",
                     server=self.serve(case))
        self.refused('"m" does not support image generation', "run", "m", "x",
                     server=self.serve({"POST /api/show": Answer({**SHOW, "capabilities": ["completion"]})}))
        for refusal in (Answer({"error": "404 page not found"}, 404), Answer({"error": "not supported"}, 400)):
            self.refused("model 'm:latest' not found", "run", "m", "x", server=self.serve({
                "POST /api/show": Answer({"error": "model 'm:latest' not found"}, 404), "POST /api/pull": refusal}))
        self.refused("--json and --output - both write to standard output: name a file", "run", "m", "x", "--json",
                     "-o", "-", server=self.serve(case))
        self.refused("400 Bad Request: width and height must be <= 4096", "run", "m", "x", "--width", "5000",
                     server=self.serve({**case, "POST /api/generate":
                                        Answer({"error": "width and height must be <= 4096"}, 400)}))
        self.refused("failed to save image: there is no folder /nowhere", "run", "m", "x", "-o", "/nowhere/a.png",
                     server=self.serve(case))
        self.assertEqual(self.files(), [])

    def test_failures_midway(self):
        for lines, error in (
            ([step(0), {"error": "the runner ended"}], "the runner ended"),
            ([step(0), step(9)], "image generation completed but no image was returned"),
            ([{**DONE, "image": "!!!"}], "failed to decode image: illegal base64 data at input byte 0"),
            ([b"{broken\n"], None)):
            result = self.cli("run", "m", "x", server=self.case(*lines))
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            if error:
                self.assertEqual(result.stderr.splitlines()[-1], f"Error: {error}")
            self.assertEqual(self.files(), [])

    def test_output(self):
        self.expect(self.drawn("x", "-o", "a.png", lines=[DONE])[0], "Image saved to: a.png\n")
        self.drawn("x", "-oa.png", lines=[DONE])
        for name, said in (("b.webp", "webp"), ("c.JPG", "jpeg"), ("d.jpeg", "jpeg"), ("e.png", None), ("webp", None)):
            self.assertEqual(self.drawn("x", "-o", name, lines=[DONE])[1].get("output_format"), said, name)
            os.unlink(os.path.join(self.folder, name))
        os.mkdir(os.path.join(self.folder, "d"))
        result, _ = self.drawn("!!!", "--output", "d/", lines=[DONE])
        self.assertRegex(result.stdout, r"\AImage saved to: d/image-\d{8}-\d{6}\.png\n\Z")
        os.symlink("a.png", os.path.join(self.folder, "link"))
        self.drawn("x", "-o", "link", lines=[{**DONE, "image": base64.b64encode(b"new").decode()}])
        self.assertEqual((self.files(), self.read("a.png")), (["a.png", "d", "link"], b"new"))
        self.assertTrue(os.path.islink(os.path.join(self.folder, "link")))
        self.drawn("x", "-o", "/dev/null", lines=[DONE])
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))
        result, _ = self.drawn("x", "-o", "-", lines=[step(0), DONE], stdin=b"", text=False)
        self.assertEqual((result.stdout, result.stderr), (PNG, b""))

    def test_names_of_the_same_second(self):
        for _ in range(4):
            self.drawn("p" * 60, lines=[DONE])
        names = self.files()
        self.assertEqual(len(names), 4)
        self.assertTrue(all(re.fullmatch("p{50}-[0-9]{8}-[0-9]{6}(-[234])?[.]png", name) for name in names), names)

    def test_timings(self):
        result, _ = self.drawn("x", "--verbose", lines=[DONE])
        self.assertEqual(result.stderr, "total duration:       12.3s\nload duration:        1.2s\n")
        result, _ = self.drawn("x", "--verbose", lines=[{**DONE, "steps_reused": 4}])
        self.assertTrue(result.stderr.endswith("\nsteps reused:         4\n"), result.stderr)

    def test_missing_models_are_pulled(self):
        missing = Answer({"error": "model 'm:latest' not found"}, 404)
        server = self.serve({"POST /api/show": [missing, Answer(SHOW)], "POST /api/pull": Stream(*PULL),
                             "POST /api/generate": Stream(DONE)})
        result = self.cli("run", "m", "x", "--insecure", "-o", "a.png", server=server)
        self.expect(result, "Image saved to: a.png\n", PULLED)
        self.assertEqual([r for r, _ in server.requests[1:]],
                         ["POST /api/show", "POST /api/pull", "POST /api/show", "POST /api/generate"])
        self.assertEqual(server.requests[2][1], {"name": "m", "insecure": True})
        server = self.serve({"POST /api/show": missing, "POST /api/pull": Stream(
            PULL[0], {"error": "pull model manifest: file does not exist"})})
        self.expect(self.cli("run", "m", "x", server=server), "",
                    "pulling manifest\nError: pull model manifest: file does not exist\n", 1)
        server = self.serve({"POST /api/show": missing, "POST /api/pull": Stream(PULL[0])})
        self.expect(self.cli("run", "m", "x", server=server), "",
                    "pulling manifest\nError: the server's answer ended before m was pulled\n", 1)

    def test_quiet(self):
        self.picture("a.png")
        result, _ = self.drawn("-q", "x", "./a.png", "-o", "b.png")
        self.expect(result, "b.png\n")
        self.assertEqual(self.terminal("--quiet", "x", "-o", "c.png", lines=[step(0), 0.3, DONE],
                                       env={"KITTY_WINDOW_ID": "1"}), (0, b"c.png\n"))

    def test_json(self):
        result, _ = self.drawn("--json", "x", "-o", "b.png", lines=[{**DONE, "seed": 7}])
        self.assertEqual(json.loads(result.stdout), {
            **{k: v for k, v in DONE.items() if k != "image"}, "seed": 7, "file": "b.png"})

    def terminal(self, *args, lines, env=None, **options):
        server = self.case(*lines)
        return run_on_terminal([EASEL, "run", "m", *args], cwd=self.folder, env=self.environment(server, env),
                               **options)

    BEGIN, END = b"\x1b[?2026h\x1b[?25l", b"\x1b[?25h\x1b[?2026l"

    def test_step_bar(self):
        status, output = self.terminal("x", lines=[0.3, step(0), step(4), 0.3, step(9), 0.3, DONE])
        self.assertEqual(status, 0, output)
        first = self.BEGIN + "\x1b[1G⠋\x1b[K\n\x1b[K".encode() + self.END
        self.assertTrue(output.startswith(first), output)
        bar = "\x1b[A\x1b[1G\x1b[K\nGenerating  44% ▕████     ▏ 4/9\x1b[K".encode()
        self.assertIn(self.BEGIN + bar + self.END, output)
        self.assertIn("\nGenerating 100% ▕█████████▏ 9/9\x1b[K".encode(), output)
        wipe = b"\x1b[2K\x1b[1G\x1b[A\x1b[2K\x1b[1G\x1b[?25h"
        self.assertRegex(output.split(wipe)[-1], rb"\AImage saved to: x-\d{8}-\d{6}\.png\n\Z")

    def test_long_bar_fits_the_terminal(self):
        _, output = self.terminal("x", columns=40, lines=[step(500, 1000), 0.3, step(2000, 1000), 0.3, DONE])
        bars = [frame.split("\x1b[K")[0] for frame in output.decode().split("\n") if frame.startswith("Generating")]
        self.assertTrue(all(len(bar) < 40 for bar in bars), bars)
        self.assertIn("Generating  50% ▕██████", bars[0])
        self.assertTrue(bars[-1].endswith("▏ 1000/1000"), bars)

    def test_dumb_terminal_gets_lines(self):
        _, output = self.terminal("x", lines=[step(0), step(1), DONE], env={"TERM": "dumb"})
        self.assertNotIn(b"\x1b", output)
        self.assertIn(b"Generating: step 1/9\n", output)

    def test_picture_inside_the_terminal(self):
        for env, pattern in (
            ({"TERM_PROGRAM": "WezTerm"},
             b"\x1b]1337;File=inline=1;preserveAspectRatio=1:" + IMAGE.encode() + b"\x07\n"),
            ({"KITTY_WINDOW_ID": "1"},
             b"\x1b_Ga=T,f=100,m=1;" + IMAGE[:4096].encode() + b"\x1b\\\x1b_Gm=1;" + IMAGE[4096:8192].encode()
             + b"\x1b\\\x1b_Gm=1;" + IMAGE[8192:12288].encode() + b"\x1b\\\x1b_Gm=0;" + IMAGE[12288:].encode()
             + b"\x1b\\\n")):
            _, output = self.terminal("x", lines=[DONE], env=env)
            self.assertIn(pattern + b"Image saved to: ", output)

    def interrupt(self, number, on_terminal):
        gone = threading.Event()
        server = self.case(step(0), step(2), gone)
        command, sent = [EASEL, "run", "m", "x"], []

        def on_output(process, output):
            if "2/9".encode() in output and not sent:
                sent.append(process.send_signal(number))
        if on_terminal:
            status, output = run_on_terminal(command, cwd=self.folder, env=self.environment(server),
                                             on_output=on_output)
            self.assertTrue(output.endswith(b"\x1b[2K\x1b[1G\x1b[?25h"), output)
        else:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment(server),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(process.stderr.readline(), b"Generating: step 2/9\n")
            process.send_signal(number)
            self.assertEqual(process.communicate(timeout=30), (b"", b""))
            status = process.returncode
        self.assertEqual(status, -number)
        self.assertTrue(gone.wait(10), "the connection is closed")
        self.assertEqual(self.files(), [])

    def test_interrupt(self):
        self.interrupt(signal.SIGINT, True)
        self.interrupt(signal.SIGINT, False)
        self.interrupt(signal.SIGTERM, False)


if __name__ == "__main__":
    unittest.main()
