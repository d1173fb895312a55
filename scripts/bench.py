#!/usr/bin/env python3
"""easel beside its peers and the machine's limits: load, text encode, one step and decode
of the same model, by turns in one run; medians, and each peer's time in parts of easel's.
On a busy machine trust "CPU s", what a whole process computed, before seconds.
Standard library only.

    scripts/synth_model.py --layers 4 --refiners 2 --text-layers 2 --single --shard-mb 100000 --out M
    scripts/bench.py --model M [--kernels default,A] [--sd-cli PATH] [--torch PYTHON] [--json FILE]
    scripts/bench.py --model KLEIN [--flux2c PATH] [--torch PYTHON]

--model is a diffusers folder; easel imports it into --store (a temporary one without it).
A peer runs when its path is given: stable-diffusion.cpp's sd-cli (Z-Image: it wants
M/single/transformer.safetensors), flux2.c's flux (klein; it knows only 5 double and 20
single blocks), and a Python with torch and diffusers, in float32. All get every CPU.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests"))
from server import Server  # noqa: E402

STAGES = ("load", "text encode", "first steps", "step", "decode", "picture", "peak MB", "CPU s")
PROMPT = "a white cat"
PATIENCE = 3600
LIMIT_FILTER = "linear 288x3840x3840 BF16"


def cpus():
    return len(os.sched_getaffinity(0))


def run(command, env=None):
    """(stdout and stderr, what it cost) of a child."""
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        out.seek(0)
        text = out.read().decode(errors="replace")
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}:\n{text[-3000:]}")
    return text, {"peak MB": usage.ru_maxrss / 1024, "CPU s": usage.ru_utime + usage.ru_stime}


def last_json(text):
    return json.loads(text[text.index("{"):])


# ---- who is measured; each round() gives seconds by stage ----

class Easel:
    def __init__(self, args, kernels):
        self.name = "easel" if kernels == "default" else f"easel {kernels}"
        self.command = [runner(args), "--bench", "--json", "--rounds", "1", "--kernels", kernels, "--model",
                        args.name, "--size", args.size, "--steps", str(args.steps), "--prompt", PROMPT]
        self.env = {"EASEL_MODELS": args.store}

    def round(self):
        text, cost = run(self.command, self.env)
        return {**{row["name"]: row["seconds"][0] for row in last_json(text)["rows"]}, **cost}


class SdCpp:
    """Times from its log. It loads each part when it is first used: that is taken off."""
    name = "stable-diffusion.cpp"

    def __init__(self, args):
        width, height = args.size.split("x")
        folder = args.model
        self.command = [args.sd_cli, "--diffusion-model", os.path.join(folder, "single", "transformer.safetensors"),
                        "--vae", os.path.join(folder, "vae", "diffusion_pytorch_model.safetensors"),
                        "--llm", os.path.join(folder, "text_encoder", "model.safetensors"),
                        "-p", PROMPT, "--cfg-scale", "1.0", "-W", width, "-H", height, "--steps", str(args.steps),
                        "-t", str(cpus()), "--diffusion-fa", "-v", "-o", os.path.join(args.folder, "sd.png"),
                        *args.sd_args.split()]

    @staticmethod
    def per_step(text):
        found = [(int(i), float(value), unit) for i, value, unit in
                 re.findall(r"\| (\d+)/\d+ - ([\d.]+)(s/it|it/s)", text)]
        if not found:
            raise RuntimeError("sd-cli printed no times of steps")
        return [value if unit == "s/it" else 1 / value for _, value, unit in found]

    def round(self):
        text, cost = run(self.command)
        text = text.replace("\r", "\n")
        marks = [(m.start(), m[1], float(m[2])) for m in re.finditer(
            r"(loading tensors|get_learned_condition|sampling|decode_first_stage) completed, taking ([\d.]+)s", text)]
        stages, loads = {}, 0.0
        for _, what, seconds in marks:
            if what == "loading tensors":
                loads += seconds
            else:
                stages[what] = (seconds, loads)
        total = loads
        before = {"get_learned_condition": 0.0, "sampling": stages["get_learned_condition"][1],
                  "decode_first_stage": stages["sampling"][1]}
        own = {what: seconds - (seen - before[what]) for what, (seconds, seen) in stages.items()}
        step = self.per_step(text)[-1]
        return {"load": total, "text encode": own["get_learned_condition"], "step": step,
                "first steps": max(own["sampling"] - step, 0.0), "decode": own["decode_first_stage"], **cost}


class Flux2C:
    """Times from its log; it maps weights and widens them while it computes."""
    name = "flux2.c"

    def __init__(self, args):
        width, height = args.size.split("x")
        self.command = [args.flux2c, "-d", args.model, "-p", PROMPT, "-W", width, "-H", height, "-s",
                        str(args.steps), "-S", "1", "-v", "-o", os.path.join(args.folder, "flux.png"),
                        *args.flux2c_args.split()]
        self.env = {"OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "SKYLAKEX")}

    def round(self):
        text, cost = run(self.command, self.env)
        steps = [float(ms) / 1000 for ms in re.findall(r"^\s*Step \d+: ([\d.]+) ms", text, re.M)]
        phases = {}
        for name, seconds in re.findall(r"^([A-Z][^\n]*?)\.\.\.(?:[^\n]*\n)??[^\n]*?done \(([\d.]+)s\)", text, re.M):
            phases[name.lower()] = phases.get(name.lower(), 0) + float(seconds)
        if not steps:
            raise RuntimeError("flux2.c printed no times of steps:\n" + text[-2000:])
        pick = lambda *words: sum(s for n, s in phases.items() if any(w in n for w in words))  # noqa: E731
        return {"load": pick("loading"), "text encode": pick("encod"), "first steps": sum(steps[:-1]),
                "step": steps[-1], "decode": pick("decod"), **cost}


class Torch:
    name = "diffusers"

    def __init__(self, args):
        self.command = [args.torch, os.path.join(HERE, "bench_torch.py"), args.model, *args.size.split("x"),
                        str(args.steps), PROMPT]
        self.env = {"OMP_NUM_THREADS": str(cpus()), "HF_HUB_OFFLINE": "1"}

    def round(self):
        text, cost = run(self.command, self.env)
        values = json.loads(re.search(r'^\{"load".*\}$', text, re.M)[0])
        return {**{stage: values[stage] for stage in STAGES if stage in values}, **cost}


class Limits:
    """What the machine can do, between the others: rows of easel-runner's own bench."""

    def __init__(self, args):
        self.command = [runner(args), "--bench", args.limits, "--json", "--rounds", "1", "--kernels", args.kernels,
                        *(["--openblas", args.openblas] if args.openblas else [])]
        self.rates = {}

    def round(self):
        for row in last_json(run(self.command)[0])["rows"]:
            name = " ".join(part for part in (row["name"], row["kernels"]) if part)
            rate, unit = (row["gflops"], "GFLOP/s") if "gflops" in row else (row["gbytes"], "GB/s")
            self.rates.setdefault((name, unit), []).append(rate)

    def medians(self):
        return [{"name": name, "unit": unit, "median": statistics.median(values), "rounds": values}
                for (name, unit), values in self.rates.items()]


