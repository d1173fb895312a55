"""POST /v1/images/edits as a form: multipart/form-data in all its spellings, uploads that
are large, chunked, cut off or pipelined."""
import http.client
import re

from gateway_test import PATIENCE, GatewayTest, read_all, read_until, unittest, wait_for
from picture_files import FORM, JPEG, asked, b64, form, part, png, told, uri

A, B, MASK = png(1), png(2), png(3)
TEXT = (part("model", "ok"), part("prompt", "a hat"))
IMAGE = part("image", A, "a.png", "Content-Type: image/png")
URL = "/v1/images/edits"


class FormsTest(GatewayTest):
    models = ("ok", "long")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.store.model("ok", "sees", capabilities=("image", "vision"))

    def send(self, body, content_type=FORM):
        return self.gateway.post(URL, body, **{"Content-Type": content_type})

    def drawn(self, *parts, **how):
        return self.drawn_by(form(*TEXT, IMAGE, *parts, **how))

    def drawn_by(self, body, content_type=FORM):
        answer = self.send(body, content_type)
        self.assertEqual(answer.status, 200, answer.body)
        return asked(answer.json["data"][0]["b64_json"])

    def invalid(self, body, message, content_type=FORM):
        answer = self.send(body, content_type)
        self.assertEqual((answer.status, answer.error), (400, message), body[:200])
        self.assertEqual(answer.json["error"]["type"], "invalid_request_error")
        self.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")


class Members(FormsTest):
    def test_members(self):
        drawn = self.drawn(part("size", "512x256"), part("seed", "7"), part("steps", "8"), part("strength", "0.5"),
                           part("mask", MASK, "m.png"), part("mask_mode", "white"), part("guidance", "1.5"),
                           part("negative_prompt", "rain"), part("response_format", "b64_json"),
                           part("output_format", "png"))
        self.assertEqual(drawn, {"prompt": "a hat", "negative": "rain", "width": 512, "height": 256, "steps": 8,
                                 "seed": 7, "guidance": 1.5, "images": 1, "files": told(A, MASK), "strength": 0.5,
                                 "mask": "white"})

    def test_count_stream_and_ignored(self):
        answer = self.send(form(*TEXT, IMAGE, part("n", "2"), part("stream", "true"), part("user", "u"),
                                part("background", "auto"), part("input_fidelity", "high"), part("steps", "2"),
                                part("sampler", "x"), part("quality", "hd")))
        self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
        self.assertEqual(answer.headers["X-Easel-Ignored"], "quality, user, background, input_fidelity, sampler")
        self.assertEqual(re.findall(rb'"step":(\d+),"total":4', answer.body), [b"1", b"2", b"3", b"4"])

    def test_files(self):
        several = [part("image", A, "a.png"), part("image[]", JPEG, "b.jpg"), part("images", B, "c"),
                   part("images[]", A, "d")]
        body = form(part("model", "ok:sees"), part("prompt", "x"), *several, part("mask", MASK, "m"))
        self.assertEqual(self.drawn_by(body)["files"], told(A, JPEG, B, A, MASK))
        # a form field that was left alone; the file of a field that is none of ours
        self.assertEqual(self.drawn(part("mask", b"", "", "Content-Type: application/octet-stream"),
                                    part("other", png(9), "o.png"), part("model", "ok"))["files"], told(A))
        # base64 in a text part; a file whose client gave it no name
        for value in (b64(A), uri(A), A):
            self.assertEqual(self.drawn_by(form(*TEXT, part("image", value)))["files"], told(A))
        # whatever stands in a file, boundaries that are none included
        odd = A + b"\r\n------xyzz\r\n\r\n------xyz \r\r\n------xyz--- \r\n\n------xyz\r\n\0\r\n"
        self.assertEqual(self.drawn_by(form(*TEXT, part("image", odd, "a")))["files"], told(odd))

    def test_texts(self):
        self.assertEqual(self.drawn(part("prompt", b"a \xff hat"))["prompt"], "a \ufffd hat")
        self.assertEqual(self.drawn(part("prompt", b"42", None, "Content-Type: text/plain; charset=latin1"))["prompt"], "42")
        self.assertEqual(self.drawn(part("prompt", "first"), part("prompt", "last"))["prompt"], "last")
        self.assertEqual(self.drawn(part("Prompt", "in any case"))["prompt"], "in any case")
        self.assertEqual(self.drawn(part("prompt", "two\r\nlines\r\n"))["prompt"], "two\r\nlines\r\n")
        self.assertEqual(self.drawn(part("n", ""), part("seed", ""), part("stream", ""))["steps"], 4)
        self.assertEqual(self.drawn(part("nothing we know", "x" * 100000))["steps"], 4)
        self.assertEqual(self.drawn(part("prompt", "x=", None, "Content-Transfer-Encoding: base64"))["prompt"], "x=")

    def test_types_as_in_json(self):
        """The same sentences for both forms."""
        for member, value, literal in (("n", "x", "x"), ("n", 1.5, "1.5"), ("steps", True, "true"), ("n", 0, "0"),
                                       ("stream", "yes", "yes"), ("guidance", "1,5", "1,5"), ("guidance", 101, "101"),
                                       ("strength", 2, "2"), ("output_format", "gif", "gif"), ("n", 1 << 70, str(1 << 70)),
                                       ("size", "5000x64", "5000x64")):
            by_json = self.gateway.post(URL, {"model": "ok", "prompt": "x", "image": uri(A), member: value})
            by_form = self.send(form(*TEXT, IMAGE, part(member, literal)))
            self.assertEqual((by_form.status, by_form.error), (by_json.status, by_json.error))
            self.assertEqual(by_form.status, 400)

    def test_errors(self):
        self.invalid(form(part("x", "")), "prompt is required")
        self.invalid(form(), "prompt is required")
        self.invalid(form(TEXT[1]), "model is required")
        self.invalid(form(*TEXT), "image is required")
        self.invalid(form(*TEXT, part("image", b"", "")), "image is required")
        self.invalid(form(*TEXT, part("image", b"GIF89a", "a.gif")), "invalid image 0: not a PNG, JPEG or WebP file")
        self.invalid(form(*TEXT, IMAGE, part("mask", b"GIF89a", "a.gif")), "invalid mask: not a PNG, JPEG or WebP file")
        self.invalid(form(*TEXT, part("image", b64(A).encode(), "a.txt")), "invalid image 0: not a PNG, JPEG or WebP file")
        self.invalid(form(*TEXT, part("image", "junk")), "invalid image: invalid image input")
        self.invalid(form(*TEXT, part("image", "https://example.com/a.png")), "invalid image: image URLs are not "
                     "currently supported, please use base64 encoded data instead")
        self.invalid(form(*TEXT, *[IMAGE] * 17), "too many input images, maximum is 16")
        self.invalid(form(*TEXT, part("mask", MASK, "m"), part("strength", "3")), "image is required")
        answer = self.send(form(*TEXT, IMAGE, IMAGE))
        self.refused(answer, 400, "model does not support image editing with more than one image")


