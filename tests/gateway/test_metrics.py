"""What machines ask: /metrics, /livez, /readyz, and the log they read."""
import json
import re

from gateway_test import Gateway, GatewayTest, read_until, unittest, wait_for

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.e+-]+)')


def read_metrics(gateway):
    """{(name, labels): value}; every line must be what the text format allows."""
    answer = gateway.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples, family, seen = {}, None, set()
    for line in answer.body.decode().splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in seen, line
            seen.add(family)
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family and line.split(" ")[3] in ("counter", "gauge", "histogram"), line
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert re.sub("_(bucket|sum|count)$", "", name) == family or name == family, line
            samples[name, labels or ""] = float(value)
    return samples


class Metrics(GatewayTest):
    models = ("ok", "long", "second", "third", "fail", "crash", "bad-model")
    env = {"EASEL_MAX_LOADED_MODELS": "1"}

    def metric(self, name, labels=""):
        return read_metrics(self.gateway).get((name, labels), 0)

    def test_requests(self):
        def count(code):
            return self.metric("easel_http_requests_total", f'route="/api/show",method="POST",code="{code}"')

        before = count(200), count(404)
        self.gateway.post("/api/show", {"model": "ok"})
        self.gateway.post("/api/show", {"model": "nope"})
        self.gateway.post("/api/show", {"model": "nope"})
        self.assertEqual((count(200), count(404)), (before[0] + 1, before[1] + 2))
        self.gateway.get("/v1/models/ok")
        self.assertGreater(self.metric("easel_http_requests_total", 'route="/v1/models/*",method="GET",code="200"'), 0)
        for i in range(3):
            self.gateway.get(f"/unknown/{i}")
        self.assertEqual(self.metric("easel_http_requests_total", 'route="other",method="GET",code="404"'), 3)
        for method in ("PUT", "LOCK", "PURGE"):
            self.gateway.request(method, "/unknown")
        self.assertEqual(self.metric("easel_http_requests_total", 'route="other",method="other",code="404"'), 3)

    def test_drawing(self):
        labels = 'model="second:latest",device="Fake Device"'
        self.gateway.post("/v1/images/generations", {"model": "second", "prompt": "x", "steps": 3, "n": 2})
        samples = read_metrics(self.gateway)
        self.assertEqual(samples["easel_images_total", labels], 2)
        self.assertEqual(samples["easel_step_seconds_count", labels], 6)
        self.assertEqual(samples["easel_step_seconds_bucket", labels + ',le="+Inf"'], 6)
        for phase in ("encode", "denoise", "decode"):
            self.assertEqual(samples["easel_phase_seconds_count", f'{labels},phase="{phase}"'], 2)
        self.assertEqual(samples["easel_loads_total", labels], 1)
        self.assertEqual(samples["easel_load_seconds_count", labels], 1)
        self.assertEqual(samples["easel_queue_seconds_count", 'model="second:latest"'], 1)
        self.assertEqual(samples["easel_memory_bytes", labels + ',kind="weights"'], 1000)
        self.assertEqual(samples["easel_memory_bytes", labels + ',kind="workspace"'], 500)
        self.assertGreater(samples["easel_memory_bytes", labels + ',kind="resident"'], 4096)
        buckets = [v for (name, given), v in samples.items() if name == "easel_queue_seconds_bucket" and "second" in given]
        self.assertEqual(buckets, sorted(buckets))

    def test_loads_and_ends(self):
        self.gateway.post("/api/generate", {"model": "third", "prompt": "x", "stream": False})
        self.gateway.post("/api/generate", {"model": "ok", "prompt": "x", "stream": False})
        self.assertEqual(self.metric("easel_evictions_total", 'model="third:latest"'), 1)
        self.assertEqual(self.metric("easel_unloads_total", 'model="third:latest"'), 1)
        self.gateway.post("/api/generate", {"model": "crash", "prompt": "x", "stream": False})
        self.assertEqual(self.metric("easel_runner_crashes_total", 'model="crash:latest"'), 1)
        self.assertEqual(self.metric("easel_failures_total", 'model="crash:latest"'), 1)
        self.gateway.post("/api/generate", {"model": "fail", "prompt": "x", "stream": False})
        self.assertEqual(self.metric("easel_failures_total", 'model="fail:latest"'), 1)
        self.gateway.post("/api/generate", {"model": "bad-model", "prompt": "x", "stream": False})
        wait_for("the failed load", lambda: self.metric("easel_load_failures_total", 'model="bad-model:latest"') == 1)

    def test_restart(self):
        first = self.gateway.send("POST", "/api/generate", {"model": "crash", "prompt": "x", "keep_alive": -1})
        second = self.gateway.send("POST", "/api/generate", {"model": "crash", "prompt": "x"})
        for sock in (first, second):
            self.assertIn(b"runner exited: signal 9", self.read_error(sock))
        self.assertGreater(self.metric("easel_runner_restarts_total", 'model="crash:latest"'), 0)

    def read_error(self, sock):
        data = b""
        while b'"error"' not in data:
            data += sock.recv(65536)
        return data

    def test_queue_depth(self):
        self.assertEqual(self.metric("easel_queue_depth"), 0)
        socks = [self.gateway.send("POST", "/api/generate", {"model": "long", "prompt": "x", "steps": 500})
                 for _ in range(3)]
        wait_for("one to run", lambda: self.metric("easel_queue_depth") == 2)
        for sock in socks:
            sock.close()
        wait_for("all to leave", lambda: self.metric("easel_queue_depth") == 0)
        self.assertEqual(self.metric("easel_http_requests_total", 'route="/api/generate",method="POST",code="499"'), 3)

    def test_process(self):
        samples = read_metrics(self.gateway)
        self.assertGreater(samples["process_resident_memory_bytes", ""], 1 << 20)
        self.assertGreater(samples["process_open_fds", ""], 5)
        self.assertGreater(samples["process_start_time_seconds", ""], 1.6e9)
        self.assertEqual(samples["easel_http_connections", ""], 1)
        self.assertEqual(samples["easel_held_bytes", 'kind="bodies"'], 0)

    def test_health(self):
        for path in ("/livez", "/readyz"):
            answer = self.gateway.get(path)
            self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body),
                             (200, "text/plain; charset=utf-8", b"ok"))
            self.assertEqual(self.gateway.request("HEAD", path).status, 200)


