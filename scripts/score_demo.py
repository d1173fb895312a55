#!/usr/bin/env python3
"""Scores a demo model by the pixels of its pictures: 200 prompts whose combinations were
never trained on (demo_pictures.py), each drawn once, read by demo_read.py.

    scripts/score_demo.py --host HOST:PORT --model NAME     pictures of a running easel
    scripts/score_demo.py --diffusers DIR                   of diffusers, from a model folder
    scripts/score_demo.py --drawings                        only how well the reader reads

Two settings: 8 steps without guidance, 20 steps with guidance 1.5. Before them the reader
itself is scored on true drawings of the same prompts; it must read 97 % of every attribute,
or nothing else is believed (exit status 1). Prints a table, and with --json FILE writes
it. Needs numpy, Pillow for pictures of easel, and torch and diffusers for --diffusers.
"""
import argparse
import base64
import io
import json
import os
import sys
import urllib.request

import numpy

from demo_pictures import RELATION_PLACES, draw, held_out, prompt_text
from demo_read import read

SIDE = 128
SETTINGS = ({"steps": 8, "guidance": 0.0}, {"steps": 20, "guidance": 1.5})
ATTRIBUTES = ("background", "colour", "kind", "count", "position", "all")
TRUSTED = 0.97
PATIENCE = 600                          # seconds for one picture


# ---- what is right ----

def place_of(shapes):
    """Where the middle of all shapes is: centre, or the side it leans to."""
    x = numpy.mean([s.x for s in shapes]) - 0.5
    y = numpy.mean([s.y for s in shapes]) - 0.5
    if max(abs(x), abs(y)) < 0.1:
        return ""
    return ("left" if x < 0 else "right") if abs(x) > abs(y) else ("top" if y < 0 else "bottom")


def placed(spec, shapes):
    if len(spec.groups) == 1:
        return place_of(shapes) == spec.position
    first, second = ([s for s in shapes if s.colour == g.colour] for g in spec.groups)
    if not first or not second:
        return False
    axis = "y" if RELATION_PLACES[spec.relation][0] in ("top", "bottom") else "x"
    gap = numpy.mean([getattr(s, axis) for s in second]) - numpy.mean([getattr(s, axis) for s in first])
    return gap > 0.15 if spec.relation in ("above", "left of") else gap < -0.15


def score(spec, pixels):
    """Attribute -> right or not. Kind and count do not ask for the right colour; all does."""
    background, shapes = read(pixels)
    wanted = sorted((g.colour, g.kind) for g in spec.groups for _ in range(g.count))
    found = sorted((s.colour, s.kind) for s in shapes)
    marks = {
        "background": background == spec.background,
        "colour": {c for c, _ in found} == {c for c, _ in wanted},
        "kind": {k for _, k in found} == {k for _, k in wanted},
        "count": len(found) == len(wanted),
        "position": bool(shapes) and placed(spec, shapes),
    }
    marks["all"] = found == wanted and marks["background"] and marks["position"]
    return marks


def summary(specs, pictures):
    rows = [score(spec, pixels) for spec, pixels in zip(specs, pictures)]
    result = {name: float(numpy.mean([row[name] for row in rows])) for name in ATTRIBUTES}
    for kind in sorted({g.kind for s in specs for g in s.groups}):
        mine = [row["kind"] for row, s in zip(rows, specs) if len(s.groups) == 1 and s.groups[0].kind == kind]
        result["kind:" + kind] = float(numpy.mean(mine)) if mine else None
    return result


# ---- pictures ----

def from_drawings(specs):
    return [draw(spec, SIDE, SIDE, numpy.random.default_rng((7, i))) for i, spec in enumerate(specs)]


def from_easel(specs, host, model, setting):
    from PIL import Image
    for i, spec in enumerate(specs):
        body = {"model": model, "prompt": prompt_text(spec), "width": SIDE, "height": SIDE, "seed": i + 1,
                "stream": False, **setting}
        request = urllib.request.Request(f"http://{host}/api/generate", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            png = base64.b64decode(json.load(answer)["image"])
        yield numpy.asarray(Image.open(io.BytesIO(png)).convert("RGB"), numpy.float32) / 255


def from_diffusers(specs, folder, setting, batch=25):
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from diffusers import ZImagePipeline
    pipe = ZImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for i in range(0, len(specs), batch):
        part = specs[i:i + batch]
        yield from pipe(prompt=[prompt_text(s) for s in part], height=SIDE, width=SIDE, output_type="np",
                        num_inference_steps=setting["steps"], guidance_scale=setting["guidance"],
                        generator=[torch.Generator().manual_seed(i + k + 1) for k in range(len(part))]).images


def table(rows):
    names = list(next(iter(rows.values())))
    width = max(len(label) for label in rows)
    lines = [" " * width + "".join(f"{n.replace('kind:', ''):>11}" for n in names)]
    for label, row in rows.items():
        cells = "".join(f"{'-' if row[n] is None else format(100 * row[n], '.1f'):>11}" for n in names)
        lines.append(f"{label:<{width}}{cells}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--host")
    source.add_argument("--diffusers")
    source.add_argument("--drawings", action="store_true")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--json")
    args = parser.parse_args()
    specs = held_out()[:args.prompts]
    rows = {"drawings": summary(specs, from_drawings(specs))}
    trusted = all(rows["drawings"][name] >= TRUSTED for name in ATTRIBUTES[:-1])
    for setting in () if args.drawings or not trusted else SETTINGS:
        pictures = from_easel(specs, args.host, args.model, setting) if args.host else \
            from_diffusers(specs, args.diffusers, setting)
        rows[f"{setting['steps']} steps, guidance {setting['guidance']}"] = summary(specs, pictures)
    print(table(rows))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"prompts": len(specs), "rows": rows}, file, indent=2)
            file.write("\n")
    if not trusted:
        sys.exit("score_demo.py: the reader does not read true drawings well enough")


if __name__ == "__main__":
    main()
