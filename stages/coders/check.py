"""What a coder does to real activations, and whether another reading of its files would do better.

Whether files were read as their authors meant, weights alone can't tell. Activations can: the right reading has about the
published number of active latents, and reconstructs better than every wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.coders import readings
from stages.coders.readings import Reading
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import activations, replaced, resolve, split
from stages.subject.load import Subject

BATCH_TOKENS = 8192
LOGITS = 2**27
"""Logits at once: half a gigabyte in float32."""

FIRST = 0.01
"""By what share of the FVU it has to be better without the first column."""
NOTICEABLE = 1e-4
"""By how much the FVU of another reading has to be lower, and the loss of zeros higher, to mean anything."""
OFF = 0.2
"""How far L0 may be from the published one, relative to it: other text alone changes it by some per cent."""

CONTROLS = ("neurons", "random")


@dataclass(frozen=True)
class Variant:
    """A wrong reading and what it comes to."""

    what: str
    fvu: float | None
    better: bool
    """Than the reading that is meant."""
    remedy: str


@dataclass(frozen=True)
class Loss:
    """Mean nats of the tokens that the subject predicts, where a token and the one before it are ordinary."""

    clean: float
    spliced: float
    """With the reconstruction in the place of the activations."""
    zero: float
    """With zeros in their place."""
    recovered: float | None
    """(zero - spliced) / (zero - clean)."""


@dataclass(frozen=True)
class Spread:
    """Of the norms of vectors: their mean, and the percentiles 5 and 95."""

    mean: float
    p5: float
    p95: float


@dataclass(frozen=True)
class Check:
    """All that was measured; what is None or absent is explained in ``undefined``."""

    reads: str
    reconstructs: str
    """Hookpoints."""
    tokens: int
    """Ordinary ones; positions of special tokens and first ones that are no text count nowhere, and nothing is spliced in there."""
    special: int
    """The others."""
    l0: float
    """Mean active latents a token."""
    published_l0: float | None
    l0_is_off: bool
    dead: float
    """Share of the latents that fire on none of the tokens."""
    fvu: float | None
    """Fraction of variance unexplained, Σ|y - ŷ|² / Σ|y - ȳ|²."""
    variants: list[Variant]
    loss: Loss | None
    norms: dict[str, Spread]
    undefined: dict[str, str]
    skipped: int = 0
    """First columns of rows that are no text."""
    first: float | None = None
    """FVU with the first columns that are skipped or, where none is, without the first; None where it makes no difference."""
    first_is_better: bool = False
    """Whether the FVU without the first column, which counts, is better."""


def measure(
    subject: Subject,
    coder: SparseCoder,
    ids: Tensor,
    special: Tensor,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int], object] = id,
    skipped: int = 0,
    with_mistakes: bool = True,
) -> Check:
    """Runs ``ids`` [rows, length] through the subject and the coder.

    Tokens that are ``special`` [vocabulary] and the first ``skipped`` columns, which are no text, don't count. Without
    ``with_mistakes`` no other readings of the coder are tried.

    Raises:
        GlossaError: the coder does not fit its hookpoint, what it reads is not finite, or no token is ordinary.
    """
    tokens = int((~special[ids[:, skipped:]]).sum())
    if not tokens:
        raise GlossaError("expected ordinary tokens to check a coder on, found special ones alone; use a longer corpus")
    own = readings.meant(subject, coder)
    undefined = _undefined(subject, own)
    tries = with_mistakes and "variants" not in undefined
    others = list(readings.mistaken(subject, own, ids[:1])) if tries else []
    fvus = {reading: Fvu() for reading in ([own, *others] if coder.W_dec is not None else [])}
    fired = torch.zeros(coder.n_latents, dtype=torch.long)
    norms: list[Tensor] = []
    nats, predicted, first = np.zeros(3), 0, _First(subject, own, special, skipped)
    hookpoints = list(dict.fromkeys(name for r in [own, *others] for name in (r.reads, r.reconstructs)))
    rows = max(1, min(batch_tokens, LOGITS // subject.vocabulary_size) // ids.shape[1])
    with torch.inference_mode():
        for part in ids.split(rows):
            ordinary = ~special[part]
            ordinary[:, :skipped] = False
            read = activations(subject, hookpoints, part)
            x = _at(read[own.reads], ordinary, coder, own.reads, subject)
            events = coder.encode(x)
            fired += torch.bincount(events.latents.cpu(), minlength=coder.n_latents)
            norms.append(x.float().norm(dim=1).cpu())
            for reading, fvu in fvus.items():
                y = _at(read[reading.reconstructs], ordinary, coder, reading.reconstructs, subject)
                if reading is own:
                    made = coder.decode(events, x)
                else:
                    made = reading.coder.reconstruct(_at(read[reading.reads], ordinary, coder, reading.reads, subject))
                centred = reading.coder.input_norm == "centre"  # then it aims at centred values
                mean = y.mean(dim=1, keepdim=True) if centred else torch.zeros_like(y[:, :1])
                fvu.add((y - mean).float(), made.float())
                if reading is own and with_mistakes:
                    first.add(part, ordinary, read, (y - mean).float(), made.float())
                if reading is own and "loss" not in undefined:
                    found, n = _nats(subject, own.reconstructs, part, ordinary, made + mean)
                    nats, predicted = nats + found, predicted + n
            progress(part.numel())
    results = {reading: fvu.value() for reading, fvu in fvus.items()}
    if own in results and results[own] is None:
        undefined["fvu"] = f"what {own.reconstructs} gives is the same at every token"
    l0 = float(fired.sum()) / tokens
    unexplained, otherwise = results.get(own), first.value()
    return Check(
        reads=own.reads,
        reconstructs=own.reconstructs,
        tokens=tokens,
        special=ids.numel() - tokens,
        l0=l0,
        published_l0=coder.published_l0,
        l0_is_off=coder.published_l0 is not None and abs(l0 - coder.published_l0) > OFF * coder.published_l0,
        dead=float((fired == 0).float().mean()),
        fvu=unexplained,
        variants=[_variant(reading, results[reading], results[own]) for reading in others],
        loss=_loss(nats, predicted, undefined),
        norms=_norms(coder, torch.cat(norms)),
        undefined=undefined,
        skipped=skipped,
        first=otherwise,
        first_is_better=not skipped and _is_below(otherwise, unexplained, FIRST),
    )


class Fvu:
    """Sums over batches; squares are taken around the mean of the first batch, so that no digits are lost."""

    def __init__(self) -> None:
        self.n = 0
        self.error = self.square = 0.0
        self.around = self.sum = torch.zeros(0)

    def add(self, y: Tensor, made: Tensor) -> None:
        """Counts what was to be reconstructed, and what was made of it, [tokens, width] both."""
        if not len(y):
            return
        if not self.n:
            self.around, self.sum = y.mean(0), torch.zeros(y.shape[1], dtype=torch.float64)
        z = y - self.around
        self.n += len(y)
        self.error += float((y - made).pow(2).sum())
        self.square += float(z.pow(2).sum())
        self.sum += z.sum(0).cpu().double()

    def value(self) -> float | None:
        """None if ``y`` does not vary, or what was made of it is not finite."""
        variance = self.square - float(self.sum.pow(2).sum()) / self.n
        return self.error / variance if variance > 0 and np.isfinite(self.error) else None


class _First:
    """The FVU with the first columns that don't count or, where all do, without the first."""

    def __init__(self, subject: Subject, own: Reading, special: Tensor, skipped: int) -> None:
        self.subject, self.own, self.special, self.skipped = subject, own, special, skipped
        self.fvu, self.differs = Fvu(), False

    def add(self, ids: Tensor, ordinary: Tensor, read: Mapping[str, Tensor], y: Tensor, made: Tensor) -> None:
        """Counts a batch of ``ids`` [rows, length], of which ``y`` and ``made`` [tokens, width] are known where it is ``ordinary``."""
        if not self.skipped:
            behind = torch.nonzero(ordinary)[:, 1].to(y.device) > 0
            self.differs |= not bool(behind.all())
            self.fvu.add(y[behind], made[behind])
            return
        others = ~self.special[ids]
        others[:, self.skipped :] = False
        if others.any():
            coder, subject = self.own.coder, self.subject
            x = _at(read[self.own.reads], others, coder, self.own.reads, subject)
            z = _at(read[self.own.reconstructs], others, coder, self.own.reconstructs, subject)
            if coder.input_norm == "centre":
                z = z - z.mean(dim=1, keepdim=True)
            y, made = torch.cat([y, z.float()]), torch.cat([made, coder.reconstruct(x).float()])
            self.differs = True
        self.fvu.add(y, made)

    def value(self) -> float | None:
        """None where it makes no difference."""
        return self.fvu.value() if self.differs and self.fvu.n else None


