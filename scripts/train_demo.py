#!/usr/bin/env python3
"""Makes demo/model from nothing: draws pictures, trains the VAE, learns the tokenizer, trains
text encoder and transformer together, and writes a diffusers folder in bfloat16.

    scripts/train_demo.py --work DIR --out DIR [--minutes 90] [--seed 1] [--threads 2]
    scripts/train_demo.py --work DIR --out DIR --export       the state so far, no training

Needs torch 2.15.0, diffusers 0.42.1, transformers 5.24.0 and what they bring (tokenizers,
safetensors, numpy). --minutes counts the processor time of two cores, so that a busy machine
takes longer but gives the same model; VAE and transformer share it. What is drawn and asked
is demo_pictures.py's, the maths demo_net.py's, the optimiser demo_optim.py's.

DIR of --work holds vae.pt, latents.pt and train.pt. Each is replaced whole, and train.pt and
vae.pt every minute: killed and started again with the same arguments, it goes on. Batches
depend on the seed and the number of the step, so a resumed run sees the same pictures in
the same order; the schedule follows the time spent, which no two machines share.
"""
import argparse
import json
import os
import resource
import shutil
import sys
import time

# Before torch: a thread that waits for the other sleeps, so that a busy machine costs no work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy
import torch
import torch.nn.functional as F

import demo_net
import demo_tokenizer
import demo_vae
from demo_optim import Muon
from demo_pictures import combination, draw, embellish, held_out, prompt_text, random_size, random_spec, TAGS

VAE_SHARE = 0.12                        # of the minutes; drawing and encoding come on top
PICTURES = 12000
BATCH = 64
MUON_RATE, ADAM_RATE = 0.02, 3e-3
WARM_UP = 30
DECAY_FROM = 0.35                       # of the time: then linearly to nothing
DROPPED = 0.1                           # captions left out, for guidance
LONG = 0.02                             # batches with prompts of over 32 tokens
SHIFT = 2.5                             # of training noise levels; inference has 3
AVERAGE = 0.995
CHECKPOINT_SECONDS = 60
SHORT_ROWS, LONG_ROWS = 32, 64


def log(text):
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"[{used.ru_utime + used.ru_stime:.0f} CPU s] {text}", flush=True)


# ---- pictures ----

@torch.no_grad()
def encode(vae, pictures):
    with torch.autocast("cpu", torch.bfloat16):
        return vae.encode(pictures).latent_dist.mode().float()


def make_latents(path, vae, seed, forbidden):
    """{size: (latents float16 [n, 16, h, w], specs)}, with the mean and scale of all."""
    if os.path.exists(path):
        return torch.load(path, weights_only=False)
    rng = numpy.random.default_rng((seed, 3))
    drawn, pending = {}, {}
    for i in range(PICTURES):
        size = tuple(int(n) for n in random_size(rng))
        spec = random_spec(rng, forbidden)
        waiting = pending.setdefault(size, [])
        waiting.append((spec, draw(spec, *size, rng)))
        if len(waiting) == 32 or i == PICTURES - 1:
            x = torch.from_numpy(numpy.stack([p for _, p in waiting])).permute(0, 3, 1, 2) * 2 - 1
            entry = drawn.setdefault(size, ([], []))
            entry[0].append(encode(vae, x).half())
            entry[1].extend(s for s, _ in waiting)
            waiting.clear()
        if i % 2000 == 0:
            log(f"pictures {i}")
    sizes = {size: (torch.cat(z), specs) for size, (z, specs) in drawn.items()}
    every = torch.cat([z.float().flatten() for z, _ in sizes.values()])
    result = {"sizes": sizes, "shift": round(every.mean().item(), 4), "scale": round(1 / every.std().item(), 4)}
    demo_vae.save(path, result)
    return result


