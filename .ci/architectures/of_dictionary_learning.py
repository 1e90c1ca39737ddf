"""Cases of dictionary_learning: ``python .ci/architectures/of_dictionary_learning.py FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from cases import D_IN, LATENTS, Case, Cases, K, draw, inputs
from dictionary_learning import dictionary
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary

MAKERS: dict[str, Any] = {
    "AutoEncoder": lambda: dictionary.AutoEncoder(D_IN, LATENTS),
    "AutoEncoderNew": lambda: dictionary.AutoEncoderNew(D_IN, LATENTS),
    "GatedAutoEncoder": lambda: dictionary.GatedAutoEncoder(D_IN, LATENTS),
    "JumpReluAutoEncoder": lambda: dictionary.JumpReluAutoEncoder(D_IN, LATENTS),
    "AutoEncoderTopK": lambda: AutoEncoderTopK(D_IN, LATENTS, K),
    "BatchTopKSAE": lambda: BatchTopKSAE(D_IN, LATENTS, K),
    "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(D_IN, LATENTS, K, [4, 12]),
}
SEEDS = 6


def save(case: Case, kind: str, coder: torch.nn.Module, **trainer: Any) -> None:
    """As its trainers save it."""
    config = {
        "dict_class": kind,
        "activation_dim": D_IN,
        "dict_size": LATENTS,
        "layer": 3,
        "lm_name": "some/model",
        **trainer,
    }
    (case.coder / "config.json").write_text(json.dumps({"trainer": config, "buffer": {"io": "out", "ctx_len": 128}}))
    torch.save(coder.state_dict(), case.coder / "ae.pt")


def main(folder: Path) -> None:
    """Writes them."""
    cases, x = Cases(folder, "dictionary-learning", "dictionary_learning"), inputs()
    for kind, make in MAKERS.items():
        for seed in range(SEEDS):
            case = cases.new(kind, f"seed {seed}")
            coder = make()
            draw(coder, seed, positive=lambda name: name == "threshold")
            if kind in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
                coder.threshold.fill_(0.3)
            scaled = seed % 2 == 1 and hasattr(coder, "scale_biases")
            if scaled:  # as after training on normalised activations
                coder.scale_biases(3.0)
            save(case, kind, coder, **({"k": K} if hasattr(coder, "k") else {}))
            with torch.inference_mode():
                theirs, _ = load_dictionary(str(case.coder), device="cpu")  # which rescales one class
                latents = theirs.encode(x)
                case.done(x, latents, theirs.decode(latents))
    for kind in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        case = cases.new(f"{kind} whose threshold was never set")
        coder = MAKERS[kind]()
        save(case, kind, coder, k=K)
        with torch.inference_mode():
            case.done(x, coder.encode(x))
    case = cases.new("IdentityDict")
    coder = dictionary.IdentityDict(D_IN)
    save(case, "IdentityDict", coder)
    case.done(x, coder.encode(x))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
