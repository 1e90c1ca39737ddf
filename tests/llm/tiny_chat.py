"""A random chat model of a few thousand weights, as a folder for Transformers and as a file for llama.cpp.

What it says means nothing, but it says it like any model: a chat template, a tokenizer of its own, texts that end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import SENTENCES

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 32, 2, 4, 64, 16_384
TURNS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPREAD = 2.0
"""Of the logits, as a standard deviation."""
MEANS = {TURNS[0]: 3.5, '"': 3.5}
"""The mean logit of what ends a text or a JSON string, while that of other ASCII is 0: one ends after some 30 tokens."""
NEVER = -20.0
"""That of the other tokens, which might spell no UTF-8."""


def make(folder: Path) -> Path:
    """Writes the model, in the form of a Llama, and its tokenizer into ``folder``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=TURNS, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=TURNS[0], pad_token=TURNS[0])
    tokenizer.add_special_tokens({"additional_special_tokens": TURNS[1:]})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        _lean(model, [_mean(token) for token in tokenizer.convert_ids_to_tokens(range(config.vocab_size))])
    model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=0, do_sample=True)
    model.save_pretrained(folder)
    return folder


def _mean(token: str) -> float:
    """The mean logit of a token, which byte-level BPE spells with \u0120 for a space."""
    return MEANS.get(token, 0.0 if token.replace("\u0120", "").isascii() and token not in TURNS else NEVER)


def _lean(model: Any, means: list[float]) -> None:
    """Keeps one channel of the residual stream constant, from which the logits get their means."""
    import torch

    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        head = model.lm_head.weight
        head.normal_(std=SPREAD / WIDTH**0.5)
        states = model.model(torch.arange(len(means))[None]).last_hidden_state[0]
        head[:, 0] = torch.tensor(means) / states[:, 0].mean()


def write_gguf(folder: Path, path: Path, quantized: bool = False, without: str = "") -> Path:
    """Writes the model in ``folder`` as the GGUF file ``path``, its matrices in Q8_0 if ``quantized``, ``without`` one weight."""
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    tokens = tokenizer.convert_ids_to_tokens(range(model.config.vocab_size))
    kinds = [gguf.TokenType.CONTROL if token in TURNS else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp turns neighbours, Transformers two halves
            values = values.reshape(HEADS, 2, -1, WIDTH).swapaxes(1, 2).reshape(values.shape)
        if name == without:
            continue
        if quantized and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _name(name: str) -> str:
    """llama.cpp's name of a weight."""
    for ours, theirs in (
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("_proj", ""),
    ):
        name = name.replace(ours, theirs)
    return name
