"""The transformer part of train_demo.py: the maths of diffusers' ZImageTransformer2DModel and
of the layers of transformers' Qwen3Model that reach it, written for a batch whose pictures
have one size and whose prompts are padded to one length, so that nothing is masked. Works
on dicts of those models' own parameters, by their names; check() compares with the
reference modules.
"""
import torch
import torch.nn.functional as F

TRANSFORMER = {
    "all_f_patch_size": (1,), "all_patch_size": (2,), "axes_dims": [8, 12, 12], "axes_lens": [1536, 512, 512],
    "cap_feat_dim": 128, "dim": 192, "in_channels": 16, "n_heads": 6, "n_kv_heads": 6, "n_layers": 5,
    "n_refiner_layers": 1, "norm_eps": 1e-5, "qk_norm": True, "rope_theta": 256.0, "t_scale": 1000.0,
}
TEXT_ENCODER = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0, "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0,
    "initializer_range": 0.02, "use_cache": True, "use_sliding_window": False, "sliding_window": None,
    "max_window_layers": 28, "hidden_act": "silu", "bos_token_id": None, "eos_token_id": None,
}
HEAD = 32
MULTIPLE = 32
EPS, TEXT_EPS = 1e-5, 1e-6


# ---- tables ----

def turned(angles, pairs):
    """angles [n, HEAD / 2] -> factors [n, 1, HEAD] of x and of x with the partners swapped."""
    cos, sin = angles.cos(), angles.sin()
    if pairs:
        both = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
    else:
        both = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
    return tuple(y[:, None].float() for y in both)


