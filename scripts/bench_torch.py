#!/usr/bin/env python3
"""One picture by diffusers on the CPU in float32, its stages timed: what bench.py runs with
the Python that has torch. Prints one line of JSON: seconds of load, text encode, first
steps, step (the last one) and decode.

    python scripts/bench_torch.py FOLDER WIDTH HEIGHT STEPS PROMPT
"""
import json
import sys
import time

import torch
from diffusers import DiffusionPipeline


class Watch:
    """Seconds of every call of a method."""

    def __init__(self, owner, name):
        self.seconds = []
        inner = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds.append(time.perf_counter() - start)

        setattr(owner, name, timed)


def main():
    folder, width, height, steps, prompt = sys.argv[1:]
    start = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    load = time.perf_counter() - start
    pipeline.set_progress_bar_config(disable=True)
    text, step, decode = (Watch(pipeline, "encode_prompt"), Watch(pipeline.transformer, "forward"),
                          Watch(pipeline.vae, "decode"))
    # 0 is "no guidance" for Z-Image, 1 for the others.
    guidance = 0.0 if "ZImage" in type(pipeline).__name__ else 1.0
    with torch.inference_mode():
        pipeline(prompt, width=int(width), height=int(height), num_inference_steps=int(steps),
                 guidance_scale=guidance, generator=torch.Generator().manual_seed(1))
    print(json.dumps({"load": load, "text encode": sum(text.seconds), "first steps": sum(step.seconds[:-1]),
                      "step": step.seconds[-1], "decode": sum(decode.seconds),
                      "threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
