"""Who watches a pull or push: how many lines they get, and what happens when they stop reading."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

from gateway_test import wait_for
from transfer_test import Model, TransferTest, check_store, unittest

MIB = 1 << 20

# Takes one byte of an answer that no small window holds, says so and never reads again.
DEAF = """
import socket, signal, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
sock.connect(("127.0.0.1", int(sys.argv[1])))
body = sys.argv[3].encode()
sock.sendall(b"GET /openapi.json HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\nPOST %s HTTP/1.1\\r\\nHost: localhost\\r\\n"
             b"Content-Length: %d\\r\\n\\r\\n%s" % (sys.argv[2].encode(), len(body), body))
sock.recv(1)
print("ready", flush=True)
signal.pause()
"""


class Watchers(TransferTest):
    env = {"EASEL_TRANSFER_STALL": "30s", "EASEL_CLIENT_STALL": "1s"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = Model("watchers", [3 * MIB, 2 * MIB, 100000, 1]).put(cls.registry)

    def files_open(self):
        """Those of the store that the gateway has open."""
        folder = f"/proc/{self.gateway.process.pid}/fd"
        found = []
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(os.path.join(folder, name)))
            except FileNotFoundError:
                pass
        return [path for path in found if "/blobs/" in path]

    def clients(self):
        """How many sockets the gateway has open with clients of its own."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
        return sum(row[1].endswith(f":{self.gateway.port:04X}") and row[3] == "01" and row[9] != "0" for row in rows)

    def memory(self):
        with open(f"/proc/{self.gateway.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) * 1024

    def deaf_client(self, path="/api/pull", **members):
        """Stopped for good once its request is on its way."""
        body = json.dumps({"model": self.name(), "insecure": True, **members})
        client = subprocess.Popen([sys.executable, "-c", DEAF, str(self.gateway.port), path, body],
                                  stdout=subprocess.PIPE)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), b"ready\n")
        client.send_signal(signal.SIGSTOP)
        return client

    def hold(self, condition):
        """Requests of that kind hang until the proxy is released."""
        self.proxy.reset(lambda request: {"stall": 1024} if condition(request) and not self.proxy.released.is_set()
                         else None)

    def test_ten_lines_a_second(self):
        self.proxy.reset(lambda request: {"pace": 0.04} if request.is_blob else None)
        began = time.monotonic()
        lines = [line for line in self.succeeds(self.pull()) if "digest" in line]
        took = time.monotonic() - began
        self.assertGreater(took, 1)
        self.assertLessEqual(len(lines), 10 * took + 2)
        self.assertGreater(len(lines), 5)
        completed = [line.get("completed", 0) for line in lines]
        self.assertEqual(completed, sorted(completed))
        self.assertEqual(completed[-1], self.model.total)

    def test_silence_is_filled(self):
        """Nothing happens for as long as a client may take nothing: the last line comes again."""
        self.hold(lambda request: request.is_blob)
        sock = self.gateway.send("POST", "/api/pull", {"model": self.name(), "insecure": True})
        text = b""
        while not (lines := re.findall(rb'\{"status":"pulling model"[^\n]*', text)) or lines[-1] not in lines[:-1]:
            text += sock.recv(65536)
        self.assertNotIn(b"error", text)

    def test_deaf_client_is_dropped(self):
        self.hold(lambda request: request.is_blob)
        memory = self.memory()
        self.deaf_client()
        wait_for("the pull", lambda: any(path.endswith(".tmp") for path in self.files_open()))
        self.assertEqual(self.gateway.get("/api/version").status, 200)
        wait_for("the pull's end", lambda: not self.files_open() and not self.clients())
        self.assertLess(self.memory() - memory, 16e6)
        self.proxy.released.set()
        self.succeeds(self.pull())
        check_store(self.root, self.proxy.host)

    def test_deaf_client_of_a_create_that_pulls(self):
        self.hold(lambda request: request.is_blob)
        self.deaf_client("/api/create", **{"model": "new", "from": self.name()})
        wait_for("the pull", lambda: any(path.endswith(".tmp") for path in self.files_open()))
        wait_for("the pull's end", lambda: not self.files_open() and not self.clients())

    def test_deaf_client_of_a_finished_pull(self):
        self.deaf_client()
        self.assertEqual(self.clients(), 1)
        wait_for("the tag", lambda: self.gateway.get("/api/tags").json["models"])
        wait_for("the client to be dropped", lambda: not self.clients())
        check_store(self.root, self.proxy.host)

    def test_others_go_on(self):
        """The download of a client that is dropped belongs to whoever else waits for it."""
        self.hold(lambda request: request.is_blob)
        self.deaf_client()
        wait_for("the pull", lambda: len(self.proxy.blob_requests()) >= 3)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.pull()))
        thread.start()
        wait_for("both", lambda: sum(r.is_manifest for r in self.proxy.requests) == 2)
        wait_for("one to be dropped", lambda: self.clients() == 1)
        self.assertGreater(len(self.files_open()), 0)
        self.proxy.released.set()
        thread.join()
        self.succeeds(answers[0])
        self.assertEqual(len({r.path for r in self.proxy.blob_requests()}), len(self.model.blobs))
        self.assertEqual(self.files_open(), [])

    def test_deaf_client_of_a_push(self):
        self.succeeds(self.pull())
        self.proxy.reset(lambda request: {"hang": True} if request.method == "HEAD" else None)
        self.deaf_client("/api/push")
        wait_for("the push", lambda: len(self.files_open()) == len(self.model.blobs))
        wait_for("its end", lambda: not self.files_open() and not self.clients())


if __name__ == "__main__":
    unittest.main()
