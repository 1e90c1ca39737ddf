"""Measures the toy subject and its coders on held-out text, and writes the card that reports it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ngrams import losses
from torch import Tensor
from torch.nn import functional

from stages import coders
from stages import params as glossa_params
from stages.coders.sparse_coder import SparseCoder
from stages.subject.hookpoints import activations, replaced
from stages.subject.load import Subject, load

EVALUATED_TOKENS = 131_072
SPLICED_TOKENS = 32_768
BATCH = 64
PROMPTS = ("Returns", "Parameters\n----------\n", "This function is used to", ">>> import numpy as np\n")


def loss_of(subject: Subject, ids: Tensor) -> float:
    """Nats per predicted token."""
    total = 0.0
    with torch.inference_mode():
        for part in ids.split(BATCH):
            logits = subject.model(input_ids=part).logits[:, :-1]
            total += functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]).float(), part[:, 1:].reshape(-1), reduction="sum"
            ).item()
    return total / ids[:, 1:].numel()


def spliced_loss(subject: Subject, hookpoint: str, ids: Tensor, replace: Any) -> float:
    """The loss when ``replace`` stands in for what the hookpoint puts out, at all positions but BOS."""

    def spliced(hidden: Tensor) -> Tensor:
        changed = hidden.clone()
        changed[:, 1:] = replace(hidden[:, 1:].reshape(-1, hidden.shape[-1])).reshape(hidden[:, 1:].shape)
        return changed

    with replaced(subject, hookpoint, spliced):
        return loss_of(subject, ids)


def measure_coder(subject: Subject, coder: SparseCoder, hookpoint: str, ids: Tensor) -> dict[str, Any]:
    """FVU, L0, dead share and the loss recovered by the reconstruction."""
    error = total = 0.0
    fired = torch.zeros(coder.n_latents, dtype=torch.long)
    n = 0
    mean = activations(subject, [hookpoint], ids[:BATCH])[hookpoint][:, 1:].reshape(-1, coder.d_in).mean(0)
    for part in ids.split(BATCH):
        ordinary = (part != 0).reshape(-1)
        x = activations(subject, [hookpoint], part)[hookpoint].reshape(-1, coder.d_in)[ordinary]
        events = coder.encode(x)
        error += (x - coder.decode(events, x)).pow(2).sum().item()
        total += (x - mean).pow(2).sum().item()
        fired += torch.bincount(events.latents, minlength=coder.n_latents)
        n += len(x)
    few = ids[: SPLICED_TOKENS // ids.shape[1]]
    zero = spliced_loss(subject, hookpoint, few, torch.zeros_like)
    kept = spliced_loss(subject, hookpoint, few, coder.reconstruct)
    clean = loss_of(subject, few)
    return {
        "hookpoint": hookpoint,
        "latents": coder.n_latents,
        "k": coder.identity["k"],
        "fvu": round(error / total, 4),
        "l0": round(fired.sum().item() / n, 2),
        "dead": round((fired == 0).float().mean().item(), 4),
        "loss_recovered": round((zero - kept) / (zero - clean), 4),
    }


def write_samples(subject: Subject, seed: int) -> list[str]:
    """A sample of 60 tokens after each prompt, at temperature 0.7."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("../subject")
    torch.manual_seed(seed)
    texts = []
    for prompt in PROMPTS:
        ids = torch.tensor([[0, *tokenizer(prompt)["input_ids"]]])
        out = subject.model.generate(ids, max_new_tokens=60, do_sample=True, temperature=0.7, top_k=50, pad_token_id=0)
        texts.append(tokenizer.decode(out[0, 1:]))
    return texts


def file_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below the subject's and the coders' folders."""
    files = sorted(file for part in ("subject", "coders") for file in (folder / part).rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    """Writes ../metrics.json and ../README.md."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    train, held_out = (np.load(f"scratch/{split}.npy").astype(np.int64) for split in ("train", "held-out"))
    subject = load(glossa_params.Subject(model="../subject"), 0, torch.device("cpu"))
    ids = torch.from_numpy(held_out[: EVALUATED_TOKENS // held_out.shape[1]])
    unigram, bigram, trigram = losses(train, ids.numpy(), params["tokenizer"]["vocabulary"])
    clean = loss_of(subject, ids)
    metrics = {
        "subject": {
            "parameters": sum(weight.numel() for weight in subject.model.parameters()),
            "train_tokens": int(train.size),
            "tokens_seen": params["subject"]["steps"] * params["subject"]["rows_per_step"] * train.shape[1],
            "held_out_loss": round(clean, 4),
            "unigram_loss": round(unigram, 4),
            "bigram_loss": round(bigram, 4),
            "trigram_loss": round(trigram, 4),
        },
        "coders": {
            name: measure_coder(subject, coders.load(f"../coders/{name}"), site["hookpoint"], ids)
            for name, site in params["coders"]["sites"].items()
        },
        "sha256": file_hashes(Path("..")),
    }
    Path("../metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    Path("../README.md").write_text(card(params, metrics, write_samples(subject, params["seed"])))


def card(params: dict[str, Any], metrics: dict[str, Any], samples: list[str]) -> str:
    """The model card."""
    template = Path("card.md").read_text()
    coder_rows = "\n".join(
        f"| {name} | `{c['hookpoint']}` | {c['latents']} | {c['k']} | {c['l0']} | {c['fvu']:.3f} | {c['dead']:.1%} | {c['loss_recovered']:.1%} |"
        for name, c in metrics["coders"].items()
    )
    s = metrics["subject"]
    return template.format(
        **s,
        epochs=s["tokens_seen"] / s["train_tokens"],
        p=params["subject"],
        coder_tokens=params["coders"]["tokens"],
        packages=", ".join(params["corpus"]["packages"]),
        coder_rows=coder_rows,
        samples="\n\n".join(f"```text\n{text}\n```" for text in samples),
        hashes="\n".join(f"| `{name}` | `{digest}` |" for name, digest in metrics["sha256"].items()),
    )


if __name__ == "__main__":
    main()