# ---- the model ----

def runner(args):
    return args.runner or os.path.join(args.build, "runner", "easel-runner")


def import_model(args):
    """Makes the model in the store, unless one of that name is there."""
    server = Server(os.path.join(args.build, "gateway", "easel-gateway"), {"EASEL_MODELS": args.store}, PATIENCE)
    try:
        names = [model["name"] for model in server.get("/api/tags").json["models"]]
        if f"{args.name}:latest" in names:
            return
        answer = server.post("/api/create", {"model": args.name, "from": os.path.abspath(args.model), "stream": False})
        if answer.status != 200:
            raise RuntimeError(f"create: {answer.body.decode()}")
    finally:
        server.close()


def read_config(args):
    with open(os.path.join(args.model, "transformer", "config.json"), encoding="utf-8") as file:
        return json.load(file)


def step_flops(args, caption=32):
    """Products and attention of one evaluation, as the models' papers count them; 0 if unknown."""
    c = read_config(args)
    width, height = map(int, args.size.split("x"))
    image = width * height // 256
    image += -image % 32
    if c["_class_name"] == "ZImageTransformer2DModel":
        tokens, dim = image + caption, c["dim"]
        linear = 2 * (4 * dim * dim + 3 * dim * int(dim / 3 * 8))
        return sum(n * (linear * t + 4 * dim * t * t)
                   for n, t in ((c["n_layers"], tokens), (c["n_refiner_layers"], image)))
    if c["_class_name"] == "Flux2Transformer2DModel":
        tokens, dim = width * height // 256 + 512, c["num_attention_heads"] * c["attention_head_dim"]
        layers = c["num_layers"] + c["num_single_layers"]
        return layers * (2 * 13 * dim * dim * tokens + 4 * dim * tokens * tokens)
    return 0


# ---- results ----

