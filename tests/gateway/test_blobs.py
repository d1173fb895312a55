"""/api/blobs: what is uploaded lands in the store as it comes, or not at all."""
import fcntl
import hashlib
import os
import socket

from gateway_test import GatewayTest, PATIENCE, read_all, read_until, unittest, wait_for


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Blobs(GatewayTest):
    def path(self, digest):
        return os.path.join(self.gateway.store.root, "blobs", digest.replace(":", "-"))

    def leftovers(self):
        """Temporary files: names that are no digest."""
        return [name for name in os.listdir(os.path.join(self.gateway.store.root, "blobs")) if len(name) != 71]

    def head(self, digest):
        return self.gateway.request("HEAD", "/api/blobs/" + digest)

    def test_new_and_present(self):
        data = b"some weights"
        digest = digest_of(data)
        answer = self.head(digest)
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body),
                         (404, "application/json; charset=utf-8", b""))
        answer = self.gateway.post("/api/blobs/" + digest, data)
        self.assertEqual((answer.status, answer.body, answer.headers["Content-Length"]), (201, b"", "0"))
        self.assertNotIn("Content-Type", answer.headers)
        with open(self.path(digest), "rb") as file:
            self.assertEqual(file.read(), data)
        for again in (digest, digest.replace(":", "-"), "sha256:" + digest[7:].upper()):
            self.assertEqual(self.gateway.post("/api/blobs/" + again, data).status, 200, again)
            answer = self.head(again)
            self.assertEqual((answer.status, sorted(answer.headers)), (200, ["Date", "X-Request-Id"]))
        self.assertEqual(self.leftovers(), [])

    def test_other_content(self):
        asked, got = digest_of(b"right"), digest_of(b"wrong")
        answer = self.gateway.post("/api/blobs/" + asked, b"wrong")
        self.refused(answer, 400, f'digest mismatch, expected "{asked}", got "{got}"')
        self.assertEqual((self.head(asked).status, self.head(got).status, self.leftovers()), (404, 404, []))

    def test_bad_digests(self):
        for bad in ("x", "sha256:" + "0" * 63, "sha256:" + "g" * 64, "md5:" + "0" * 64, "..%2f..%2fx"):
            self.refused(self.gateway.post("/api/blobs/" + bad, b"x"), 400, "invalid digest format")
            self.assertEqual(self.head(bad).status, 400)
        self.assertEqual(self.gateway.get("/api/blobs/" + digest_of(b"")).status, 405)

    def test_empty(self):
        self.assertEqual(self.gateway.post("/api/blobs/" + digest_of(b""), b"").status, 201)

    def test_chunked_after_continue(self):
        data = os.urandom(300_000)
        with self.gateway.connect() as sock:
            sock.sendall(b"POST /api/blobs/%s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                         b"Expect: 100-continue\r\nConnection: close\r\n\r\n" % digest_of(data).encode())
            self.assertEqual(read_until(sock, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
            for at in range(0, len(data), 70_000):
                piece = data[at:at + 70_000]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
            self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 201 Created\r\n"))

    def test_a_body_that_is_not_wanted_stays_away(self):
        """Who waits for 100 gets the answer instead."""
        data = b"known"
        self.gateway.post("/api/blobs/" + digest_of(data), data)
        for path, status in (("/api/blobs/" + digest_of(data), b"200 OK"), ("/api/blobs/x", b"400 Bad Request"),
                             ("/nope", b"404 Not Found"), ("/api/tags", b"405 Method Not Allowed")):
            with self.gateway.connect() as sock:
                sock.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n"
                             b"Expect: 100-continue\r\n\r\n" % path.encode())
                answer = read_all(sock)
                self.assertTrue(answer.startswith(b"HTTP/1.1 " + status), answer)
                self.assertIn(b"Connection: close", answer)

    def test_clients_that_leave(self):
        for text in (b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                     b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n"):
            with self.gateway.connect() as sock:
                sock.sendall(b"POST /api/blobs/%s HTTP/1.1\r\nHost: localhost\r\n%s" % (digest_of(b"x").encode(), text))
                if b"nonsense" in text:
                    self.assertTrue(read_all(sock).startswith(b"HTTP/1.1 400 "))
                else:
                    wait_for("the temporary file", self.leftovers)
            wait_for("its end", lambda: not self.leftovers())
        self.assertEqual(self.head(digest_of(b"x")).status, 404)

    def may_free(self):
        """Whether another process could free blobs now."""
        with open(os.path.join(self.gateway.store.root, ".easel-lock"), "rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def test_uploads_keep_nobody_from_freeing(self):
        """Neither one that goes on for long, nor one whose client left in the middle."""
        known = b"is there"
        self.gateway.post("/api/blobs/" + digest_of(known), known)
        for digest in (digest_of(b"x"), digest_of(known)):
            with self.gateway.connect() as sock:
                sock.sendall(b"POST /api/blobs/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"
                             % digest.encode())
                if digest == digest_of(b"x"):
                    wait_for("the temporary file", self.leftovers)
                self.assertEqual(self.gateway.get("/api/version").status, 200)
                self.assertTrue(self.may_free())
            wait_for("its end", lambda: not self.leftovers())
            self.assertTrue(self.may_free())

    def test_text_not_known_to_be_whole_is_asked_for_again(self):
        """If damaged, a model may use it, and no create could free it. A large file would take too long to send."""
        text = b'{"a": 1}'
        digest = digest_of(text)
        for damaged in (b'{"a": 2}', b"{"):
            with open(self.path(digest), "wb") as file:
                file.write(damaged)
            os.utime(self.path(digest), (1, 1))
            self.assertEqual(self.head(digest).status, 404)
            self.assertEqual(self.gateway.post("/api/blobs/" + digest, text).status // 100, 2)
            self.assertEqual(self.head(digest).status, 200)
            with open(self.path(digest), "rb") as file:
                self.assertEqual(file.read(), text)
        with open(self.path(digest_of(b"large")), "wb") as file:
            file.truncate((64 << 20) + 1)
        self.assertEqual(self.head(digest_of(b"large")).status, 200)

    def test_memory_stays_flat(self):
        def resident():
            with open(f"/proc/{self.gateway.process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * 4096

        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as file:
            if "libasan" in file.read():
                self.skipTest("the address sanitizer keeps freed memory")
        before, size, block = resident(), 128 << 20, bytes(1 << 20)
        hash_ = hashlib.sha256()
        for _ in range(size >> 20):
            hash_.update(block)
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=PATIENCE) as sock:
            sock.sendall(b"POST /api/blobs/sha256:%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                         % (hash_.hexdigest().encode(), size))
            for _ in range(size >> 20):
                sock.sendall(block)
            self.assertIn(b"HTTP/1.1 201 Created", read_until(sock, b"\r\n\r\n"))
        self.assertLess(resident() - before, 8 << 20)


if __name__ == "__main__":
    unittest.main()