def _undefined(subject: Subject, own: Reading) -> dict[str, str]:
    """What can't be measured of this coder, and why."""
    coder, found = own.coder, {}
    if coder.W_enc is None:
        found["encoder rows"] = "neurons have no encoder"
    if coder.identity.get("format") in CONTROLS:
        found["variants"] = "it is a control, which can't be misread"
    if coder.W_dec is None:
        why = "its latents write to many layers, to which those of other layers write as well"
        if len(split(own.reads)) > 1:
            why = "a latent may fire at some of the places that it writes to, by a threshold for each"
        return {**found, "fvu": why, "variants": why, "loss": why, "decoder rows": why}
    if len(split(own.reconstructs)) > 1:
        found["loss"] = (
            "it reconstructs several places, each of which follows from the ones before, so nothing can stand in for all"
        )
    elif resolve(subject, own.reconstructs).part == "normalized":
        found["loss"] = f"no module gives or takes {own.reconstructs}, so nothing can stand in for it"
    return found


def _at(hidden: Tensor, ordinary: Tensor, coder: SparseCoder, hookpoint: str, subject: Subject) -> Tensor:
    """What a hookpoint gives at ordinary tokens, [tokens, width], as the coder takes it."""
    x = hidden[ordinary.to(hidden.device)].to(coder.device, coder.b_enc.dtype)
    if not torch.isfinite(x).all():
        raise GlossaError(
            f"{hookpoint} of the subject {subject.name} is NaN or infinite at some tokens; try subject.dtype float32"
        )
    return x