def swap(pairs):
    """The permutation of turned(), as a matrix: a product is faster than moving halves."""
    i = torch.arange(HEAD)
    return torch.eye(HEAD)[i ^ 1 if pairs else (i + HEAD // 2) % HEAD]


def rope_table(ids):
    """ids [n, 3]: the axes side by side in a head."""
    parts = []
    for axis, dim in enumerate(TRANSFORMER["axes_dims"]):
        freqs = 1.0 / (TRANSFORMER["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim))
        parts.append(torch.outer(ids[:, axis].double(), freqs))
    return *turned(torch.cat(parts, 1), True), swap(True)


def text_rope(n):
    freqs = 1.0 / (TEXT_ENCODER["rope_theta"] ** (torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD))
    return *turned(torch.outer(torch.arange(n).double(), freqs), False), swap(False)


class Tables:
    """What depends on the sizes only: rope of text, caption, image and both, and which rows pad."""

    def __init__(self, rows, columns, n_caption):
        n_image = rows * columns
        total = -(-n_image // MULTIPLE) * MULTIPLE
        image = torch.zeros(total, 3, dtype=torch.long)
        image[:n_image, 0] = n_caption + 1
        image[:n_image, 1] = torch.arange(n_image) // columns
        image[:n_image, 2] = torch.arange(n_image) % columns
        caption = torch.zeros(n_caption, 3, dtype=torch.long)
        caption[:, 0] = torch.arange(n_caption) + 1
        self.values = (text_rope(n_caption), rope_table(caption), rope_table(image),
                       rope_table(torch.cat((image, caption))), torch.arange(total) >= n_image)
        self.n_image, self.total = n_image, total


# ---- maths ----

def rms(x, weight, eps):
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square() / x.shape[-1]
    return x * torch.rsqrt(size + eps).to(x.dtype) * weight.to(x.dtype)


def rotate(x, rope):
    cos, sin, swapped = (y.to(x.dtype) for y in rope)
    return x * cos + (x @ swapped) * sin


def attend(q, k, v, causal=False):
    """[b, n, heads, HEAD]. Plain products: four times as fast here as torch's fused attention."""
    b, n, count, _ = q.shape
    q, k, v = (y.transpose(1, 2).reshape(b * count, n, HEAD) for y in (q, k, v))
    scores = torch.bmm(q * HEAD ** -0.5, k.transpose(1, 2))
    if causal:
        scores = scores + torch.full((n, n), -1e9, dtype=q.dtype).triu(1)
    out = torch.bmm(scores.softmax(-1), v)
    return out.view(b, count, n, HEAD).transpose(1, 2).flatten(2)


def attention(p, names, norms, x, rope, eps, causal=False):
    """names: of the matrices for q, k and v; norms: of the weights for q and k."""
    parts = fused(p, names, x)
    counts = [y.shape[-1] // HEAD for y in parts]
    qk = torch.cat(parts[:2], -1).unflatten(-1, (-1, HEAD))
    weight = torch.cat([p[name][None].expand(n, HEAD) for name, n in zip(norms, counts)])
    q, k = rotate(rms(qk, weight, eps), rope).split(counts[:2], 2)
    v = parts[2].unflatten(-1, (-1, HEAD))
    repeat = counts[0] // counts[1]
    if repeat > 1:
        k, v = k.repeat_interleave(repeat, 2), v.repeat_interleave(repeat, 2)
    return attend(q, k, v, causal)


def linear(p, name, x):
    bias = p.get(name + ".bias")
    return F.linear(x, p[name + ".weight"].to(x.dtype), None if bias is None else bias.to(x.dtype))


def fused(p, names, x):
    """Several matrices of one input as one product."""
    weights = [p[name + ".weight"].to(x.dtype) for name in names]
    return F.linear(x, torch.cat(weights)).split([w.shape[0] for w in weights], -1)


def text_layer(p, i, x, rope):
    at = f"layers.{i}."
    h = rms(x, p[at + "input_layernorm.weight"], TEXT_EPS)
    h = attention(p, [at + f"self_attn.{n}_proj" for n in "qkv"], [at + f"self_attn.{n}_norm.weight" for n in "qk"],
                  h, rope, TEXT_EPS, True)
    x = x + linear(p, at + "self_attn.o_proj", h)
    h = rms(x, p[at + "post_attention_layernorm.weight"], TEXT_EPS)
    gate, up = fused(p, [at + "mlp.gate_proj", at + "mlp.up_proj"], h)
    return x + linear(p, at + "mlp.down_proj", F.silu(gate) * up)


def text_states(p, ids, rope, dtype):
    """The last but one of the hidden states: the last layer is never used."""
    x = F.embedding(ids, p["embed_tokens.weight"]).to(dtype)
    for i in range(TEXT_ENCODER["num_hidden_layers"] - 1):
        x = text_layer(p, i, x, rope)
    return x


def block(p, at, x, rope, c):
    if c is not None:
        mod = linear(p, at + "adaLN_modulation.0", c)[:, None].chunk(4, -1)
        scale1, gate1, scale2, gate2 = 1 + mod[0], mod[1].tanh(), 1 + mod[2], mod[3].tanh()
    else:
        scale1 = gate1 = scale2 = gate2 = 1
    h = rms(x, p[at + "attention_norm1.weight"], EPS) * scale1
    h = attention(p, [at + f"attention.to_{n}" for n in "qkv"], [at + f"attention.norm_{n}.weight" for n in "qk"],
                  h, rope, EPS)
    h = linear(p, at + "attention.to_out.0", h)
    x = x + gate1 * rms(h, p[at + "attention_norm2.weight"], EPS)
    h = rms(x, p[at + "ffn_norm1.weight"], EPS) * scale2
    a, b = fused(p, [at + "feed_forward.w1", at + "feed_forward.w3"], h)
    h = linear(p, at + "feed_forward.w2", F.silu(a) * b)
    return x + gate2 * rms(h, p[at + "ffn_norm2.weight"], EPS)


def time_embedding(p, t, dtype):
    freqs = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(128) / 128)
    args = t[:, None] * TRANSFORMER["t_scale"] * freqs
    h = torch.cat((args.cos(), args.sin()), -1).to(dtype)
    return linear(p, "t_embedder.mlp.2", F.silu(linear(p, "t_embedder.mlp.0", h)))


def forward(p, text, x, t, ids, absent, tables):
    """p, text: parameters. x [b, n, 64] patches, padded to tables; t [b] = 1 - sigma; ids [b, c];
    absent [b, c] true where a row is padding. Returns [b, n, 64], data minus noise."""
    text_table, caption_rope, image_rope, rope, x_absent = tables
    dtype = x.dtype
    c = time_embedding(p, t, dtype)
    cap = rms(text_states(text, ids, text_table, dtype), p["cap_embedder.0.weight"], EPS)
    cap = torch.where(absent[..., None], p["cap_pad_token"].to(dtype), linear(p, "cap_embedder.1", cap))
    cap = block(p, "context_refiner.0.", cap, caption_rope, None)
    x = torch.where(x_absent[:, None], p["x_pad_token"].to(dtype), linear(p, "all_x_embedder.2-1", x))
    x = block(p, "noise_refiner.0.", x, image_rope, c)
    n = x.shape[1]
    x = torch.cat((x, cap), 1)
    for i in range(TRANSFORMER["n_layers"]):
        x = block(p, f"layers.{i}.", x, rope, c)
    x = x[:, :n]
    scale = 1 + linear(p, "all_final_layer.2-1.adaLN_modulation.1", F.silu(c))[:, None]
    x = F.layer_norm(x.float(), x.shape[-1:], eps=1e-6).to(dtype) * scale
    return linear(p, "all_final_layer.2-1.linear", x)


def patches(latents):
    """[b, c, h, w] -> [b, h/2 * w/2, 4 c], as the reference orders them."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w // 4, 4 * c)


# ---- the reference modules ----

def make(vocabulary):
    """The two modules, initialised so that every block starts as the identity."""
    from diffusers import ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM
    transformer = ZImageTransformer2DModel(**TRANSFORMER)
    text = Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary, **TEXT_ENCODER))
    with torch.no_grad():
        for name, w in transformer.named_parameters():
            if "adaLN_modulation" in name or name.startswith("all_final_layer.2-1.linear"):
                w.zero_()
            elif name.endswith("pad_token"):
                w.normal_(0, 0.02)
        for at in ("noise_refiner", "layers"):
            for layer in getattr(transformer, at):
                layer.adaLN_modulation[0].bias.view(4, -1)[1::2] = 0.3
    return transformer, text


def parameters(transformer, text):
    return dict(transformer.named_parameters()), dict(text.model.named_parameters())


@torch.no_grad()
def check(transformer, text, ids, absent, rows, columns):
    """The largest difference from the reference, relative to the output's largest value."""
    g = torch.Generator().manual_seed(0)
    latents = torch.randn(len(ids), 16, 2 * rows, 2 * columns, generator=g)
    t = torch.rand(len(ids), generator=g)
    tables = Tables(rows, columns, ids.shape[1])
    x = F.pad(patches(latents), (0, 0, 0, tables.total - tables.n_image))
    ours = forward(*parameters(transformer, text), x, t, ids, absent, tables.values)[:, :tables.n_image]
    states = text.model(input_ids=ids, attention_mask=(~absent).long(), output_hidden_states=True).hidden_states[-2]
    out = transformer([z[:, None] for z in latents], t, [s[~a] for s, a in zip(states, absent)]).sample
    theirs = patches(torch.stack(out)[:, :, 0])
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