class Syntax(FormsTest):
    def test_boundaries(self):
        for content_type, boundary in (
                ('multipart/form-data; boundary="a b"', b"a b"), ("multipart/form-data;boundary=x", b"x"),
                ("Multipart/Form-Data ; charset=utf-8; BOUNDARY=----=_Part_1", b"----=_Part_1"),
                ('multipart/form-data; boundary="a\\"b"', b'a"b'), ("multipart/form-data; boundary=" + "b" * 70, b"b" * 70),
                ('multipart/form-data; a="; boundary=no"; boundary=yes', b"yes")):
            body = form(*TEXT, IMAGE, boundary=boundary)
            self.assertEqual(self.drawn_by(body, content_type)["files"], told(A), content_type)
        for content_type in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x",
                             'multipart/form-data; boundary="open', 'multipart/form-data; boundary=""'):
            self.invalid(form(*TEXT), "multipart: the Content-Type names no boundary", content_type)
        self.invalid(form(*TEXT), "multipart: a boundary of 71 characters, at most 70 are allowed",
                     "multipart/form-data; boundary=" + "b" * 71)
        self.invalid(form(*TEXT), "multipart: the body does not hold the boundary that its Content-Type names",
                     "multipart/form-data; boundary=other")
        self.invalid(b"", "EOF")

    def test_other_types_are_json(self):
        for content_type in ("application/json", "text/plain", "multipart/mixed; boundary=x", "multipart/form-dataX"):
            answer = self.gateway.post(URL, {"model": "ok", "prompt": "x", "image": uri(A)}, **{"Content-Type": content_type})
            self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.send(form(*TEXT, IMAGE), "application/json").status, 400)

    def test_lines(self):
        parts = (*TEXT, part("image", A, "a.png"))
        for body in (form(*parts, pre=b"To be skipped.\r\n"), form(*parts, post=b"\r\nepilogue\r\n------xyz\r\n"),
                     form(*parts, post=b""), form(*parts, post=b"  \r\n"), form(*parts, pre=b"\r\n"),
                     form(*parts).replace(b"------xyz\r\n", b"------xyz \t\r\n"),
                     form(*parts, pre=b"x------xyz\r\n------xyzz\r\n")):
            self.assertEqual(self.drawn_by(body)["files"], told(A), body)
        self.assertEqual(self.drawn_by(form(*TEXT, IMAGE, part("user", b"")).replace(b"\r\n\r\n\r\n------", b"\r\n\r\n------"))
                         ["files"], told(A))

    def test_line_feeds_alone(self):
        body = b"".join(b"------xyz\n" + p.replace(b"\r\n", b"\n") + b"\n" for p in TEXT)
        body += b'------xyz\nContent-Disposition: form-data; name="image"; filename="a"\n\n' + A + b"\n------xyz--\n"
        self.assertEqual(self.drawn_by(body)["files"], told(A))

    def test_names(self):
        for name in ('prompt', '"prompt"', '"prompt"; filename="a\\"; name=\\"model"', '"prompt"; filename="%22"',
                     '"prompt"; filename="a;b=c"', '"prompt"; filename*=UTF-8\'\'%e2%82%ac', ' "prompt" ;filename=x'):
            named = b"Content-Disposition: form-data; name=%s\r\n\r\nby name" % name.replace(" \"", "\"").encode()
            self.assertEqual(self.drawn(named)["prompt"], "by name", name)
        for head in (b'content-disposition:form-data;name="prompt"', b'X-A: b\r\nCONTENT-DISPOSITION: Form-Data; Name="prompt"',
                     b'Content-Disposition: form-data; ; name="prompt";'):
            self.assertEqual(self.drawn(head + b"\r\n\r\nby name")["prompt"], "by name", head)
        # quotes in names are no longer ours
        for name in (b"pro\\\"mpt", b"pro%22mpt", b"prompt%0D%0A"):
            self.assertEqual(self.drawn(b'Content-Disposition: form-data; name="%s"\r\n\r\nx' % name)["prompt"], "a hat")

    def test_bad_parts(self):
        for head, error in (
                (b"Content-Type: text/plain", "has no Content-Disposition: form-data with a name"),
                (b"Content-Disposition: form-data", "has no Content-Disposition: form-data with a name"),
                (b'Content-Disposition: form-data; name=""', "has no Content-Disposition: form-data with a name"),
                (b'Content-Disposition: attachment; name="x"', "has a Content-Disposition that cannot be read"),
                (b'Content-Disposition: form-data; name="x', "has a Content-Disposition that cannot be read"),
                (b'Content-Disposition: form-data; name="x"y', "has a Content-Disposition that cannot be read"),
                (b'Content-Disposition: form-data, name="x"', "has a Content-Disposition that cannot be read"),
                (b'Content-Disposition: form-data; name="x"; name="y"', "has two names"),
                (b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="y"',
                 "has two Content-Dispositions"),
                (b'Content-Disposition: form-data;\r\n name="x"', "has a header of several lines"),
                (b'Content-Disposition: form-data; name="x\0"', "has a control character in its header"),
                (b'Content-Disposition: form-data; name="x"\nA: b', "has a control character in its header"),
                (b"nonsense", "has a header line without a colon"),
                (b'Content-Disposition: form-data; name="%s"' % (b"x" * 129), "has a name that is too long"),
                (b"X: " + b"x" * (16 << 10), "has a header that is too long")):
            self.invalid(form(*TEXT, head + b"\r\n\r\nx"), "multipart: part 3 " + error)
        self.invalid(form(*[part("user", "x")] * 129), "multipart: more than 128 parts")
        self.assertEqual(self.drawn(*[part("user", "x")] * 125)["steps"], 4)

    def test_cut_off(self):
        whole = form(*TEXT, IMAGE)
        unended = "multipart: unexpected EOF: part 3 is not followed by a boundary"
        self.invalid(form(*TEXT, IMAGE, end=b"", post=b""), unended)
        self.invalid(whole[:-5], unended)
        self.invalid(whole[:whole.index(b"image/png")], "multipart: part 3 ends in its header: unexpected EOF")
        for n in range(0, len(whole) - 4, 7):
            self.assertEqual(self.send(whole[:n]).status, 400)


