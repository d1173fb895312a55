"""200 connections at once of every kind of client, over the fake runner: nothing but what the
API specifies comes back, memory and descriptors stay flat, /api/ps answers meanwhile.

    test_load.py [SECONDS] [CONNECTIONS]        longer than the suite's few seconds; prints figures
"""
import asyncio
import collections
import http.client
import json
import multiprocessing
import re
import statistics
import sys
import time
import unittest

from gateway_test import GatewayTest, PATIENCE, wait_for

SECONDS, CONNECTIONS = 4.0, 200
PS_MEDIAN_S, PS_P99_S = 0.5, 5.0        # ten times what an idle machine needs, and then some
GROWTH = 24 << 20


def metric(gateway, name):
    return float(re.search(rf"^{name} (\S+)$", gateway.get("/metrics").body.decode(), re.M).group(1))


def head(method, path, length, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *lines,
                        "", ""]).encode()


def post(path, members, *lines):
    body = json.dumps(members).encode()
    return head("POST", path, len(body), *lines) + body


class Client:
    """One connection after another, each a kind of its own, until the time is over."""

    def __init__(self, port, number):
        self.port, self.number = port, number

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)

    async def close(self):
        self.writer.transport.abort()
        await asyncio.sleep(0)

    async def read_head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), headers

    async def read_answer(self):
        status, headers = await self.read_head()
        if "content-length" in headers:
            return status, await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            chunk = await self.reader.readexactly(size + 2)
            if not size:
                return status, body
            body += chunk[:-2]

    async def ask(self, request):
        self.writer.write(request)
        return await self.read_answer()

    # ---- kinds: each asserts what must come back ----

    async def plain(self):
        for _ in range(5):
            status, body = await self.ask(post("/api/generate", {
                "model": "ok", "prompt": "x", "stream": False, "seed": 7}))
            assert status == 200 and json.loads(body)["seed"] == 7, (status, body)

    async def ndjson(self):
        status, body = await self.ask(post("/api/generate", {"model": "ok", "prompt": "x", "steps": 3}))
        lines = [json.loads(line) for line in body.splitlines()]
        assert status == 200 and [line.get("completed", 0) for line in lines[:-1]] == [0, 1, 2, 3], lines
        assert lines[-1]["done"] and lines[-1]["image"], lines[-1]

    async def events(self):
        status, body = await self.ask(post("/v1/images/generations", {
            "model": "ok", "prompt": "x", "steps": 2, "n": 2, "stream": True}))
        events = body.split(b"\n\n")
        assert status == 200 and len(events) == 6 and events[4].startswith(b"event: done\ndata: {"), body

    async def openai_events(self):
        status, body = await self.ask(post("/v1/images/generations", {
            "model": "second", "prompt": "x", "steps": 1, "n": 2, "stream": True, "partial_images": 1}))
        assert status == 200 and body.count(b"event: image_generation.completed\n") == 2, body

    async def urls(self):
        status, body = await self.ask(post("/v1/images/generations", {
            "model": "second", "prompt": "x", "response_format": "url"}))
        assert status == 200, body
        path = "/v1/images/files/" + json.loads(body)["data"][0]["url"].rsplit("/", 1)[1]
        status, body = await self.ask(head("GET", path, 0))
        assert status in (200, 404) and body, (status, body)     # 404: many others came after it

    async def slow_reader(self):
        self.writer.write(post("/api/generate", {"model": "big", "prompt": "x", "stream": False}))
        status, headers = await self.read_head()
        left = int(headers["content-length"])
        assert status == 200
        while left:
            left -= len(await self.reader.read(min(left, 1 << 18)))
            await asyncio.sleep(0.005)

    async def pipelined(self):
        wanted = [b"version", b"models", b"status"] * 10
        self.writer.write(b"".join(head("GET", path, 0) for path in ("/api/version", "/api/ps", "/nope")) * 10)
        for word in wanted:
            status, body = await self.read_answer()
            assert (status, word in body) in ((200, True), (404, False)), (status, body)

    async def oversized(self):
        status, body = await self.ask(head("POST", "/api/generate", (64 << 20) + 1))
        assert (status, body) == (413, b'{"error":"http: request body too large"}'), (status, body)

    async def wrong(self):
        for request, code in ((post("/api/generate", {"model": "nope", "prompt": "x"}), 404),
                              (post("/api/generate", {"model": "ok", "width": "x"}), 400),
                              (post("/v1/images/generations", {"model": "ok"}), 400), (head("PATCH", "/", 0), 405)):
            status, body = await self.ask(request)
            assert status == code, (status, body)

    async def half_open(self):
        self.writer.write(post("/api/generate", {"model": "ok", "prompt": "x"})[:40 + self.number % 60])
        await self.writer.drain()
        await asyncio.sleep(0.05)

    async def leaver(self):
        self.writer.write(post("/api/generate", {"model": "long", "prompt": "x", "steps": 100}))
        await asyncio.sleep(0.02 * (self.number % 7))

    KINDS = (plain, ndjson, events, openai_events, urls, pipelined, oversized, wrong, half_open, leaver)

    async def run(self, ends, counts):
        """Every fiftieth only reads slowly: what it does not take is held for it."""
        turn = self.number
        while time.monotonic() < ends:
            kind = Client.slow_reader if self.number % 50 == 49 else self.KINDS[turn % len(self.KINDS)]
            await self.open()
            try:
                await asyncio.wait_for(kind(self), PATIENCE)
            finally:
                await self.close()
            counts[kind.__name__] += 1
            turn += 1


