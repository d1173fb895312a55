#!/usr/bin/env python3
"""Records diffusers' pictures of demo/model for the tests: for every request that
tests/data/goldens/demo/index.json names, the picture, a few tensors of the float32 run,
and how far float64 and bfloat16 runs are from it.

    scripts/golden_demo.py [--model DIR] [--goldens DIR] [NAME...]

Run it when the model has changed; a request is changed or added in index.json first. With
names only those are recorded. Needs torch 2.15.0, diffusers 0.42.1, transformers 5.24.0,
safetensors, numpy, Pillow.
"""
import argparse
import json
import os

import numpy
import torch
from diffusers import ZImagePipeline
from PIL import Image
from safetensors.torch import save_file

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def load(folder, dtype):
    pipe = ZImagePipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def text_tensors(pipe, prompt):
    """The ids, and what the pipeline itself feeds to the transformer."""
    chat = pipe.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                              add_generation_prompt=True, enable_thinking=True)
    ids = torch.tensor(pipe.tokenizer(chat).input_ids, dtype=torch.int32)
    states = pipe.encode_prompt([prompt], do_classifier_free_guidance=False)[0][0]
    return {"text.ids": ids, "text.hidden_states_-2": states.detach()}


def initial_latents(request, channels):
    generator = torch.Generator().manual_seed(request["seed"])
    shape = (1, channels, request["height"] // 8, request["width"] // 8)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


class Watch:
    """Keeps what the transformer first returns and what the VAE decodes."""

    def __init__(self, pipe):
        self.first, self.pixels = None, None
        self.hook = pipe.transformer.register_forward_hook(self.on_transformer)
        self.vae, self.decode = pipe.vae, pipe.vae.decode
        pipe.vae.decode = self.on_decode

    def on_transformer(self, module, args, output):
        if self.first is None:
            self.first = torch.stack(list(output[0]))[:, :, 0]

    def on_decode(self, latents, **options):
        result = self.decode(latents, **options)
        self.pixels = result[0]
        return result

    def finish(self):
        self.hook.remove()
        del self.vae.decode


@torch.no_grad()
def run(pipe, request):
    """Tensors of one run and its picture as [h, w, 3] bytes."""
    start = initial_latents(request, pipe.transformer.config.in_channels)
    watch, last = Watch(pipe), {}
    picture = pipe(
        prompt=request["prompt"], negative_prompt=request.get("negative"), height=request["height"],
        width=request["width"], num_inference_steps=request["steps"], guidance_scale=request["guidance"],
        latents=start.clone(), callback_on_step_end=lambda p, i, t, kept: last.update(kept) or {}).images[0]
    watch.finish()
    tensors = {"initial_latents": start, "final_latents": last["latents"], "transformer_out.0": watch.first,
               "vae_out": watch.pixels, "sigmas": pipe.scheduler.sigmas}
    return tensors, numpy.asarray(picture)


def difference(a, b):
    off = abs(a.astype(int) - b.astype(int))
    return int(off.max()), round(float(10 * numpy.log10(255 ** 2 / max((off ** 2).mean(), 1e-9))), 2)


def record(pipes, row, folder):
    single, double, half = pipes
    tensors, picture = run(single, row["request"])
    tensors.update(text_tensors(single, row["request"]["prompt"]))
    exact, exact_picture = run(double, row["request"])
    _, rough_picture = run(half, row["request"])
    kept = {k: (v if v.dtype == torch.int32 else v.float()).contiguous() for k, v in tensors.items()}
    save_file(kept, os.path.join(folder, row["tensors"]))
    Image.fromarray(picture).save(os.path.join(folder, row["png"]), optimize=True)
    off = (tensors["final_latents"].double() - exact["final_latents"].double()).abs().max().item()
    rough = difference(rough_picture, picture)
    row["measured"] = {"final_latents_float64": float(f"{off:.3g}"),
                       "png_max_diff_float64": difference(exact_picture, picture)[0],
                       "png_max_diff_bfloat16": rough[0], "png_psnr_bfloat16": rough[1]}
    print(row["name"], row["measured"], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.path.join(TOP, "demo", "model"))
    parser.add_argument("--goldens", default=os.path.join(TOP, "tests", "data", "goldens", "demo"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    index = os.path.join(args.goldens, "index.json")
    with open(index, encoding="utf-8") as file:
        rows = json.load(file)
    pipes = [load(args.model, dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    for row in rows:
        if not args.names or row["name"] in args.names:
            record(pipes, row, args.goldens)
    with open(index + ".new", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    os.replace(index + ".new", index)


if __name__ == "__main__":
    main()
