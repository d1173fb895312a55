#!/usr/bin/env python3
"""Records what diffusers draws from a picture, with and without a mask, as golden cases.

    scripts/golden_img2img.py       writes tests/data/goldens/cases/*{img2img,inpaint}*

Made with diffusers 0.42.1, transformers 5.23, torch 2.15 on a CPU, in float32. The mask's
edges lie on multiples of 16, where every way to scale it down to a latent agrees.
"""
import json
import os

import numpy as np
import torch
from diffusers import (Flux2KleinInpaintPipeline, ZImageImg2ImgPipeline, ZImageInpaintPipeline)
from PIL import Image
from safetensors.torch import save_file

GOLDENS = os.path.join(os.path.dirname(__file__), "../tests/data/goldens")
CASES = [
    ("zimage-a", "img2img", ZImageImg2ImgPipeline, {"strength": 0.6, "guidance_scale": 0.0}, False),
    ("zimage-a", "img2img_cfg", ZImageImg2ImgPipeline, {"strength": 0.35, "guidance_scale": 3.0}, False),
    ("zimage-a", "inpaint", ZImageInpaintPipeline, {"strength": 1.0, "guidance_scale": 0.0}, True),
    ("klein-a", "inpaint", Flux2KleinInpaintPipeline, {"strength": 0.8, "guidance_scale": 1.0}, True),
]
INPUT, MASK = "img2img.input.png", "img2img.mask.png"
WIDTH, HEIGHT, STEPS, SEED, PROMPT = 80, 64, 5, 11, "a red circle"


def picture():
    """Every GroupNorm sees variance: flat colours would amplify rounding."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = np.stack([127 + 90 * np.sin(x / 7 + c) * np.cos(y / (9 - c)) for c in range(3)], -1)
    noisy = waves + rng.normal(0, 25, waves.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def mask():
    """White where the picture is drawn anew."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[16:48, 32:80] = 255
    return Image.fromarray(pixels)


def record(model, case, cls, arguments, masked):
    pipe = cls.from_pretrained(os.path.join(GOLDENS, "models", model), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    tensors, name = {}, f"{model}.{case}"
    path = os.path.join(GOLDENS, "cases", name)

    def after_step(_, step, timestep, values):
        tensors[f"latents_after.{first + step}"] = values["latents"].clone()
        return {}

    first = int(max(STEPS - min(STEPS * arguments["strength"], STEPS), 0))
    decode = pipe.vae.decode

    def spy(latents, **more):
        out = decode(latents, **more)
        tensors["vae_out"] = out[0].clone()
        return out

    pipe.vae.decode = spy
    request = {"prompt": PROMPT, "steps": STEPS, "seed": SEED, "width": WIDTH, "height": HEIGHT,
               "strength": arguments["strength"], "guidance": arguments["guidance_scale"],
               "image": INPUT}
    inputs = {"image": picture()}
    if masked:
        request["mask"] = MASK
        inputs["mask_image"] = mask()
    image = pipe(prompt=PROMPT, num_inference_steps=STEPS, height=HEIGHT, width=WIDTH,
                 generator=torch.Generator().manual_seed(SEED), callback_on_step_end=after_step,
                 callback_on_step_end_tensor_inputs=["latents"], **inputs, **arguments).images[0]
    tensors["final_latents_packed" if tensors[f"latents_after.{first}"].dim() == 3 else
            "final_latents"] = tensors[f"latents_after.{STEPS - 1}"].clone()
    if masked:
        image = Image.composite(image, picture(), mask())
    image.save(path + ".png")
    save_file({k: v.contiguous().float() for k, v in tensors.items()}, path + ".safetensors")
    with open(path + ".json", "w", encoding="utf-8") as file:
        json.dump({"model": f"models/{model}", "request": request}, file, indent=1)


picture().save(os.path.join(GOLDENS, "cases", INPUT))
mask().save(os.path.join(GOLDENS, "cases", MASK))
for row in CASES:
    record(*row)