def measure(args, who, limits):
    """Rounds by name; None where one failed: the others are still worth having."""
    rounds = {one.name: [] for one in who}
    for i in range(args.rounds):
        if limits:
            limits.round()
        for one in who:
            try:
                seen = one.round()
            except RuntimeError as error:
                print(f"round {i + 1}, {one.name}: {error}", file=sys.stderr, flush=True)
                rounds[one.name].append(None)
                continue
            seen["picture"] = sum(seen.get(stage, 0) for stage in STAGES[1:5])
            rounds[one.name].append(seen)
            print(f"round {i + 1}, {one.name}: " + ", ".join(f"{s} {seen[s]:.2f}" for s in STAGES if s in seen),
                  file=sys.stderr, flush=True)
    return rounds


def medians(rounds):
    done = {name: [seen for seen in several if seen] for name, several in rounds.items()}
    return {name: {stage: statistics.median(seen[stage] for seen in several) for stage in STAGES
                   if all(stage in seen for seen in several)} for name, several in done.items() if several}


def ratios(rounds, base):
    """A peer's time in parts of easel's in the same round; more than 1: easel is faster."""
    result = {}
    for name, several in rounds.items():
        pairs = [(a, b) for a, b in zip(several, rounds[base]) if a and b]
        if name != base and pairs:
            result[name] = {stage: statistics.median(a[stage] / b[stage] if b[stage] else math.inf for a, b in pairs)
                            for stage in STAGES if all(stage in a and stage in b for a, b in pairs)}
    return result


def print_tables(result):
    names = list(result["medians"])
    print(f"\n{result['size']}, {result['steps']} steps, {cpus()} CPUs, median of {result['rounds_n']} "
          "interleaved rounds; seconds\n")
    print("| stage | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
    for stage in STAGES:
        cells = [f"{result['medians'][n][stage]:.2f}" if stage in result["medians"][n] else "" for n in names]
        print(f"| {stage} | " + " | ".join(cells) + " |")
    for name, parts in result["ratios"].items():
        print(f"\n{name} / {result['base']}: " + ", ".join(f"{s} {v:.2f}" for s, v in parts.items()))
    if result["limits"]:
        print("\n| limit | median | |\n| --- | --- | --- |")
        for row in result["limits"]:
            print(f"| {row['name']} | {row['median']:.1f} | {row['unit']} |")
    if result["step_gflops"]:
        print("\nstep: " + ", ".join(f"{n} {v:.1f} GFLOP/s" for n, v in result["step_gflops"].items()))


def contestants(args):
    who = [Easel(args, kernels) for kernels in args.kernels.split(",")]
    who += [SdCpp(args)] if args.sd_cli else []
    who += [Flux2C(args)] if args.flux2c else []
    who += [Torch(args)] if args.torch else []
    return who


def bench(args):
    import_model(args)
    who = contestants(args)
    limits = Limits(args) if args.limits else None
    rounds = measure(args, who, limits)
    middle, flops = medians(rounds), step_flops(args)
    base = args.base or who[0].name
    result = {"size": args.size, "steps": args.steps, "rounds_n": args.rounds, "base": base, "rounds": rounds,
              "medians": middle, "ratios": ratios(rounds, base), "limits": limits.medians() if limits else [],
              "step_gflops": {name: 1e-9 * flops / m["step"] for name, m in middle.items()} if flops else {}}
    print_tables(result)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


def main():
    parser = argparse.ArgumentParser(description="easel beside its peers, by turns in one run.")
    parser.add_argument("--model", required=True, help="diffusers folder")
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), help="build folder")
    parser.add_argument("--runner", help="easel-runner, where it is not the build folder's")
    parser.add_argument("--store", help="store to import into and to keep; else a temporary one")
    parser.add_argument("--name", default="bench", help="the model's name in the store")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--steps", type=int, default=2, help="the last one counts as \"step\"")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernels", default="default", help="values of EASEL_KERNELS, separated by commas")
    parser.add_argument("--base", help="whose times the others are told in parts of (the first)")
    parser.add_argument("--sd-cli", help="path of stable-diffusion.cpp's sd-cli")
    parser.add_argument("--sd-args", default="", help="further arguments for it")
    parser.add_argument("--flux2c", help="path of flux2.c's flux")
    parser.add_argument("--flux2c-args", default="", help="further arguments for it")
    parser.add_argument("--torch", help="a Python that has torch and diffusers")
    parser.add_argument("--openblas", help="library to report beside the linked sgemm")
    parser.add_argument("--limits", default=LIMIT_FILTER, help="ops measured with the limits; \"\": none")
    parser.add_argument("--json", help="file to write as well")
    args = parser.parse_args()
    args.model = os.path.abspath(args.model)
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        args.folder = folder
        args.store = args.store or os.path.join(folder, "store")
        try:
            bench(args)
        except (RuntimeError, OSError) as error:
            sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
