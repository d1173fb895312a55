#!/usr/bin/env python3
"""A pull beside curl: a model of 2 GB in 400 blobs from a registry on loopback (docker-registry),
pulled by the gateway, and the same blobs fetched by "curl --parallel", then hashed and
synced. Interleaved, each into a folder of its own; medians and their ratio.

    scripts/bench_pull.py BUILD [ROUNDS] [MEGABYTES] [BLOBS]
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def fetch_by_curl(folder, registry, model):
    os.makedirs(folder)
    config = os.path.join(folder, "config")
    with open(config, "w", encoding="utf-8") as file:
        for digest in model.blobs:
            file.write(f'url = "http://{registry.host}/v2/library/m/blobs/{digest}"\noutput = "{folder}/{digest[7:]}"\n')
    began = time.monotonic()
    subprocess.run(["curl", "-s", "--parallel", "--parallel-max", "4", "-K", config], check=True,
                   stderr=subprocess.DEVNULL)
    fetched = time.monotonic()
    names = [digest[7:] for digest in model.blobs]
    # openssl's hash is several times as fast as coreutils'.
    sums = subprocess.run(["openssl", "dgst", "-sha256", "-r", *names], cwd=folder, check=True, capture_output=True,
                          text=True).stdout
    assert all(line.split()[0] == line.split()[1].lstrip("*") for line in sums.splitlines())
    hashed = time.monotonic()
    subprocess.run(["sync", *names], cwd=folder, check=True)
    done = time.monotonic()
    return {"curl": done - began, "of it fetching": fetched - began, "hashing": hashed - fetched, "syncing": done - hashed}


def pull(gateway, name):
    began = time.monotonic()
    answer = gateway.post("/api/pull", {"model": name, "insecure": True})
    assert answer.lines[-1] == {"status": "success"}, answer.lines[-1]
    return time.monotonic() - began


def main():
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    build, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    blobs = int(sys.argv[4]) if len(sys.argv) > 4 else 400
    os.environ["EASEL_GATEWAY"] = os.path.abspath(os.path.join(build, "gateway/easel-gateway"))
    os.environ["EASEL_FAKE_RUNNER"] = os.path.abspath(os.path.join(build, "tests/gateway/fake-runner"))
    sys.path.insert(0, os.path.join(source, "tests", "gateway"))
    from gateway_test import Gateway
    from transfer_test import Model, registry
    folder = tempfile.mkdtemp(prefix="easel-bench-")
    server = registry.Registry(os.path.join(folder, "registry"))
    try:
        model = Model("bench", [size * 1000000 // blobs] * blobs).put(server)
        times = {}
        for i in range(rounds + 1):                     # the first is not counted
            os.sync()
            seconds = fetch_by_curl(os.path.join(folder, "curl"), server, model)
            shutil.rmtree(os.path.join(folder, "curl"))
            gateway = Gateway(())
            os.sync()
            seconds["pull"] = pull(gateway, f"{server.host}/library/m")
            gateway.close()
            for name, value in seconds.items() if i else ():
                times.setdefault(name, []).append(value)
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, values in times.items():
            print(f"{name}: median {medians[name]:.3f} s, {min(values):.3f} to {max(values):.3f}, "
                  f"{model.bytes / medians[name] / 1e6:.0f} MB/s")
        print(f"pull / curl: {medians['pull'] / medians['curl']:.2f}")
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
