"""HTTP itself, on raw sockets: framing, limits, pipelining, connections that end early."""
import re
import socket

from gateway_test import PATIENCE, GatewayTest, read_all, read_until, unittest, wait_for

VERSION = b'{"version":"0.32.0","easel":"'


class Http(GatewayTest):
    def exchange(self, *pieces):
        """Sends the pieces one by one, ends our side, returns all that comes back."""
        with self.gateway.connect() as sock:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def status(self, *pieces):
        answer = self.exchange(*pieces)
        match = re.match(rb"HTTP/1\.[01] (\d+) ", answer)
        self.assertTrue(match, answer[:200])
        return int(match.group(1)), answer

    def test_headers_are_exact(self):
        answer = self.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc-1\r\n\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                         rb"X-Request-Id: abc-1\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
                         rb"Content-Length: 17\r\n\r\nOllama is running$")

    def test_request_id_of_a_stranger_is_checked(self):
        answer = self.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a b\"c\r\n\r\n")
        self.assertRegex(answer, rb"X-Request-Id: [0-9a-f]{16}\r\n")

    def test_head(self):
        for path, length in ((b"/", 17), (b"/api/version", None), (b"/api/tags", None)):
            status, answer = self.status(b"HEAD %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
            self.assertEqual(status, 200)
            self.assertTrue(answer.endswith(b"\r\n\r\n"), answer)
            self.assertRegex(answer, rb"Content-Length: %s\r\n" % (b"%d" % length if length else rb"[1-9]\d*"))

    def test_pipelined_requests_are_answered_in_order(self):
        one = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        two = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        three = (b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 37\r\n\r\n"
                 b'{"model":"ok","prompt":"a","steps":1}')
        last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with self.gateway.connect() as sock:
            sock.sendall(one + two + three + one + last)
            answer = read_all(sock)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", answer), [b"200", b"400", b"200", b"200", b"200"])
        self.assertIn(b'"done":true', answer)
        self.assertTrue(answer.endswith(b"Ollama is running"))

    def test_bytes_one_by_one(self):
        text = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n\r\n" + b'{"model":"ok"}'
        status, answer = self.status(*[text[i:i + 1] for i in range(len(text))])
        self.assertEqual(status, 200, answer)

    def test_chunked_body(self):
        status, answer = self.status(
            b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'8\r\n{"model"\r\n6;ext=1\r\n:"ok"}\r\n0\r\nTrailer: x\r\n\r\n')
        self.assertEqual(status, 200, answer)

    def test_expect_continue(self):
        with self.gateway.connect() as sock:
            sock.sendall(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\n"
                         b"Expect: 100-continue\r\n\r\n")
            self.assertEqual(read_until(sock, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(b'{"model":"ok"}')
            self.assertIn(b"HTTP/1.1 200 OK", read_until(sock, b"}"))

    def test_http_1_0(self):
        answer = self.exchange(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.0 200 OK\r\n"), answer)
        self.assertIn(b"Connection: close\r\n", answer)
        with self.gateway.connect() as sock:
            sock.sendall(b"POST /api/generate HTTP/1.0\r\nContent-Length: 37\r\n\r\n"
                         b'{"model":"ok","prompt":"a","steps":1}')
            answer = read_all(sock)
        self.assertNotIn(b"chunked", answer)
        self.assertTrue(answer.endswith(b'"}\n'), answer[-50:])

    def test_body_limit(self):
        status, answer = self.status(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108865\r\n\r\n")
        self.assertEqual(status, 413)
        self.assertIn(b"Connection: close", answer)
        self.assertTrue(answer.endswith(b'{"error":"http: request body too large"}'), answer)
        status, answer = self.status(
            b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        self.assertEqual(status, 413)
        self.assertIn(b'"type":"api_error"', answer)

    def test_body_limit_of_chunks(self):
        with self.gateway.connect() as sock:
            sock.sendall(b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
            try:
                for _ in range(65):
                    sock.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 413 "))

    def test_head_limit(self):
        status, _ = self.status(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n")
        self.assertEqual(status, 431)
        status, _ = self.status(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1 << 19) + b"\r\n\r\n")
        self.assertEqual(status, 200)

    def test_nonsense(self):
        for text in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                     b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            status, answer = self.status(text)
            self.assertEqual(status, 400, text)
            self.assertRegex(answer, rb"\r\nX-Request-Id: [0-9a-f]{16}\r\n")

    def test_upgrades_are_not_taken(self):
        status, _ = self.status(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                                b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
        self.assertEqual(status, 200)

    def test_paths(self):
        for target, status in ((b"http://localhost/api/version?x=1", 200), (b"/api/version?ts=1", 200),
                               (b"/%61pi/version", 200), (b"*", 404), (b"/api", 404), (b"/v1/models/", 301)):
            self.assertEqual(self.status(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)[0], status, target)

    def test_unknown_and_wrong_method(self):
        answer = self.gateway.get("/nope")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body),
                         (404, "text/plain", b"404 page not found"))
        answer = self.gateway.request("DELETE", "/api/tags")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.headers["Allow"], answer.body),
                         (405, "text/plain", "GET, HEAD", b"405 method not allowed"))
        self.assertEqual(self.gateway.request("HEAD", "/api/ps").status, 405)
        self.assertEqual(self.gateway.request("OPTIONS", "/api/tags", headers={"Host": "127.0.0.1"}).status, 405)

    def test_redirects(self):
        for method, path, status, location in (
                ("GET", "/api/tags/", 301, "/api/tags"), ("POST", "/api/show/?a=b", 307, "/api/show?a=b"),
                ("GET", "//api//tags", 307, "/api/tags")):
            answer = self.gateway.request(method, path)
            self.assertEqual((answer.status, answer.headers["Location"]), (status, location))

    def test_clients_that_leave_in_the_middle(self):
        for text in (b"GET", b"POST /api/show HTTP/1.1\r\nContent-Length: 100\r\n\r\n{", b""):
            with self.gateway.connect() as sock:
                sock.sendall(text)
        self.assertEqual(self.gateway.get("/").status, 200)

    def test_memory_stays_flat_for_a_body_nobody_wants(self):
        def resident():
            with open(f"/proc/{self.gateway.process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * 4096

        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as file:
            if "libasan" in file.read():
                self.skipTest("the address sanitizer keeps freed memory")
        before = resident()
        size = 256 << 20
        with self.gateway.connect() as sock:
            sock.sendall(b"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                sock.sendall(block)
            self.assertIn(b"404 page not found", read_until(sock, b"found"))
        self.assertLess(resident() - before, 64 << 20)

    def test_client_that_only_asks_is_not_read_for_ever(self):
        """Answers that nobody takes do not pile up, and all come once they are taken."""
        one, n = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n", 400_000
        block, sent = one * 1000, 0
        with self.gateway.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            sock.settimeout(1)
            try:
                while sent < n * len(one):
                    sent += sock.send(block[sent % len(one):])
            except TimeoutError:
                pass
            self.assertLess(sent, n * len(one))
            sock.settimeout(PATIENCE)
            wanted, got, rest = sent // len(one), 0, b""
            while got < wanted:
                rest += sock.recv(1 << 16)
                got += rest.count(b"HTTP/1.1 200 OK")
                rest = rest[-14:]

    def test_connection_is_logged_once_a_request(self):
        self.gateway.get("/api/version", **{"X-Request-Id": "logged-once"})
        wait_for("the line", lambda: "logged-once" in self.gateway.log())
        (line,) = [line for line in self.gateway.log().splitlines() if "logged-once" in line]
        self.assertRegex(line, r'level=INFO .*200 \| .* 127\.0\.0\.1 \| GET +\\"/api/version\\"" id=logged-once$')


if __name__ == "__main__":
    unittest.main()
