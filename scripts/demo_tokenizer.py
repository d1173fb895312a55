"""The tokenizer part of train_demo.py: byte-level BPE learnt from the grammar's own prompts,
with Qwen's splitting and chat template, in the four files of a diffusers folder.
"""
import json
import os

import numpy

from demo_pictures import TAGS, embellish, prompt_text, random_spec

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
VOCABULARY = 655                        # bytes and merges; the special tokens follow
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
           "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
MARKS = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>")
TEMPLATE = ("{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
            "'<|im_end|>' + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
            "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}"
            "{%- endif %}{%- endif %}")


def corpus(seed, n=6000):
    """Prompts as they are typed, and the words around them."""
    rng = numpy.random.default_rng((seed, 2))
    for _ in range(n):
        yield "user\n" + embellish(prompt_text(random_spec(rng, ())), rng) + "\nassistant\n"
        yield ", ".join(rng.permutation(TAGS)) + "."


def learn(seed):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(corpus(seed), trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in CONTROL])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in MARKS])
    return tokenizer


def write(tokenizer, folder):
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    made = json.loads(tokenizer.to_str())
    merges = [m if isinstance(m, str) else " ".join(m) for m in made["model"]["merges"]]
    flags = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    config = {
        "add_bos_token": False, "add_prefix_space": False,
        "added_tokens_decoder": {str(t["id"]): {k: t[k] for k in flags} for t in made["added_tokens"]},
        "additional_special_tokens": list(CONTROL[1:]), "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 131072, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
        "chat_template": TEMPLATE,
    }
    for name, text in (("vocab.json", json.dumps(made["model"]["vocab"], ensure_ascii=False)),
                       ("merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n"),
                       ("tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def chat_ids(tokenizer, prompt):
    return tokenizer.encode(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n").ids