def _nats(
    subject: Subject, hookpoint: str, ids: Tensor, ordinary: Tensor, made: Tensor
) -> tuple[NDArray[np.float64], int]:
    """The nats of the predictions that count, summed: as it is, with ``made`` and with zeros at the hookpoint; and how many."""
    counted = ordinary[:, :-1] & ordinary[:, 1:]

    def nats() -> float:
        logits = subject.model(input_ids=ids.to(subject.device), use_cache=False).logits[:, :-1]
        chosen = logits[counted.to(logits.device)].float()
        return float(functional.cross_entropy(chosen, ids[:, 1:][counted].to(chosen.device), reduction="sum"))

    def with_(values: Tensor) -> float:
        def change(hidden: Tensor) -> Tensor:
            changed = hidden.clone()
            changed[ordinary.to(hidden.device)] = values.to(hidden)
            return changed

        with replaced(subject, hookpoint, change):
            return nats()

    return np.array([nats(), with_(made), with_(torch.zeros_like(made))]), int(counted.sum())


def _loss(nats: NDArray[np.float64], n: int, undefined: dict[str, str]) -> Loss | None:
    if "loss" in undefined:
        return None
    if not n:
        undefined["loss"] = "no ordinary token follows another"
        return None
    clean, spliced, zero = (nats / n).tolist()
    if zero - clean <= NOTICEABLE:
        undefined["loss recovered"] = "zeros there hardly raise the loss"
        return Loss(clean, spliced, zero, None)
    return Loss(clean, spliced, zero, (zero - spliced) / (zero - clean))


def _variant(reading: Reading, fvu: float | None, own: float | None) -> Variant:
    better = fvu is not None and own is not None and fvu < own * (1 - reading.margin) - NOTICEABLE
    return Variant(reading.what, fvu, better, reading.remedy)


def _is_below(one: float | None, other: float | None, share: float) -> bool:
    return one is not None and other is not None and one < other * (1 - share)


def _norms(coder: SparseCoder, inputs: Tensor) -> dict[str, Spread]:
    vectors = {"inputs": inputs}
    for name, weight in (("decoder rows", coder.W_dec), ("encoder rows", coder.W_enc)):
        if weight is not None:
            vectors[name] = weight.float().norm(dim=1).cpu()
    return {name: _spread(norms.numpy()) for name, norms in vectors.items()}


def _spread(norms: NDArray[np.float32]) -> Spread:
    return Spread(float(norms.mean(dtype=np.float64)), *map(float, np.percentile(norms, [5, 95])))
