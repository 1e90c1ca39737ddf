"""Trains the toy subject: a small Llama on the documentation of the pinned packages."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

SAVE_EVERY = 400


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine to a twentieth of ``peak``."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


def batches(tokens: np.ndarray, rows: int, seed: int):
    """Yields batches of rows for ever, every epoch in an order of its own."""
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(len(tokens))
        for start in range(0, len(order) - rows + 1, rows):
            yield torch.from_numpy(tokens[order[start : start + rows]].astype(np.int64))


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Writes the model in bfloat16 as an ordinary Hugging Face folder."""
    state = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(state)
    copy.save_pretrained(folder)


def main() -> None:
    """Writes subject/model.safetensors, subject/config.json and scratch/training.json."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    p = params["subject"]
    torch.manual_seed(params["seed"])
    tokens = np.load("scratch/train.npy")
    config = LlamaConfig(
        vocab_size=params["tokenizer"]["vocabulary"],
        hidden_size=p["hidden_size"],
        intermediate_size=p["intermediate_size"],
        num_hidden_layers=p["layers"],
        num_attention_heads=p["heads"],
        num_key_value_heads=p["heads"],
        max_position_embeddings=p["context_length"],
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        dtype="bfloat16",
    )
    config.use_cache = False
    model = LlamaForCausalLM(config)
    decayed = [w for w in model.parameters() if w.ndim == 2]
    others = [w for w in model.parameters() if w.ndim != 2]
    groups = [{"params": decayed, "weight_decay": p["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=p["learning_rate"], betas=(0.9, 0.95), fused=True)

    @torch.compile
    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids).logits[:, :-1]
        return functional.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))

    history, recent, begin = [], [], time.time()
    source = batches(tokens, p["rows_per_step"], params["seed"])
    for step in range(p["steps"]):
        rate = learning_rate(step, steps=p["steps"], warmup_steps=p["warmup_steps"], peak=p["learning_rate"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(next(source))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(loss.item())
        if (step + 1) % 50 == 0:
            seen = (step + 1) * p["rows_per_step"] * p["context_length"]
            history.append({"tokens": seen, "loss": float(np.mean(recent))})
            rate_now = seen / (time.time() - begin)
            print(
                f"step {step + 1} tokens {seen:,} loss {history[-1]['loss']:.3f} {rate_now:,.0f} tok/s",
                file=sys.stderr,
                flush=True,
            )
            recent = []
        if (step + 1) % SAVE_EVERY == 0:
            save(model, Path("scratch/checkpoint"))
    config.use_cache = True
    save(model, Path("../subject"))
    Path("scratch/training.json").write_text(json.dumps(history, indent=1))


if __name__ == "__main__":
    main()
