#!/usr/bin/env python3
"""How many requests per second the gateway answers, and what it holds while idle: beside
nginx, which serves static files of the same sizes, by turns in one run. Needs wrk, and
nginx for the ratio (Debian: wrk, nginx-light). Standard library only.

    scripts/bench_gateway.py [--build build] [--rounds 5] [--seconds 3] [--json FILE]
    scripts/bench_gateway.py --tags 10000       # only: lists and lookups of that many models

Everything listens on loopback, in a temporary folder, and is ended by its id.
"""
import argparse
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests"))
from server import Server, wait_for  # noqa: E402

PATHS = ("/api/version", "/api/ps")
PATIENCE = 20.0

# One worker, as the gateway has one thread; no log; connections are kept as long as wrk wants.
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
	access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
	types {{ }} default_type "application/json; charset=utf-8";
	client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
	server {{ listen 127.0.0.1:{port}; root {folder}/root; }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: status {answer.status}")
    return body


def answers(port, path):
    try:
        fetch(port, path)
        return True
    except OSError:
        return False


class Nginx:
    def __init__(self, binary, bodies):
        self.folder = tempfile.mkdtemp(prefix="easel-nginx-")
        self.port = free_port()
        for path, body in bodies.items():
            file = self.folder + "/root" + path
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "wb") as out:
                out.write(body)
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(NGINX.format(folder=self.folder, port=self.port,
                                    user="user root;" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen([binary, "-c", config, "-p", self.folder], stderr=subprocess.DEVNULL)
        wait_for("nginx", lambda: answers(self.port, next(iter(bodies))), PATIENCE)

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


def wrk(port, path, args):
    done = subprocess.run(["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s",
                           f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True)
    if re.search(r"Non-2xx|Socket errors", done.stdout):
        raise RuntimeError(f"{path}: failed requests\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


def memory(pid):
    """Resident and private kilobytes of a process."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        values = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.M))
    return int(values["Rss"]), int(values["Private_Clean"]) + int(values["Private_Dirty"])


def measure(args, gateway, nginx):
    ports = {"easel": gateway.port, **({"nginx": nginx.port} if nginx else {})}
    rates = {(name, path): [] for path in PATHS for name in ports}
    for _ in range(args.rounds):
        for name, path in rates:
            rates[name, path].append(wrk(ports[name], path, args))
    return rates


def summary(rates, idle, after):
    rows = []
    for path in PATHS:
        row = {"path": path, "easel": statistics.median(rates["easel", path]), "rounds": rates["easel", path]}
        if ("nginx", path) in rates:
            row["nginx"] = statistics.median(rates["nginx", path])
            row["ratio"] = statistics.median(a / b for a, b in zip(rates["easel", path], rates["nginx", path]))
        rows.append(row)
    return {"requests_per_second": rows,
            "memory_kb": {"idle": idle[0], "idle_private": idle[1], "after_load": after[0]}}


def run(args):
    gateway = Server(os.path.join(args.build, "gateway", "easel-gateway"), {}, PATIENCE)
    nginx = None
    try:
        binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        # Memory first: what the first requests take is not idle.
        idle = memory(gateway.process.pid)
        bodies = {path: fetch(gateway.port, path) for path in PATHS}
        if binary:
            nginx = Nginx(binary, bodies)
        rates = measure(args, gateway, nginx)
        return summary(rates, idle, memory(gateway.process.pid))
    finally:
        if nginx:
            nginx.close()
        gateway.close()


# ---- many models ----

def fill(root, n):
    """n models of one manifest, as links and as files."""
    config = b'{"model_format":"safetensors"}'
    digest = hashlib.sha256(config).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                           "digest": "sha256:" + digest, "size": len(config)}, "layers": []}).encode() + b"\n"
    name = hashlib.sha256(manifest).hexdigest()
    os.makedirs(os.path.join(root, "blobs"))
    for hex_, data in ((digest, config), (name, manifest)):
        with open(os.path.join(root, "blobs", "sha256-" + hex_), "wb") as file:
            file.write(data)
    for i in range(n):
        for tree in ("manifests/registry.ollama.ai", "manifests-v2/ollama.com"):
            os.makedirs(os.path.join(root, tree, "library", f"m{i:05}"))
        os.symlink(f"../../../../blobs/sha256-{name}", os.path.join(root, "manifests-v2/ollama.com/library", f"m{i:05}",
                                                                    "latest"))
        with open(os.path.join(root, "manifests/registry.ollama.ai/library", f"m{i:05}", "latest"), "wb") as file:
            file.write(manifest)


def milliseconds(port, path, body=None):
    """Until the last byte of an answer, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    connection.getresponse().read()
    took = time.perf_counter() - began
    connection.close()
    return took * 1e3


def many(args):
    folder = tempfile.mkdtemp(prefix="easel-tags-")
    fill(os.path.join(folder, "store"), args.tags)
    gateway = Server(os.path.join(args.build, "gateway", "easel-gateway"),
                     {"EASEL_MODELS": os.path.join(folder, "store")}, PATIENCE, folder)
    middle = f"m{args.tags // 2:05}"
    try:
        rows = {"first list": [milliseconds(gateway.port, "/api/tags")], "list": [], "list after a change": [],
                "show": [], "show, other case": [], "show, unknown": [], "version": []}
        for i in range(max(args.rounds, 20)):
            rows["list"].append(milliseconds(gateway.port, "/api/tags"))
            milliseconds(gateway.port, "/api/copy", {"source": middle, "destination": f"copy{i}"})
            rows["list after a change"].append(milliseconds(gateway.port, "/api/tags"))
            rows["show"].append(milliseconds(gateway.port, "/api/show", {"model": middle}))
            rows["show, other case"].append(milliseconds(gateway.port, "/api/show", {"model": middle.upper()}))
            rows["show, unknown"].append(milliseconds(gateway.port, "/api/show", {"model": f"unknown{i}"}))
            rows["version"].append(milliseconds(gateway.port, "/api/version"))
        return {name: statistics.median(times) for name, times in rows.items()}
    finally:
        gateway.close()


def main():
    parser = argparse.ArgumentParser(description="Requests per second of the gateway, beside nginx.")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), help="build folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", help="file to write as well")
    parser.add_argument("--tags", type=int, help="models of a store to list and look up")
    args = parser.parse_args()
    if args.tags:
        for name, took in many(args).items():
            print(f"{args.tags} models, {name:20} {took:8.2f} ms")
        return
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: install the package wrk")
    result = run(args)
    for row in result["requests_per_second"]:
        print(f"{row['path']:14} easel {row['easel']:9.0f} /s", end="")
        print(f"   nginx {row['nginx']:9.0f} /s   ratio {row['ratio']:.2f}" if "nginx" in row else "   (no nginx)")
    print("memory         idle {idle} kB (private {idle_private} kB), after the load {after_load} kB"
          .format(**result["memory_kb"]))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
