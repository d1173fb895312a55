"""A gateway of a test's own: on a free port, with a folder of its own, ended by close().
Shared by tests/gateway (with the fake runner) and tests/e2e (with the real one).
Standard library only.
"""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time


def wait_for(what, probe, seconds):
    """Polls probe() until it is true; what names it in the failure."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.01)


def process_state(pid):
    """(parent, state letter), or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[1]), fields[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    state = process_state(pid)
    return state is not None and state[1] != "Z"


def children(pid):
    states = {int(entry): process_state(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return [child for child, state in states.items() if state and state[0] == pid and state[1] != "Z"]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]

    @property
    def error(self):
        error = self.json["error"]
        return error["message"] if isinstance(error, dict) else error


class Server:
    """binary is the gateway; env is added to a clean environment; patience bounds hangs."""

    def __init__(self, binary, env, patience, folder=None):
        self.binary, self.env, self.patience = binary, env, patience
        self.folder = folder or tempfile.mkdtemp(prefix="easel-test-")
        self.log_path = os.path.join(self.folder, "gateway.log")
        self.sockets = []
        self.process = None
        self.start()

    def environment(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "EASEL_"))
                 and not k.lower().endswith("_proxy")}
        # No test may reach a real registry.
        return {**clean, "HOME": self.folder, "HTTPS_PROXY": "http://127.0.0.1:1", **self.env}

    def start(self):
        with open(self.log_path, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen([self.binary], stdout=log, stderr=log,
                                            env={"EASEL_HOST": "127.0.0.1:0", **self.environment()})
        pattern = re.compile(r"Listening on [^ ]*:(\d+) \(version ")

        def listening():
            if self.process.poll() is not None:
                raise AssertionError("the gateway ended:\n" + self.log())
            return pattern.search(self.log()[begin:])

        self.port = int(wait_for("the gateway to listen", listening, self.patience).group(1))

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(self.patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        """Ends the gateway; a sanitizer's report in the log of any process is a failure."""
        for sock in self.sockets:
            sock.close()
        self.stop()
        log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)
        if "Sanitizer" in log or "runtime error" in log:
            raise AssertionError(log)

    def runners(self):
        return children(self.process.pid)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except ConnectionError as error:
            raise AssertionError(f"{error}; exit status {self.process.poll()}; the log ends with:\n"
                                 + self.log()[-8000:]) from error
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, **headers):
        return self.request("POST", path, body, headers)

    def ps(self):
        return self.get("/api/ps").json["models"]

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=self.patience)
        self.sockets.append(sock)
        return sock

    def send(self, method, path, body, *headers):
        """A request on a socket of its own, its answer not read."""
        data = json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *headers]
        sock = self.connect()
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        return sock


def read_until(sock, text):
    data = b""
    while text not in data:
        more = sock.recv(65536)
        if not more:
            raise AssertionError(f"the connection ended before {text!r}: {data!r}")
        data += more
    return data


def read_all(sock):
    data = b""
    while more := sock.recv(65536):
        data += more
    return data
