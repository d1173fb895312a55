"""The VAE part of train_demo.py: diffusers' AutoencoderKL, trained on drawings in bfloat16
autocast, until its share of the time is spent. State lives in one checkpoint file.
"""
import os
import time

import numpy
import torch

from demo_optim import Muon
from demo_pictures import draw, random_spec

CONFIG = {
    "block_out_channels": (16, 32, 64, 64), "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "latent_channels": 16, "layers_per_block": 1,
    "norm_num_groups": 4, "sample_size": 128, "use_quant_conv": False, "use_post_quant_conv": False,
}
MUON_RATE, ADAM_RATE = 0.02, 2e-3
KL_WEIGHT = 2e-3                        # enough that the decoder forgives what the transformer misses
SMALL, LARGE = 64, 128                  # most steps see small pictures: four times as many
CHECKPOINT_SECONDS = 60


def save(path, state):
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


def clock():
    """Seconds of two cores' work so far."""
    return time.process_time() / 2


def make():
    from diffusers import AutoencoderKL
    return AutoencoderKL(**CONFIG)


def is_edge(name):
    """Convolutions from pixels or to them: Adam's."""
    return name.startswith(("encoder.conv_in", "decoder.conv_out"))


def pictures(rng, n, side, forbidden):
    batch = [draw(random_spec(rng, forbidden), side, side, rng) for _ in range(n)]
    return torch.from_numpy(numpy.stack(batch)).permute(0, 3, 1, 2) * 2 - 1


def edges(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss_of(vae, x):
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
    y = y.float()
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).mean()
    sharp = sum((a - b).abs().mean() for a, b in zip(edges(y), edges(x)))
    return (y - x).abs().mean() + 2 * ((y - x) ** 2).mean() + 0.5 * sharp + KL_WEIGHT * kl, kl


@torch.no_grad()
def psnr(vae, x):
    """Of pictures in 0..1, through the mean of the posterior."""
    y = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    return (-10 * torch.log10((((y - x) / 2) ** 2).mean((1, 2, 3)))).mean().item()


def train(path, seconds, seed, forbidden, log):
    """Returns the trained model; what it took is in the checkpoint at path."""
    torch.manual_seed(seed)
    vae = make()
    matrices = [w for name, w in vae.named_parameters() if w.ndim > 1 and not is_edge(name)]
    others = [w for name, w in vae.named_parameters() if w.ndim == 1 or is_edge(name)]
    optimisers = ((Muon(matrices, MUON_RATE), MUON_RATE),
                  (torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0), ADAM_RATE))
    state = {"step": 0, "seconds": 0.0}
    average = {k: v.clone() for k, v in vae.state_dict().items()}
    if os.path.exists(path):
        saved = torch.load(path)
        vae.load_state_dict(saved["vae"])
        for (optimiser, _), values in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(values)
        average, state = saved["average"], saved["state"]
    rng = numpy.random.default_rng((seed, 1, state["step"]))
    saved_at, last = time.monotonic(), clock()
    while state["seconds"] < seconds:
        done = state["seconds"] / seconds
        for optimiser, rate in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (state["step"] + 1) / 20) * min(1, (1 - done) / 0.6 + 0.01)
        large = state["step"] % 8 == 7
        x = pictures(rng, 4 if large else 8, LARGE if large else SMALL, forbidden)
        loss, kl = loss_of(vae, x)
        vae.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser, _ in optimisers:
            optimiser.step()
        decay = min(0.99, state["step"] / (state["step"] + 50))
        for k, v in vae.state_dict().items():
            average[k].lerp_(v, 1 - decay)
        now = clock()
        state = {"step": state["step"] + 1, "seconds": state["seconds"] + now - last}
        last = now
        if state["step"] % 50 == 0:
            log(f"vae {state['step']} {state['seconds']:.0f} s loss {loss.item():.4f} kl {kl.item():.3f}")
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS or state["seconds"] >= seconds:
            save(path, {"vae": vae.state_dict(), "optimisers": [o.state_dict() for o, _ in optimisers],
                        "average": average, "state": state})
            saved_at = time.monotonic()
    vae.load_state_dict(average)
    vae.eval()
    log(f"vae: psnr {psnr(vae, pictures(numpy.random.default_rng(5), 32, LARGE, ())):.2f} dB")
    return vae