class Batches:
    """Batch number n of a seed, whatever came before."""

    def __init__(self, latents, tokenizer, seed):
        self.seed, self.tokenizer = seed, tokenizer
        self.sizes = list(latents["sizes"])
        self.specs = [specs for _, specs in latents["sizes"].values()]
        self.patches = [demo_net.patches((z.float() - latents["shift"]) * latents["scale"]).half()
                        for z, _ in latents["sizes"].values()]
        counts = numpy.array([len(s) for s in self.specs], float)
        self.shares = counts / counts.sum()
        self.tables = {}

    def ids(self, spec, rng, rows):
        if rng.random() < DROPPED:
            text = ""
        elif rows == LONG_ROWS:
            text = ", ".join([prompt_text(spec), *rng.permutation(TAGS)])
        else:
            text = embellish(prompt_text(spec), rng)
        ids = demo_tokenizer.chat_ids(self.tokenizer, text)
        if len(ids) > rows:
            ids = demo_tokenizer.chat_ids(self.tokenizer, prompt_text(spec))
        return ids

    def table(self, size, rows):
        if (size, rows) not in self.tables:
            self.tables[size, rows] = demo_net.Tables(size[1] // 16, size[0] // 16, rows)
        return self.tables[size, rows]

    def get(self, n):
        rng = numpy.random.default_rng((self.seed, 4, n))
        which = int(rng.choice(len(self.sizes), p=self.shares))
        rows = LONG_ROWS if rng.random() < LONG else SHORT_ROWS
        chosen = rng.integers(len(self.specs[which]), size=BATCH)
        ids = [self.ids(self.specs[which][i], rng, rows) for i in chosen]
        # A long batch may hold dropped captions: their rows beyond 32 would be missing.
        absent = torch.tensor([[k >= len(line) for k in range(rows)] for line in ids])
        ids = torch.tensor([line + [0] * (rows - len(line)) for line in ids])
        return self.patches[which][torch.from_numpy(chosen)].float(), ids, absent, self.table(self.sizes[which], rows)


# ---- training ----

def noise_levels(generator, n):
    """Stratified over the batch, shifted towards noise, where the layout is decided."""
    u = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
    return SHIFT * u / (1 + (SHIFT - 1) * u)


def loss_of(parameters, text, batch, generator):
    x, ids, absent, table = batch
    sigma = noise_levels(generator, len(x))
    noise = torch.randn(x.shape, generator=generator)
    noisy = x + sigma[:, None, None] * (noise - x)
    padded = F.pad(noisy, (0, 0, 0, table.total - table.n_image)).bfloat16()
    out = demo_net.forward(parameters, text, padded, 1 - sigma, ids, absent, table.values)
    return (out[:, :table.n_image].float() - (x - noise)).square().mean()


def is_matrix(name, w):
    edge = ("embed", "adaLN", "all_", "pad_token", "norm")
    return w.ndim == 2 and not any(word in name for word in edge)


class Trainer:
    def __init__(self, path, tokenizer, seed):
        torch.manual_seed(seed)
        self.path = path
        self.modules = demo_net.make(tokenizer.get_vocab_size())
        self.transformer, self.text = demo_net.parameters(*self.modules)
        for name, w in self.text.items():           # the last layer and norm reach nothing
            w.requires_grad_(not name.startswith(("layers.2.", "norm.")))
        every = {**{"t." + k: w for k, w in self.transformer.items()}, **{"q." + k: w for k, w in self.text.items()}}
        self.every = {k: w for k, w in every.items() if w.requires_grad}
        matrices = [w for k, w in self.every.items() if is_matrix(k, w)]
        others = [w for k, w in self.every.items() if not is_matrix(k, w)]
        self.optimisers = ((Muon(matrices, MUON_RATE, weight_decay=0.01), MUON_RATE),
                           (torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0), ADAM_RATE))
        self.average = {k: w.detach().clone() for k, w in self.every.items()}
        self.step, self.seconds = 0, 0.0
        if os.path.exists(path):
            self.load()

    def load(self):
        saved = torch.load(self.path)
        with torch.no_grad():
            for k, w in self.every.items():
                w.copy_(saved["weights"][k])
        for (optimiser, _), values in zip(self.optimisers, saved["optimisers"]):
            optimiser.load_state_dict(values)
        self.average, self.step, self.seconds = saved["average"], saved["step"], saved["seconds"]

    def save(self):
        demo_vae.save(self.path, {
            "weights": {k: w.detach() for k, w in self.every.items()}, "average": self.average,
            "optimisers": [o.state_dict() for o, _ in self.optimisers], "step": self.step, "seconds": self.seconds})

    def one(self, batches, seconds, seed):
        fraction = min(1, (self.seconds) / seconds)
        rate = min(1, (self.step + 1) / WARM_UP) * min(1, (1 - fraction) / (1 - DECAY_FROM))
        generator = torch.Generator().manual_seed(seed * 1000003 + self.step)
        loss = loss_of(self.transformer, self.text, batches.get(self.step), generator)
        for w in self.every.values():
            w.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.every.values(), 1.0)
        for optimiser, full in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = full * rate
            optimiser.step()
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        names = list(self.every)
        torch._foreach_lerp_([self.average[k] for k in names], [self.every[k].detach() for k in names], 1 - keep)
        self.step += 1
        return loss.item()

    def run(self, batches, seconds, seed):
        last, saved = demo_vae.clock(), time.monotonic()
        total, n = 0.0, 0
        while self.seconds < seconds:
            total, n = total + self.one(batches, seconds, seed), n + 1
            now = demo_vae.clock()
            self.seconds, last = self.seconds + now - last, now
            if self.step % 50 == 0:
                log(f"step {self.step} {self.seconds:.0f} s loss {total / n:.4f}")
                total, n = 0.0, 0
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()

    def averaged(self):
        """The two modules with the averaged weights."""
        with torch.no_grad():
            for k, w in self.every.items():
                w.copy_(self.average[k])
        return self.modules