def probe(port, seconds):
    """How long /api/ps takes, on a connection and in a process of its own."""
    ends, times = time.monotonic() + seconds, []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    while time.monotonic() < ends:
        began = time.monotonic()
        connection.request("GET", "/api/ps")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        times.append(time.monotonic() - began)
        time.sleep(0.005)
    connection.close()
    return sorted(times)


async def load(port, seconds, connections):
    counts, ends = collections.Counter(), time.monotonic() + seconds
    await asyncio.gather(*[Client(port, number).run(ends, counts) for number in range(connections)])
    return counts


class Load(GatewayTest):
    models = ("ok", "second", "big", "long")
    env = {"EASEL_DEBUG": "0", "EASEL_MAX_LOADED_MODELS": "4", "EASEL_KEEP_ALIVE": "-1"}

    def settled(self):
        """Descriptors once all is quiet: no request waits or runs, one connection is open."""
        wait_for("quiet", lambda: all(model["state"] == "idle" for model in self.gateway.ps()) and
                 metric(self.gateway, "easel_queue_depth") == 0 and
                 metric(self.gateway, "easel_http_connections") == 1)
        return metric(self.gateway, "process_open_fds"), metric(self.gateway, "process_resident_memory_bytes")

    def run_load(self, seconds):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            probing = pool.apply_async(probe, (self.gateway.port, seconds))
            counts = asyncio.run(load(self.gateway.port, seconds, CONNECTIONS))
            times = probing.get(seconds + PATIENCE)
        return counts, statistics.median(times), times[len(times) * 99 // 100]

    def test_load(self):
        for model in self.models:
            self.generate(model=model)
        with open(f"/proc/{self.gateway.process.pid}/maps", encoding="utf-8") as file:
            has_asan = "libasan" in file.read()
        self.run_load(min(1.0, SECONDS))                # what is allocated once
        fds, memory = self.settled()
        counts, median, p99 = self.run_load(SECONDS)
        fds_after, memory_after = self.settled()
        print(f"{sum(counts.values())} connections {dict(counts)}; /api/ps median {median * 1e3:.1f} ms, "
              f"p99 {p99 * 1e3:.1f} ms; memory {memory / 1e6:.1f} -> {memory_after / 1e6:.1f} MB; "
              f"descriptors {fds:.0f} -> {fds_after:.0f}", file=sys.stderr)
        self.assertEqual(fds_after, fds)
        if not has_asan:                                # it keeps freed memory
            self.assertLess(memory_after - memory, GROWTH)
        self.assertLess(median, PS_MEDIAN_S)
        self.assertLess(p99, PS_P99_S)
        self.assertNotIn("level=ERROR", self.gateway.log())
        self.assertEqual(metric(self.gateway, 'easel_held_bytes{kind="bodies"}'), 0)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].replace(".", "").isdigit():
        SECONDS = float(sys.argv.pop(1))
    if len(sys.argv) > 1 and sys.argv[1].isdigit():
        CONNECTIONS = int(sys.argv.pop(1))
    unittest.main()
