"""What every latent promotes, which takes the weights of the subject: worked out once, and kept in promoted/ of Glossa's home.

So a coder whose activations another one's forward pass has left needs no subject to be loaded.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray

from stages.coders import directions
from stages.coders.sparse_coder import SparseCoder
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents.capture import special_sha256
from stages.machine import runtime
from stages.machine.kept import Kept
from stages.outputs import fingerprint
from stages.subject import lazy
from stages.subject.load import Subject
from stages.subject.unembedding import promoted
from stages.wiring import reach

KEPT = "promoted"
"""The folder in Glossa's home."""

STARTS = (
    "stages.coders.directions:residual",
    "stages.latents.output:_work_out",
    "stages.subject.lazy:load",
    "stages.subject.unembedding:promoted",
)
"""Where the code starts that works it out."""


def output(coder: SparseCoder, subject: Subject, tokens: Tokens) -> dict[str, NDArray]:
    """Returns the arrays [latents, …] of the group ``output`` of a store; none where what a latent promotes is undefined."""
    if coder.W_dec is None:
        return {}
    kept = Kept(runtime.home() / KEPT, "promoted")
    key = _key(coder, coder.W_dec, subject, tokens)
    if (found := kept.get(key)) is not None:
        with np.load(BytesIO(found), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    made = _work_out(coder, subject, tokens)
    file = BytesIO()
    np.savez(file, allow_pickle=False, **made)
    with suppress(GlossaError, OSError):  # it is worked out again
        kept.put(key, file.getvalue())
        kept.make_room()
    return made


def _key(coder: SparseCoder, W_dec: torch.Tensor, subject: Subject, tokens: Tokens) -> str:  # noqa: N803 - as in SparseCoder
    plain = W_dec.detach().cpu().contiguous()
    return fingerprint(
        {
            "subject": subject.identity["sha256"],
            "decoder": hashlib.sha256(plain.flatten().view(torch.uint8).numpy().data).hexdigest(),
            "shape": list(plain.shape),
            "dtype": str(plain.dtype),
            "hookpoint": coder.hookpoint,
            "reconstructs": coder.reconstructs,
            "encodes": coder.W_enc is not None,
            "special_tokens": special_sha256(tokens),
            "code": reach.digest(reach.reached(STARTS)),
            "packages": lazy.versions(),
        }
    )


def _work_out(coder: SparseCoder, subject: Subject, tokens: Tokens) -> dict[str, NDArray]:
    written = directions.residual(coder, subject)
    lens = None if written is None else promoted(subject, written, torch.from_numpy(tokens.vocabulary.special))
    return {} if lens is None else {name: part.numpy() for name, part in lens._asdict().items()}
