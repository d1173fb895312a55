"""A disk that takes its time for each sync holds up only those who wait for theirs."""
import hashlib
import os
import threading
import time

from gateway_test import GATEWAY, GatewayTest, unittest, wait_for

TIMES = 6


def is_sanitized():
    with open(GATEWAY, "rb") as file:
        return b"libasan" in file.read(1 << 18)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@unittest.skipIf(is_sanitized(), "nothing is loaded before the sanitizer")
class SlowDisk(GatewayTest):
    env = {"LD_PRELOAD": os.environ["EASEL_SLOW_SYNC"]}

    def slowest(self, do):
        """What others wait at most while do(i) is done for many i at once; what it returned."""
        answers, slowest = [], 0
        threads = [threading.Thread(target=lambda i=i: answers.append(do(i))) for i in range(TIMES)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            self.assertEqual(self.gateway.get("/api/version").status, 200)
            slowest = max(slowest, time.monotonic() - began)
            threads[0].join(0.02)
        return slowest, answers

    def test_uploads(self):
        def send(i):
            data = b"%d" % i
            return self.gateway.post("/api/blobs/" + digest_of(data), data).status

        with self.gateway.connect() as sock:            # one that leaves before its answer
            sock.sendall(b"POST /api/blobs/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nleft"
                         % digest_of(b"left").encode())
        slowest, answers = self.slowest(send)
        self.assertEqual(answers, [201] * TIMES)
        self.assertLess(slowest, 1.5)
        blobs = os.path.join(self.gateway.store.root, "blobs")
        wait_for("the end of all", lambda: all(len(name) == 71 for name in os.listdir(blobs)))

    def test_copies_and_deletes(self):
        slowest, answers = self.slowest(
            lambda i: self.gateway.post("/api/copy", {"source": "ok", "destination": f"m{i}"}).status)
        self.assertEqual(answers, [200] * TIMES)
        self.assertLess(slowest, 1.5)
        # Deletes beside each other: what each alone used is freed, though that needs the store alone.
        store = self.gateway.store
        own = [store.layer("application/vnd.ollama.image.license", b"of %d" % i) for i in range(TIMES)]
        for i, layer in enumerate(own):
            store.model(f"m{i}", extra=[layer])
        slowest, answers = self.slowest(
            lambda i: self.gateway.request("DELETE", "/api/delete", {"model": f"m{i}"}).status)
        self.assertEqual(answers, [200] * TIMES)
        self.assertLess(slowest, 1.5)
        self.assertEqual([model["name"] for model in self.gateway.get("/api/tags").json["models"]], ["ok:latest"])
        self.assertFalse({layer["digest"].replace(":", "-") for layer in own} & set(os.listdir(
            os.path.join(store.root, "blobs"))))


if __name__ == "__main__":
    unittest.main()
