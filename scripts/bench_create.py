#!/usr/bin/env python3
"""A create beside openssl and cp: a folder of weights (scripts/synth_model.py writes one) made
into a model, and the same files hashed by "openssl dgst -sha256", copied by cp and synced.
Interleaved, everything bound to one core and then to two, each into a folder of its own;
medians and the ratio of create to the sum of the others.

    scripts/bench_create.py BUILD FOLDER [ROUNDS] [WHERE]

WHERE holds the stores and copies while they are measured (the folder FOLDER is in); put
"chrt -f 5" in front on a machine that does other things.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CORES = ({0}, {0, 1})


def files_of(folder):
    return [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]


def run(*command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def hash_and_copy(folder, copy):
    """Every file is synced, as create syncs every blob."""
    seconds = {"openssl": run("openssl", "dgst", "-sha256", *files_of(folder))}
    seconds["cp"] = run("cp", "-r", folder, copy)
    seconds["sync"] = run("sync", *files_of(copy), copy)
    return seconds


def create(build, folder, store, server):
    gateway = server.Server(os.path.join(build, "gateway/easel-gateway"), {"EASEL_MODELS": store}, 60,
                            tempfile.mkdtemp(prefix="easel-bench-"))
    try:
        began = time.monotonic()
        result = subprocess.run([os.path.join(build, "cli/easel"), "create", "m", folder, "--quiet"], check=False,
                                env={**os.environ, "EASEL_HOST": f"127.0.0.1:{gateway.port}"}, capture_output=True)
        seconds = time.monotonic() - began
        assert result.returncode == 0, result.stderr
        return seconds
    finally:
        gateway.close()


def measure(build, folder, where, cores, server):
    os.sched_setaffinity(0, cores)
    place = tempfile.mkdtemp(prefix="easel-bench-", dir=where)
    try:
        seconds = hash_and_copy(folder, os.path.join(place, "copy"))
        seconds["sum"] = sum(seconds.values())
        shutil.rmtree(os.path.join(place, "copy"))
        os.sync()
        seconds["create"] = create(build, folder, os.path.join(place, "store"), server)
        seconds["ratio"] = seconds["create"] / seconds["sum"]
    finally:
        shutil.rmtree(place)
        os.sync()
    return seconds


def report(name, values, size):
    median = statistics.median(values)
    unit = "" if name == "ratio" else " s"
    rate = "" if name == "ratio" else f", {size / median / 1e6:.0f} MB/s"
    print(f"  {name}: median {median:.3f}{unit}, {min(values):.3f} to {max(values):.3f}{rate}")


def main():
    build, folder = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    where = os.path.abspath(sys.argv[4] if len(sys.argv) > 4 else os.path.join(folder, ".."))
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
    import server
    size = sum(map(os.path.getsize, files_of(folder)))
    times = {len(cores): {} for cores in CORES}
    for i in range(rounds + 1):                         # the first is not counted
        for cores in CORES:
            seconds = measure(build, folder, where, cores, server)
            for name, value in seconds.items() if i else ():
                times[len(cores)].setdefault(name, []).append(value)
    for n, seconds in times.items():
        print(f"{n} core{'s' if n > 1 else ''}, {size / 1e6:.0f} MB:")
        for name, values in seconds.items():
            report(name, values, size)


if __name__ == "__main__":
    main()
