#!/usr/bin/env python3
"""Fits the linear guess by which easel shows pictures that are not finished.

    scripts/fit_latent_rgb.py DIR [PICTURE ...]

DIR is a diffusers folder; DIR/vae/latent_rgb.json is written. The VAE encodes pictures
(those that are named; without any, drawings of the demo model's grammar) to latents as the
sampler has them, and the colours of the pictures, a mean for each of the VAE's positions, are
fitted as a linear function of them by least squares. The share of the colours' variance that
it explains, in pictures that were not fitted, is printed. Needs numpy, torch, diffusers and,
for pictures that are named, Pillow.
"""
import argparse
import json
import os

import diffusers
import numpy
import torch

from demo_pictures import draw, random_spec

EIGHTH = 8                              # pixels a side of the VAE's own positions
SIDE = 256                              # of pictures; of drawings half
DRAWINGS = 300
HELD_OUT = 5                            # every fifth picture is not fitted


def drawings():
    rng = numpy.random.default_rng(1)
    for _ in range(DRAWINGS):
        pixels = draw(random_spec(rng, frozenset()), SIDE // 2, SIDE // 2, rng)
        yield numpy.asarray(pixels, dtype=numpy.float32) * 2 - 1


def named(paths):
    from PIL import Image, ImageOps
    for path in paths:
        with Image.open(path) as image:
            yield numpy.asarray(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE)), dtype=numpy.float32) / 127.5 - 1


class Vae:
    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            name = json.load(file)["_class_name"]
        self.vae = getattr(diffusers, name).from_pretrained(folder, torch_dtype=torch.float32).eval()
        self.pack = 2 if hasattr(self.vae, "bn") else 1

    def latent(self, pixels):
        """[positions, channels] of the sampler's latent for one picture [h, w, 3]."""
        with torch.no_grad():
            z = self.vae.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None]).latent_dist.mode()
        if self.pack == 1:
            z = (z - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
        else:
            bn = self.vae.bn
            z = torch.nn.functional.pixel_unshuffle(z, 2)
            deviation = torch.sqrt(bn.running_var + self.vae.config.batch_norm_eps)
            z = (z - bn.running_mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
        return z[0].flatten(1).T.double().numpy()

    def colours(self, pixels):
        """[positions, pack * pack * 3] of the same positions."""
        h, w = (side // EIGHTH for side in pixels.shape[:2])
        means = pixels.reshape(h, EIGHTH, w, EIGHTH, 3).mean(axis=(1, 3))
        p = self.pack
        blocks = means.reshape(h // p, p, w // p, p, 3).transpose(0, 2, 1, 3, 4)
        return blocks.reshape(-1, p * p * 3).astype(numpy.float64)


def stack(vae, pictures):
    pairs = [(vae.latent(pixels), vae.colours(pixels)) for pixels in pictures]
    return [numpy.concatenate(part) for part in zip(*pairs)]


def with_one(x):
    return numpy.hstack([x, numpy.ones((len(x), 1))])


def explained(x, y, solution):
    return 1 - ((with_one(x) @ solution - y) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("pictures", nargs="*")
    args = parser.parse_args()
    vae = Vae(os.path.join(args.folder, "vae"))
    pictures = list(named(args.pictures) if args.pictures else drawings())
    if len(pictures) < 2 * HELD_OUT:
        raise SystemExit(f"{len(pictures)} pictures are too few: name at least {2 * HELD_OUT}")
    x, y = stack(vae, [p for i, p in enumerate(pictures) if i % HELD_OUT])
    solution = numpy.linalg.lstsq(with_one(x), y, rcond=None)[0]
    held_x, held_y = stack(vae, pictures[::HELD_OUT])
    path = os.path.join(args.folder, "vae", "latent_rgb.json")
    rounded = numpy.round(solution, 5)
    with open(path, "w", encoding="utf-8") as file:
        rows = ",\n  ".join(json.dumps(row.tolist()) for row in rounded[:-1].T)
        file.write('{"matrix": [\n  ' + rows + '],\n "offset": ' + json.dumps(rounded[-1].tolist()) + "}\n")
    print(f"{path}: {len(x)} positions, {100 * explained(held_x, held_y, rounded):.1f} % of the variance")


if __name__ == "__main__":
    main()
