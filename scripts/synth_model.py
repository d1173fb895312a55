#!/usr/bin/env python3
"""Writes a diffusers folder with random bfloat16 weights in the true widths of
Z-Image-Turbo or FLUX.2 klein 4B, Qwen3-4B and the VAE, and any number of blocks: what the
sizes cost can be measured without the real weights. The pictures are noise. Needs numpy.

    scripts/synth_model.py --layers 2 --refiners 1 --text-layers 4 --out DIR
    scripts/synth_model.py --family klein --layers 1 --singles 4 --text-layers 28 --out DIR

With --single the transformer is written once more, as DIR/single/transformer.safetensors
in the names it was published with (q, k and v in one matrix), which other programs want;
these take text_encoder/ and vae/ as they are when --shard-mb keeps them in one file.

A tensor depends on the seed and its name only, so folders of different depth share the
blocks they have in common. Memory stays below 200 MB whatever the size.
"""
import argparse
import json
import os
import shutil
import struct
import sys
import zlib

import numpy

PIECE = 1 << 22                 # elements made at a time
TOKENIZER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo", "model", "tokenizer")

TRANSFORMER = {
    "_class_name": "ZImageTransformer2DModel", "_diffusers_version": "0.36.0",
    "all_f_patch_size": [1], "all_patch_size": [2], "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512], "cap_feat_dim": 2560, "dim": 3840, "in_channels": 16,
    "n_heads": 30, "n_kv_heads": 30, "n_layers": 30, "n_refiner_layers": 2, "norm_eps": 1e-05,
    "qk_norm": True, "rope_theta": 256.0, "t_scale": 1000.0,
}
TEXT_ENCODER = {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 2560, "intermediate_size": 9728,
    "max_position_embeddings": 40960, "model_type": "qwen3", "num_attention_heads": 32,
    "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": None, "rope_theta": 1000000, "tie_word_embeddings": True,
    "torch_dtype": "bfloat16", "vocab_size": 151936,
}
VAE = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.36.0", "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True, "in_channels": 3, "latent_channels": 16, "layers_per_block": 2,
    "mid_block_add_attention": True, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 1024, "scaling_factor": 0.3611, "shift_factor": 0.1159,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "use_post_quant_conv": False,
    "use_quant_conv": False,
}
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.36.0",
    "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False,
}
KLEIN_TRANSFORMER = {
    "_class_name": "Flux2Transformer2DModel", "_diffusers_version": "0.37.0",
    "attention_head_dim": 128, "axes_dims_rope": [32, 32, 32, 32], "eps": 1e-06,
    "guidance_embeds": False, "in_channels": 128, "joint_attention_dim": 7680, "mlp_ratio": 3.0,
    "num_attention_heads": 24, "num_layers": 5, "num_single_layers": 20, "out_channels": None,
    "patch_size": 1, "rope_theta": 2000, "timestep_guidance_channels": 256,
}
KLEIN_VAE = {
    **{key: value for key, value in VAE.items() if key not in ("scaling_factor", "shift_factor")},
    "_class_name": "AutoencoderKLFlux2", "batch_norm_eps": 0.0001, "batch_norm_momentum": 0.1,
    "latent_channels": 32, "patch_size": [2, 2], "use_post_quant_conv": True, "use_quant_conv": True,
}
KLEIN_SCHEDULER = {
    **SCHEDULER, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15,
    "base_image_seq_len": 256, "max_image_seq_len": 4096, "time_shift_type": "exponential",
}
KLEIN_INDEX = {
    "_class_name": "Flux2KleinPipeline", "_diffusers_version": "0.37.0", "is_distilled": True,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3ForCausalLM"],
    "tokenizer": ["transformers", "Qwen2TokenizerFast"],
    "transformer": ["diffusers", "Flux2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLFlux2"],
}
MODEL_INDEX = {
    "_class_name": "ZImagePipeline", "_diffusers_version": "0.36.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3Model"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "ZImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


# ---- names and shapes ----

def linear(name, n_out, n_in, bias=False):
    yield name + ".weight", (n_out, n_in)
    if bias:
        yield name + ".bias", (n_out,)


def norm(name, n, bias=False):
    yield name + ".weight", (n,)
    if bias:
        yield name + ".bias", (n,)


def conv(name, n_out, n_in, side=3):
    yield name + ".weight", (n_out, n_in, side, side)
    yield name + ".bias", (n_out,)


def text_encoder_tensors(c):
    hidden, heads, kv_heads, head = (
        c[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden)
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield from norm(layer + "input_layernorm", hidden)
        yield from norm(layer + "post_attention_layernorm", hidden)
        yield from linear(layer + "self_attn.q_proj", heads * head, hidden)
        yield from linear(layer + "self_attn.k_proj", kv_heads * head, hidden)
        yield from linear(layer + "self_attn.v_proj", kv_heads * head, hidden)
        yield from linear(layer + "self_attn.o_proj", hidden, heads * head)
        yield from norm(layer + "self_attn.q_norm", head)
        yield from norm(layer + "self_attn.k_norm", head)
        yield from linear(layer + "mlp.gate_proj", c["intermediate_size"], hidden)
        yield from linear(layer + "mlp.up_proj", c["intermediate_size"], hidden)
        yield from linear(layer + "mlp.down_proj", hidden, c["intermediate_size"])
    yield from norm("model.norm", hidden)


def transformer_block(name, c, modulated):
    dim, head, ffn = c["dim"], c["dim"] // c["n_heads"], int(c["dim"] / 3 * 8)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from linear(f"{name}.attention.{part}", dim, dim)
    yield from norm(name + ".attention.norm_q", head)
    yield from norm(name + ".attention.norm_k", head)
    yield from linear(name + ".feed_forward.w1", ffn, dim)
    yield from linear(name + ".feed_forward.w2", dim, ffn)
    yield from linear(name + ".feed_forward.w3", ffn, dim)
    for part in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
        yield from norm(f"{name}.{part}", dim)
    if modulated:
        yield from linear(name + ".adaLN_modulation.0", 4 * dim, min(dim, 256), bias=True)


def transformer_tensors(c):
    dim, width = c["dim"], min(c["dim"], 256)
    patch = c["all_patch_size"][0] ** 2 * c["in_channels"]
    yield from linear("all_x_embedder.2-1", dim, patch, bias=True)
    yield from norm("cap_embedder.0", c["cap_feat_dim"])
    yield from linear("cap_embedder.1", dim, c["cap_feat_dim"], bias=True)
    yield from linear("t_embedder.mlp.0", 1024, 256, bias=True)
    yield from linear("t_embedder.mlp.2", width, 1024, bias=True)
    yield "x_pad_token", (1, dim)
    yield "cap_pad_token", (1, dim)
    for i in range(c["n_refiner_layers"]):
        yield from transformer_block(f"noise_refiner.{i}", c, True)
        yield from transformer_block(f"context_refiner.{i}", c, False)
    for i in range(c["n_layers"]):
        yield from transformer_block(f"layers.{i}", c, True)
    yield from linear("all_final_layer.2-1.linear", patch, dim, bias=True)
    yield from linear("all_final_layer.2-1.adaLN_modulation.1", dim, width, bias=True)


def klein_tensors(c):
    head = c["attention_head_dim"]
    dim = c["num_attention_heads"] * head
    ffn = int(dim * c["mlp_ratio"])
    for name, n_out, n_in in (
            ("x_embedder", dim, c["in_channels"]), ("context_embedder", dim, c["joint_attention_dim"]),
            ("time_guidance_embed.timestep_embedder.linear_1", dim, c["timestep_guidance_channels"]),
            ("time_guidance_embed.timestep_embedder.linear_2", dim, dim),
            ("double_stream_modulation_img.linear", 6 * dim, dim),
            ("double_stream_modulation_txt.linear", 6 * dim, dim),
            ("single_stream_modulation.linear", 3 * dim, dim),
            ("norm_out.linear", 2 * dim, dim), ("proj_out", c["in_channels"], dim)):
        yield from linear(name, n_out, n_in)
    for i in range(c["num_layers"]):
        block = f"transformer_blocks.{i}."
        for part in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            yield from linear(f"{block}attn.{part}", dim, dim)
        for part in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            yield from norm(f"{block}attn.{part}", head)
        for part in ("ff", "ff_context"):
            yield from linear(f"{block}{part}.linear_in", 2 * ffn, dim)
            yield from linear(f"{block}{part}.linear_out", dim, ffn)
    for i in range(c["num_single_layers"]):
        block = f"single_transformer_blocks.{i}.attn."
        yield from linear(block + "to_qkv_mlp_proj", 3 * dim + 2 * ffn, dim)
        yield from linear(block + "to_out", dim, dim + ffn)
        yield from norm(block + "norm_q", head)
        yield from norm(block + "norm_k", head)


def resnet(name, n_in, n_out):
    yield from norm(name + ".norm1", n_in, bias=True)
    yield from conv(name + ".conv1", n_out, n_in)
    yield from norm(name + ".norm2", n_out, bias=True)
    yield from conv(name + ".conv2", n_out, n_out)
    if n_in != n_out:
        yield from conv(name + ".conv_shortcut", n_out, n_in, 1)


def mid_block(name, n):
    yield from resnet(name + ".resnets.0", n, n)
    yield from norm(name + ".attentions.0.group_norm", n, bias=True)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        yield from linear(f"{name}.attentions.0.{part}", n, n, bias=True)
    yield from resnet(name + ".resnets.1", n, n)


def vae_blocks(name, channels, n_resnets, resample):
    n_in = channels[0]
    for i, n_out in enumerate(channels):
        for j in range(n_resnets):
            yield from resnet(f"{name}.{i}.resnets.{j}", n_in if j == 0 else n_out, n_out)
        if i + 1 < len(channels):
            yield from conv(f"{name}.{i}.{resample}.0.conv", n_out, n_out)
        n_in = n_out


def vae_tensors(c):
    channels, latent = c["block_out_channels"], c["latent_channels"]
    first, last = channels[0], channels[-1]
    yield from conv("encoder.conv_in", first, c["in_channels"])
    yield from vae_blocks("encoder.down_blocks", channels, c["layers_per_block"], "downsamplers")
    yield from mid_block("encoder.mid_block", last)
    yield from norm("encoder.conv_norm_out", last, bias=True)
    yield from conv("encoder.conv_out", 2 * latent, last)
    yield from conv("decoder.conv_in", last, latent)
    yield from mid_block("decoder.mid_block", last)
    yield from vae_blocks("decoder.up_blocks", channels[::-1], c["layers_per_block"] + 1, "upsamplers")
    yield from norm("decoder.conv_norm_out", first, bias=True)
    yield from conv("decoder.conv_out", c["out_channels"], first)
    if c["use_quant_conv"]:
        yield from conv("quant_conv", 2 * latent, 2 * latent, 1)
        yield from conv("post_quant_conv", latent, latent, 1)
    if "patch_size" in c:
        yield "bn.running_mean", (4 * latent,)
        yield "bn.running_var", (4 * latent,)


# ---- the same under the names of the original checkpoint ----

ORIGINAL = (("all_x_embedder.2-1.", "x_embedder."), ("all_final_layer.2-1.", "final_layer."),
            (".attention.norm_q.", ".attention.q_norm."), (".attention.norm_k.", ".attention.k_norm."),
            (".attention.to_out.0.", ".attention.out."), (".attention.to_q.", ".attention.qkv."))


def single_tensors(tensors):
    """(name, shape, sources): q, k and v lie behind each other in one."""
    shapes = dict(tensors)
    for name, shape in shapes.items():
        if ".to_k." in name or ".to_v." in name:
            continue
        sources = [name]
        if ".to_q." in name:
            sources += [name.replace(".to_q.", f".to_{part}.") for part in "kv"]
            shape = (sum(shapes[source][0] for source in sources), *shape[1:])
        for diffusers, original in ORIGINAL:
            name = name.replace(diffusers, original)
        yield name, shape, sources


# ---- values ----

def spread(name, shape):
    """(middle, half width) of a tensor's values: what keeps activations near one."""
    if len(shape) == 1 and name.endswith((".weight", ".running_var")):
        return 1.0, 0.1
    if name.endswith((".bias", ".running_mean")):
        return 0.0, 0.02
    if "embed_tokens" in name:
        return 0.0, 0.05
    fan_in = int(numpy.prod(shape[1:]))
    return 0.0, (3.0 / fan_in) ** 0.5


def to_bfloat16(x):
    """Nearest, ties to even; there are no NaNs here."""
    bits = x.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def pieces(seed, name, shape):
    middle, half = spread(name, shape)
    source = numpy.random.Generator(numpy.random.SFC64([seed, zlib.crc32(name.encode())]))
    left = int(numpy.prod(shape))
    while left:
        n = min(left, PIECE)
        x = source.random(n, dtype=numpy.float32)
        x -= numpy.float32(0.5)
        x *= numpy.float32(2 * half)
        x += numpy.float32(middle)
        yield to_bfloat16(x)
        left -= n


# ---- files ----

def size_of(shape):
    return 2 * int(numpy.prod(shape))


def write_safetensors(path, tensors, seed, shapes=None):
    """tensors: (name, shape) or (name, shape, the names of shapes it is made of)."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, *_ in tensors:
        end = offset + size_of(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape, *rest in tensors:
            for source in rest[0] if rest else (name,):
                for piece in pieces(seed, source, shapes[source] if rest else shape):
                    file.write(piece.tobytes())


def split(tensors, limit):
    """Greedily into shards of at most limit bytes (a larger tensor gets one of its own)."""
    shards, size = [[]], 0
    for name, shape in tensors:
        if shards[-1] and size + size_of(shape) > limit:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += size_of(shape)
    return shards


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def write_component(folder, stem, config, tensors, args):
    os.makedirs(folder)
    write_json(os.path.join(folder, "config.json"), config)
    shards = split(list(tensors), args.shard_mb * 1000000)
    weight_map = {}
    for i, shard in enumerate(shards):
        suffix = f"-{i + 1:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
        file = f"{stem}{suffix}.safetensors"
        print(f"{os.path.basename(folder)}/{file}: {len(shard)} tensors", file=sys.stderr)
        write_safetensors(os.path.join(folder, file), shard, args.seed)
        weight_map.update((name, file) for name, _ in shard)
    if len(shards) > 1:
        total = sum(size_of(shape) for shard in shards for _, shape in shard)
        write_json(os.path.join(folder, f"{stem}.safetensors.index.json"),
                   {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})


def write_model(args):
    klein = args.family == "klein"
    if klein:
        transformer = {**KLEIN_TRANSFORMER, "num_layers": args.layers, "num_single_layers": args.singles}
        index, scheduler, vae, tensors_of = KLEIN_INDEX, KLEIN_SCHEDULER, KLEIN_VAE, klein_tensors
    else:
        transformer = {**TRANSFORMER, "n_layers": args.layers, "n_refiner_layers": args.refiners}
        index, scheduler, vae, tensors_of = MODEL_INDEX, SCHEDULER, VAE, transformer_tensors
    text_encoder = {**TEXT_ENCODER, "num_hidden_layers": args.text_layers,
                    "intermediate_size": args.text_ffn}
    os.makedirs(args.out)
    write_json(os.path.join(args.out, "model_index.json"), index)
    os.makedirs(os.path.join(args.out, "scheduler"))
    write_json(os.path.join(args.out, "scheduler", "scheduler_config.json"), scheduler)
    shutil.copytree(TOKENIZER, os.path.join(args.out, "tokenizer"))
    stem = "diffusion_pytorch_model"
    for name, file, config, tensors in (
            ("text_encoder", "model", text_encoder, text_encoder_tensors(text_encoder)),
            ("transformer", stem, transformer, tensors_of(transformer)),
            ("vae", stem, vae, vae_tensors(vae))):
        write_component(os.path.join(args.out, name), file, config, tensors, args)
    if args.single and not klein:
        shapes = dict(transformer_tensors(transformer))
        os.makedirs(os.path.join(args.out, "single"))
        write_safetensors(os.path.join(args.out, "single", "transformer.safetensors"),
                          list(single_tensors(shapes)), args.seed, shapes)


def count(minimum):
    def parse(text):
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"at least {minimum}")
        return value
    return parse


def main():
    parser = argparse.ArgumentParser(
        description="Random weights in the true widths of Z-Image or klein, as a diffusers folder.")
    parser.add_argument("--out", required=True, help="folder to make; must not exist")
    parser.add_argument("--family", choices=("z-image", "klein"), default="z-image")
    parser.add_argument("--layers", type=count(1), help="main blocks (30), klein: double blocks (5)")
    parser.add_argument("--singles", type=count(1), default=20, help="klein's single blocks (20)")
    parser.add_argument("--refiners", type=count(0), default=2, help="noise and context refiner blocks, each (2)")
    parser.add_argument("--text-layers", type=count(2), default=36, help="text encoder layers (36)")
    parser.add_argument("--text-ffn", type=count(16), default=TEXT_ENCODER["intermediate_size"],
                        help="text encoder's inner width (9728); smaller where only pictures count")
    parser.add_argument("--single", action="store_true", help="also one file in the original's names")
    parser.add_argument("--seed", type=count(0), default=0)
    parser.add_argument("--shard-mb", type=count(1), default=1000, help="largest weight file, in MB (1000)")
    args = parser.parse_args()
    args.layers = args.layers or (5 if args.family == "klein" else 30)
    try:
        write_model(args)
    except OSError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
