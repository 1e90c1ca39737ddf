"""Writes tiny random coders that are one PyTorch file; see ``folders``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.coders.readers.on_disk import D_IN, LATENTS, Draw, K, Made, write_config, write_tensors


def plain(
    folder: Path, *, kind: str, seed: int = 0, d: int = D_IN, n: int = LATENTS, dtype: Any = torch.float32
) -> Made:
    draw = Draw(seed, dtype)
    if kind == "attention":
        weights, config = folder / "gpt2-small_L5_Hcat_z.pt", folder / "gpt2-small_L5_Hcat_z_cfg.json"
        write_tensors(weights, {"W_enc": draw(d, n), "b_enc": draw(n), "W_dec": draw(n, d), "b_dec": draw(d)})
        write_config(config, {"act_size": d, "dict_size": n, "act_name": "blocks.5.attn.hook_z"})
        return Made(weights, weights, config, "act_size")
    if kind == "transcoder":
        weights = folder / f"final_sparse_autoencoder_gpt2-small_blocks.5.ln2.hook_normalized_{n}.pt"
        tensors = {"W_enc": draw(d, n), "b_enc": draw(n), "W_dec": draw(n, d), "b_dec": draw(d), "b_dec_out": draw(d)}
        write_tensors(weights, tensors)
        return Made(weights, weights)
    enc, dec = ("encoder_linear", "decoder_linear") if kind == "goodfire" else ("encoder", "decoder")
    name = {"goodfire": "Llama-3.1-8B-Instruct-SAE-l19.pth", "qresearch": "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"}
    weights = folder / name[kind]
    tensors = {f"{enc}.weight": draw(n, d), f"{enc}.bias": draw(n), f"{dec}.weight": draw(d, n), f"{dec}.bias": draw(d)}
    write_tensors(weights, tensors)
    return Made(weights, weights)


def qwen_scope(
    folder: Path, *, seed: int = 0, d: int = D_IN, n: int = LATENTS, k: int = K, dtype: Any = torch.float32
) -> Made:
    draw = Draw(seed, dtype)
    weights = folder / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{k}" / "layer4.sae.pt"
    write_tensors(weights, {"W_enc": draw(n, d), "b_enc": draw(n), "W_dec": draw(d, n), "b_dec": draw(d)})
    return Made(weights, weights)


def hypothesaes(
    folder: Path,
    *,
    batch: bool = False,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    k: int = K,
    dtype: Any = torch.float32,
) -> Made:
    draw = Draw(seed, dtype)
    tensors = {
        "encoder.weight": draw(n, d),
        "decoder.weight": draw(d, n),
        "input_bias": draw(d),
        "neuron_bias": draw(n),
    }
    tensors["threshold"] = draw.positive()
    config = {"input_dim": d, "m_total_neurons": n, "k_active_neurons": k, "aux_k": 6, "use_batch_topk": batch}
    weights = folder / "SAE_M=16_K=3.pt"
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"config": config, "state_dict": tensors}, weights)
    spare = frozenset() if batch else frozenset({"threshold"})
    return Made(weights, weights, optional=spare, unread=spare)