# ---- the folder ----

def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def write_text_encoder(text, folder):
    from safetensors.torch import save_file
    os.makedirs(folder)
    weights = {k: w.detach().bfloat16().contiguous() for k, w in text.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    write_json(os.path.join(folder, "config.json"), {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "rope_scaling": None, "pad_token_id": None,
        "vocab_size": text.config.vocab_size, **demo_net.TEXT_ENCODER})
    write_json(os.path.join(folder, "generation_config.json"), {
        "_from_model_config": True, "transformers_version": "4.51.0", "use_cache": True})


def write_folder(out, vae, latents, tokenizer, modules):
    """Made beside out, then put in its place."""
    from diffusers import FlowMatchEulerDiscreteScheduler, __version__
    new = out.rstrip("/") + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    vae.register_to_config(scaling_factor=latents["scale"], shift_factor=latents["shift"])
    vae.bfloat16().save_pretrained(os.path.join(new, "vae"))
    modules[0].bfloat16().save_pretrained(os.path.join(new, "transformer"))
    write_text_encoder(modules[1], os.path.join(new, "text_encoder"))
    demo_tokenizer.write(tokenizer, os.path.join(new, "tokenizer"))
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(os.path.join(new, "scheduler"))
    write_json(os.path.join(new, "model_index.json"), {
        "_class_name": "ZImagePipeline", "_diffusers_version": __version__,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"], "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "ZImageTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]})
    shutil.rmtree(out, ignore_errors=True)
    os.replace(new, out)


def self_check(batches, vocabulary):
    """On weights that are all at work, as they are not at the start."""
    modules = demo_net.make(vocabulary)
    with torch.no_grad():
        for w in (w for m in modules for w in m.parameters()):
            w.add_(0.05 * torch.randn_like(w))
    _, ids, absent, _ = batches.get(0)
    off = max(demo_net.check(*modules, ids[:4], absent[:4], *grid) for grid in ((8, 8), (6, 10), (4, 4)))
    log(f"own maths differs from diffusers by {off:.1e} of the largest value")
    if not off < 1e-4:
        sys.exit("train_demo.py: demo_net.py does not compute what diffusers does; use the versions it names")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)
    forbidden = {combination(s) for s in held_out()}
    at = {name: os.path.join(args.work, name + ".pt") for name in ("vae", "latents", "train")}
    seconds = 60 * args.minutes
    vae = demo_vae.train(at["vae"], 0 if args.export else seconds * VAE_SHARE, args.seed, forbidden, log)
    latents = make_latents(at["latents"], vae, args.seed, forbidden)
    tokenizer = demo_tokenizer.learn(args.seed)
    trainer = Trainer(at["train"], tokenizer, args.seed)
    batches = Batches(latents, tokenizer, args.seed)
    self_check(batches, tokenizer.get_vocab_size())
    if not args.export:
        trainer.run(batches, seconds * (1 - VAE_SHARE), args.seed)
    write_folder(args.out, vae, latents, tokenizer, trainer.averaged())
    log(f"wrote {args.out}")


if __name__ == "__main__":
    main()
