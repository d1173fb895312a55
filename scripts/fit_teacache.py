#!/usr/bin/env python3
"""Fits the polynomial by which easel's TeaCache rescales its signal, from a model's own runs.

    scripts/fit_teacache.py DIR [--prompts FILE] [--steps N] [--reuse SHARE] [--guidance X ...]

DIR is a diffusers folder; DIR/transformer/step_cache.json is written. A server of its own,
with a store of its own, draws every prompt (a line each of FILE; without it, prompts of the
demo model's grammar) with step_cache teacache:0, which computes every step. Its log tells,
from step to step, the relative change of the signal and how wrong the velocity would have
been with the step before's blocks. The second is fitted as a polynomial of degree 4 in the
first, by least absolute relative deviation, which a few steps unlike the others do not sway.
Its coefficients are not negative, so that it grows with the signal, also beyond what was
seen. The last step, which always computes, is left out. The polynomial is then scaled so
that the default threshold reuses SHARE of the steps.
Needs numpy.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

import numpy

from demo_pictures import held_out, prompt_text

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
THRESHOLD = 0.15                        # easel's default
DEGREE = 4
PATIENCE = 3600                         # seconds for one picture
LINE = re.compile(r'step cache: step (\d+) signal (\S+) error ([^"\s]+)')


class Server:
    def __init__(self, easel):
        self.folder = tempfile.mkdtemp(prefix="easel-fit-")
        self.log_path = os.path.join(self.folder, "log")
        env = {**os.environ, "EASEL_HOST": "127.0.0.1:0", "EASEL_MODELS": os.path.join(self.folder, "models"),
               "EASEL_DEBUG": "1"}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([easel, "serve"], env=env, stdout=log, stderr=log)
        self.port = None
        while self.port is None:
            found = re.search(r"Listening on [^ ]*:(\d+) ", self.log())
            self.port = found and found.group(1)
            if self.process.poll() is not None:
                raise SystemExit("the server ended:\n" + self.log())
            time.sleep(0.05)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def call(self, route, **body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{route}",
                                         json.dumps({"stream": False, **body}).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def runs_of(log):
    """Per picture the rows (signal, error) of its steps from the second on."""
    runs = []
    for step, signal, error in LINE.findall(log):
        if int(step) == 1:
            runs.append([])
        runs[-1].append((float(signal), float(error)))
    return [numpy.array(run) for run in runs]


def record(args, prompts):
    server = Server(args.easel)
    try:
        server.call("create", model="fit", **{"from": os.path.abspath(args.folder)})
        for i, prompt in enumerate(prompts):
            for guidance in args.guidance:
                server.call("generate", model="fit", prompt=prompt, steps=args.steps, seed=i + 1, guidance=guidance,
                            width=args.side, height=args.side, step_cache="teacache:0")
            print(f"\r{i + 1}/{len(prompts)} prompts", end="", flush=True)
        print()
        return runs_of(server.log())
    finally:
        server.close()


def positive_least_squares(a, b):
    """x >= 0 of least |a x - b|, coordinate by coordinate."""
    size = numpy.linalg.norm(a, axis=0)
    a = a / size
    products, wanted, x = a.T @ a, a.T @ b, numpy.zeros(a.shape[1])
    for _ in range(2000):
        for k in range(len(x)):
            x[k] = max(0, x[k] - (products[k] @ x - wanted[k]) / products[k, k])
    return x / size


def fit(runs):
    signal, error = numpy.concatenate([run[:-1] for run in runs]).T
    powers, weights = numpy.vander(signal, DEGREE + 1), 1 / error
    for _ in range(10):
        coefficients = positive_least_squares(powers * weights[:, None], error * weights)
        off = abs(powers @ coefficients / error - 1)
        weights = 1 / error / numpy.maximum(off, 0.05) ** 0.5
    return coefficients, float(numpy.median(off))


def reused(runs, coefficients):
    """The share of steps that would be reused, by the decision of runner/step_cache.c."""
    count = 0
    for run in runs:
        total = 0
        for change in numpy.polyval(coefficients, run[:-1, 0]):
            total += change
            if total < THRESHOLD:
                count += 1
            else:
                total = 0
    return count / sum(len(run) + 1 for run in runs)


def scale(runs, coefficients, share):
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if reused(runs, middle * coefficients) > share else (low, middle)
    return high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--easel", default=os.path.join(TOP, "build", "cli", "easel"))
    parser.add_argument("--prompts")
    parser.add_argument("--count", type=int, default=16, help="prompts that are drawn")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--guidance", type=float, nargs="+", default=[0.0])
    parser.add_argument("--reuse", type=float, default=0.38)
    args = parser.parse_args()
    if args.prompts:
        with open(args.prompts, encoding="utf-8") as file:
            prompts = [line.strip() for line in file if line.strip()]
    else:
        prompts = [prompt_text(spec) for spec in held_out()]
    path = os.path.join(args.folder, "transformer", "step_cache.json")
    runs = record(args, prompts[:args.count])
    coefficients, off = fit(runs)
    factor = scale(runs, coefficients, args.reuse)
    share = reused(runs, factor * coefficients)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"coefficients": [float(f"{c:.9g}") for c in factor * coefficients],
                   "fit": {"pictures": len(runs), "steps": args.steps, "guidance": args.guidance,
                           "median_error": round(off, 3), "reused": round(share, 3)}}, file, indent=2)
        file.write("\n")
    os.rename(path + ".new", path)
    print(f"{path}: off by {100 * off:.0f} % in the median, {100 * share:.0f} % of {args.steps} steps reused at {THRESHOLD}")


if __name__ == "__main__":
    main()
