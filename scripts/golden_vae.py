#!/usr/bin/env python3
"""Records what diffusers' VAE makes of a made picture when it encodes it in tiles, into
tests/data/goldens/vae/MODEL.tiled.safetensors: mean and logvar of a picture of 416 x 528
pixels, of which tests/parts/vae.c makes the same. Tiles have 64 eighths a side, so that
the picture is small. Needs diffusers and torch.

    scripts/golden_vae.py [MODEL ...]
"""
import argparse
import os

import diffusers
import torch
from safetensors.torch import save_file

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "goldens")
CLASSES = {"klein": diffusers.AutoencoderKLFlux2, "zimage": diffusers.AutoencoderKL}
WIDTH, HEIGHT = 416, 528        # neither a whole number of strides, one above a tile's side
TILE = 64


def picture():
    """Stripes, a product pattern and ramps; every value is a byte."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    planes = [(y * (3 + c) + x * (5 - c) + (x * y // 64) * (1 + c)) % 256 for c in range(3)]
    return torch.stack(planes)[None].float() / 127.5 - 1


def load(model):
    folder = os.path.join(GOLDENS, "models", model, "vae")
    vae = CLASSES[model.split("-")[0]].from_pretrained(folder, torch_dtype=torch.float32)
    vae.enable_tiling()
    vae.tile_latent_min_size = TILE
    vae.tile_sample_min_size = TILE * 8
    return vae.eval()


def record(model):
    vae = load(model)
    with torch.no_grad():
        moments = vae.encode(picture()).latent_dist.parameters
        exact = vae.double().encode(picture().double()).latent_dist.parameters
    error = (moments - exact).abs().max().item()
    mean, logvar = moments.chunk(2, dim=1)
    path = os.path.join(GOLDENS, "vae", f"{model}.tiled.safetensors")
    save_file({"mean": mean.contiguous(), "logvar": logvar.contiguous()}, path)
    print(f"{path}: {tuple(mean.shape)}, float32 is off by {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="*", default=["klein-b"])
    for model in parser.parse_args().models:
        record(model)


if __name__ == "__main__":
    main()
