"""Trains the toy subject's sparse coders, all of them on the activations of one forward pass."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from stages import params as glossa_params
from stages.subject.hookpoints import activations
from stages.subject.load import load

DEAD_AFTER_TOKENS = 250_000
AUXILIARY_K = 64
AUXILIARY_WEIGHT = 1 / 32


class Coder(nn.Module):
    """A TopK sparse autoencoder in sparsify's parametrisation."""

    def __init__(self, d_in: int, latents: int, k: int, seed: int, mean: Tensor) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(latents, d_in, generator=generator)
        rows /= rows.norm(dim=1, keepdim=True)
        self.k = k
        self.W_enc = nn.Parameter(rows.clone())
        self.b_enc = nn.Parameter(torch.zeros(latents))
        self.W_dec = nn.Parameter(rows.clone())
        self.b_dec = nn.Parameter(mean.clone())
        self.silent = torch.zeros(latents)
        """Tokens since each latent last fired."""

    def loss(self, x: Tensor) -> tuple[Tensor, float]:
        """FVU of the reconstruction, plus the share of the residual that dead latents can take (Gao et al. 2024)."""
        total = (x - x.mean(0)).pow(2).sum()
        pre = (x - self.b_dec) @ self.W_enc.T + self.b_enc
        pre = pre.relu()
        kept = keep_top(pre, self.k)
        residual = x - (kept @ self.W_dec + self.b_dec)
        fvu = residual.pow(2).sum() / total
        with torch.no_grad():
            fired = (kept > 0).any(0)
            self.silent += len(x)
            self.silent[fired] = 0
            dead = self.silent > DEAD_AFTER_TOKENS
        if not dead.any():
            return fvu, fvu.item()
        raw = (x - self.b_dec) @ self.W_enc.T + self.b_enc
        auxiliary = keep_top(torch.where(dead, raw, -torch.inf).clamp(min=0), min(AUXILIARY_K, int(dead.sum())))
        target = residual.detach()
        missed = (target - auxiliary @ self.W_dec).pow(2).sum() / target.pow(2).sum()
        return fvu + AUXILIARY_WEIGHT * missed, fvu.item()

    @torch.no_grad()
    def normalize(self) -> None:
        """Keeps the decoder's rows at unit norm."""
        self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)

    def save(self, folder: Path) -> None:
        """Writes cfg.json and sae.safetensors as sparsify does, in bfloat16."""
        folder.mkdir(parents=True, exist_ok=True)
        latents, d_in = self.W_enc.shape
        config = {
            "activation": "topk",
            "expansion_factor": latents // d_in,
            "normalize_decoder": True,
            "num_latents": latents,
            "k": self.k,
            "multi_topk": False,
            "skip_connection": False,
            "transcode": False,
            "d_in": d_in,
        }
        (folder / "cfg.json").write_text(json.dumps(config))
        tensors = {
            "encoder.weight": self.W_enc,
            "encoder.bias": self.b_enc,
            "W_dec": self.W_dec,
            "b_dec": self.b_dec,
        }
        save_file(
            {name: value.detach().to(torch.bfloat16).contiguous() for name, value in tensors.items()},
            folder / "sae.safetensors",
        )


def keep_top(values: Tensor, k: int) -> Tensor:
    """Zeroes all but the ``k`` largest of every row."""
    top = values.topk(k, dim=1, sorted=False)
    return torch.zeros_like(values).scatter(1, top.indices, top.values)


def train(subject_path: str, tokens: np.ndarray, p: dict[str, Any], seed: int, out: Path) -> None:
    """Trains every site of ``p`` on ``p["tokens"]`` tokens and saves them below ``out``."""
    subject = load(glossa_params.Subject(model=subject_path), 0, torch.device("cpu"))
    length = tokens.shape[1]
    rows = p["tokens_per_step"] // length
    steps = p["tokens"] // (rows * length)
    order = np.random.default_rng([seed, 1]).permutation(len(tokens))
    order = np.tile(order, -(-steps * rows // len(order)))
    hookpoints = [site["hookpoint"] for site in p["sites"].values()]

    def read(chosen: np.ndarray) -> dict[str, Tensor]:
        ids = torch.from_numpy(tokens[chosen].astype(np.int64))
        keep = (ids != 0).reshape(-1)
        hidden = activations(subject, hookpoints, ids)
        return {name: value.reshape(-1, value.shape[-1])[keep].clone() for name, value in hidden.items()}

    first = read(order[: 4 * rows])
    coders = {
        name: Coder(first[s["hookpoint"]].shape[1], s["latents"], s["k"], s["seed"], first[s["hookpoint"]].mean(0))
        for name, s in p["sites"].items()
    }
    optimizers = {
        name: torch.optim.Adam(c.parameters(), lr=p["learning_rate"], fused=True) for name, c in coders.items()
    }
    begin = time.time()
    for step in range(steps):
        hidden = read(order[step * rows : (step + 1) * rows])
        scale = min(1.0, (step + 1) / 50, max(0.02, (steps - step) / (0.3 * steps)))
        shown = []
        for name, coder in coders.items():
            optimizer = optimizers[name]
            optimizer.param_groups[0]["lr"] = p["learning_rate"] * scale
            with torch.autocast("cpu", torch.bfloat16):
                loss, fvu = coder.loss(hidden[p["sites"][name]["hookpoint"]])
            loss.backward()
            nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            coder.normalize()
            shown.append(f"{name} {fvu:.3f}/{int((coder.silent > DEAD_AFTER_TOKENS).sum())}")
        if (step + 1) % 50 == 0:
            speed = (step + 1) * rows * length / (time.time() - begin)
            print(
                f"step {step + 1}/{steps} {speed:,.0f} tok/s FVU/dead: {' '.join(shown)}", file=sys.stderr, flush=True
            )
    for name, coder in coders.items():
        coder.save(out / name)


def main() -> None:
    """Writes ../coders/<name>/."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    train("../subject", np.load("scratch/train.npy"), params["coders"], params["seed"], Path("../coders"))


if __name__ == "__main__":
    main()