class Uploads(FormsTest):
    def head(self, *lines):
        return ("\r\n".join([f"POST {URL} HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", *lines]) + "\r\n\r\n").encode()

    def test_large(self):
        big = png(4, 40 << 20)
        self.assertEqual(self.drawn_by(form(*TEXT, part("image", big, "big.png")))["files"], told(big))
        answer = self.gateway.post(URL, {"model": "ok", "prompt": "x", "image": uri(big)})
        self.assertEqual(asked(answer.json["data"][0]["b64_json"])["files"], told(big))

    def test_too_large(self):
        with self.gateway.connect() as sock:
            sock.sendall(self.head(f"Content-Length: {(64 << 20) + 1}"))
            answer = read_all(sock)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
        self.assertIn(b'"message":"http: request body too large","type":"api_error"', answer)
        with self.gateway.connect() as sock:
            sock.sendall(self.head("Transfer-Encoding: chunked"))
            try:
                for _ in range(65):
                    sock.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 413 "))

    def test_chunked_as_curl_sends_it(self):
        body = form(*TEXT, IMAGE, boundary=b"------------------------d74496d66958873e")
        with self.gateway.connect() as sock:
            sock.sendall(f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
                         "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Type: "
                         "multipart/form-data; boundary=------------------------d74496d66958873e\r\n\r\n".encode())
            self.assertEqual(read_until(sock, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
            for i in range(0, len(body), 11):
                piece = body[i:i + 11]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
            answer = read_all(sock)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)

    def test_pipelined(self):
        one = form(*TEXT, IMAGE)
        bad = form(*TEXT, part("image", "x"))
        ask = b"".join(self.head(f"Content-Length: {len(body)}") + body for body in (one, bad, one))
        with self.gateway.connect() as sock:
            sock.sendall(ask + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = read_all(sock)
        self.assertEqual(re.findall(rb"HTTP/1.1 (\d+)", answer), [b"200", b"400", b"200", b"200"])
        self.assertTrue(answer.endswith(b"Ollama is running"))

    def test_client_that_leaves_while_uploading(self):
        own = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=PATIENCE)
        self.addCleanup(own.close)

        def n_others():
            own.request("GET", "/metrics")
            return int(re.search(rb"^easel_http_connections (\d+)$", own.getresponse().read(), re.M).group(1)) - 1

        self.drawn()
        wait_for("connections of earlier tests to end", lambda: n_others() == 0)
        body = form(*TEXT, part("image", png(6, 4 << 20), "a.png"))
        for n in (10, len(body) // 2, len(body) - 1):
            with self.gateway.connect() as sock:
                sock.sendall(self.head(f"Content-Length: {len(body)}") + body[:n])
                wait_for("the connection", lambda: n_others() == 1)
            wait_for("the gateway to notice", lambda: n_others() == 0)
        self.assertEqual(self.drawn()["files"], told(A))

    def test_client_that_leaves_while_its_files_go_to_the_runner(self):
        big = png(6, 30 << 20)
        for _ in range(3):
            sock = self.gateway.connect()
            body = form(part("model", "long"), TEXT[1], part("steps", 1000), part("image", big, "a.png"))
            sock.sendall(self.head(f"Content-Length: {len(body)}") + body)
            wait_for("the request to run", lambda: any(m["name"] == "long:latest" and m["state"] == "busy"
                                                       for m in self.gateway.ps()))
            sock.close()
            wait_for("the cancel", lambda: any(m["name"] == "long:latest" and m["state"] == "idle"
                                               for m in self.gateway.ps()))
        answer = self.send(form(part("model", "long"), TEXT[1], part("steps", 1), IMAGE))
        self.assertEqual(asked(answer.json["data"][0]["b64_json"])["files"], told(A))

    def test_memory_is_held_once_and_given_back(self):
        """While a picture is drawn from 40 MB, and after; as form and as JSON."""
        def resident():
            with open(f"/proc/{self.gateway.process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * 4096

        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as file:
            if "libasan" in file.read():
                self.skipTest("the address sanitizer keeps freed memory")
        big = png(8, 40 << 20)
        self.drawn()
        before = resident()
        for body, content_type in ((form(*TEXT, part("image", big, "b")), FORM),
                                   (b'{"model":"ok","prompt":"x","image":"%s"}' % uri(big).encode(), "application/json")):
            self.assertEqual(self.send(body, content_type).status, 200)
            self.assertLess(resident() - before, 16 << 20)
            with open(f"/proc/{self.gateway.process.pid}/status", encoding="ascii") as file:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) * 1024
            self.assertLess(peak - before, len(body) + (16 << 20), content_type)


if __name__ == "__main__":
    unittest.main()