class NoDevice(GatewayTest):
    env = {"EASEL_RUNNER": "/bin/false"}

    def test_not_ready(self):
        self.assertEqual(self.gateway.get("/livez").status, 200)
        answer = self.gateway.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn(b"no device to compute on: ", answer.body)


class JsonLog(GatewayTest):
    models = ("ok", "fail")
    env = {"EASEL_LOG_FORMAT": "json", "EASEL_DEBUG": "0"}

    def lines(self):
        return [json.loads(line) for line in self.gateway.log().splitlines()]

    def test_every_line_is_an_object(self):
        sock = self.gateway.connect()
        sock.sendall(b'GET /"\\%ff\xe9 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: json-1\r\n\r\n')
        self.assertIn(b"404 page not found", read_until(sock, b"found"))
        (line,) = wait_for("the line", lambda: [entry for entry in self.lines() if entry.get("id") == "json-1"])
        self.assertEqual(list(line), ["time", "level", "source", "msg", "id"])
        self.assertEqual((line["level"], line["source"]), ("INFO", "gateway"))
        self.assertIn('GET      "/"\\%ff\ufffd"', line["msg"])

    def test_failures_are_logged_with_the_request(self):
        self.gateway.post("/api/generate", {"model": "fail", "prompt": "x"}, **{"X-Request-Id": "json-2"})
        wait_for("the reason", lambda: [entry for entry in self.lines() if entry.get("id") == "json-2" and
                                        entry["level"] == "WARN" and entry["msg"] == "the picture is not finite"])

    def test_no_prompt(self):
        for route, members in (("/api/generate", {}), ("/v1/images/generations", {"negative_prompt": "unspeakable"}),
                               ("/api/chat", {}), ("/v1/completions", {}), ("/api/generate", {"width": 9999}),
                               ("/api/generate", {"model": "fail"}), ("/api/generate", {"negative": "unspeakable"})):
            self.gateway.post(route, {"model": "ok", "prompt": "unspeakable", **members})
        self.assertNotIn("unspeakable", self.gateway.log())


class EverythingLogged(GatewayTest):
    models = ("ok",)
    env = {"EASEL_DEBUG": "2"}

    def test_prompt(self):
        self.gateway.post("/api/generate", {"model": "ok", "prompt": "a red door", "stream": False})
        self.assertRegex(self.gateway.log(), r'level=TRACE source=gateway msg="ok:latest draws: a red door"')


class BadSetting(unittest.TestCase):
    def test_unknown_format(self):
        with self.assertRaisesRegex(AssertionError, 'EASEL_LOG_FORMAT is "xml", must be logfmt or json'):
            Gateway(env={"EASEL_LOG_FORMAT": "xml"})


if __name__ == "__main__":
    unittest.main()
