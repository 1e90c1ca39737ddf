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

PER_PLACE = 5
"""Tokens that are kept of each of several places."""

STARTS = (
    "stages.coders.directions:each",
    "stages.coders.directions:is_stream",
    "stages.coders.directions:residual",
    "stages.latents.output:_work_out",
    "stages.subject.lazy:load",
    "stages.subject.unembedding:promoted",
)
"""Where the code starts that works it out."""


def output(coder: SparseCoder, subject: Subject, tokens: Tokens) -> dict[str, NDArray]:
    """Returns the arrays [latents, …] of the group ``output`` of a store; none where what a latent promotes is undefined."""
    if coder.W_dec is None and not coder.writes:
        return {}
    kept = Kept(runtime.home() / KEPT, "promoted")
    key = _key(coder, subject, tokens)
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


def _key(coder: SparseCoder, subject: Subject, tokens: Tokens) -> str:
    return fingerprint(
        {
            "subject": subject.identity["sha256"],
            **_decoder(coder),
            "hookpoint": coder.hookpoint,
            "reconstructs": coder.reconstructs,
            "encodes": coder.W_enc is not None,
            "special_tokens": special_sha256(tokens),
            "code": reach.digest(reach.reached(STARTS)),
            "packages": lazy.versions(),
        }
    )


def _decoder(coder: SparseCoder) -> dict[str, object]:
    """What tells the decoder of a coder from all others."""
    if coder.writes:
        return {"coder": coder.identity["sha256"], "writes": [write.facts for write in coder.writes]}
    assert coder.W_dec is not None
    plain = coder.W_dec.detach().cpu().contiguous()
    return {
        "decoder": hashlib.sha256(plain.flatten().view(torch.uint8).numpy().data).hexdigest(),
        "shape": list(plain.shape),
        "dtype": str(plain.dtype),
    }


def _work_out(coder: SparseCoder, subject: Subject, tokens: Tokens) -> dict[str, NDArray]:
    special = torch.from_numpy(tokens.vocabulary.special)
    if coder.writes:
        return _of_places(coder, subject, special)
    written = directions.residual(coder, subject)
    lens = None if written is None else promoted(subject, written, special)
    return {} if lens is None else {name: part.numpy() for name, part in lens._asdict().items()}


def _of_places(coder: SparseCoder, subject: Subject, special: torch.Tensor) -> dict[str, NDArray]:
    """What latents promote at each of the places that they write to, and by all together.

    What they write to sublayers adds up in the residual stream; of several points of the stream, the last contains the others.
    """
    found = directions.each(coder, subject)
    if found is None:
        return {}
    adds = not any(directions.is_stream(subject, write.hookpoint) for write in coder.writes)
    tokens, values, norms = [], [], []
    total: torch.Tensor | None = None
    for direction in found:  # one at a time, as each is as large as an encoder
        written = direction()
        lens = promoted(subject, written, special, n=PER_PLACE)
        if lens is None:
            return {}
        tokens.append(lens.top_tokens)
        values.append(lens.top_values)
        norms.append(written.norm(dim=1))
        total = written if total is None or not adds else total + written
    assert total is not None
    lens = promoted(subject, total, special)
    assert lens is not None  # as at every place
    places = {"place_tokens": tokens, "place_values": values, "place_norms": norms}
    stacked = {name: torch.stack(part, 1) for name, part in places.items()}
    return {name: part.numpy() for name, part in {**lens._asdict(), **stacked}.items()}
