"""Whether the subject and the sparse coders here give the activations that the windows show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import gguf, paths, plan
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.latents import spec
from stages.machine import runtime
from stages.machine.progress import bar
from stages.provenance.check import DAMAGE, Check
from stages.provenance.examples import Part
from stages.provenance.files import GONE
from stages.provenance.project import Project
from stages.provenance.sources import size_of
from stages.provenance.spread import Spread, here

if TYPE_CHECKING:
    from stages.coders.sparse_coder import SparseCoder
    from stages.subject.load import Subject

TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}
"""By how much of a latent's largest activation two machines may differ, by the type in which either computes."""

AT_ONCE = 4096
"""Tokens that go through the subject at once."""

SMALL = 2**31
"""Bytes of a subject that several processes may hold at once."""

UNPACKED = 8
"""How much larger than its file a subject in a GGUF may become: four bits a weight become 32."""


class Drawn(NamedTuple):
    """Windows of one coder that are looked at."""

    coder: str
    meta: dict[str, Any]
    part: Part
    largest: dict[int, float]
    """By latent, its largest activation in the corpus."""


class Encoded(NamedTuple):
    """Activations of all latents on a stretch of tokens."""

    keys: NDArray[np.int64]
    """Position times the number of latents, plus latent; increasing."""
    values: NDArray[np.float32]
    weakest: NDArray[np.float32]
    """[positions] the smallest activation at each; infinite where there is none."""
    n_latents: int

    def at(self, positions: NDArray[np.int64], latents: NDArray[np.int32]) -> NDArray[np.float32]:
        """Returns [windows, length] the activations of one latent for every row of ``positions``."""
        if not len(self.keys):
            return np.zeros(positions.shape, np.float32)
        wanted = positions * self.n_latents + latents[:, None]
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.values[places], np.float32(0))


def checks(project: Project, spread: Spread | None = None) -> Iterator[Check]:
    """Yields the checks of identities and of activations; where it pays, rows are dealt out to processes, from now on."""
    spread = spread or here(project)
    n = spread.processes if project.full and _can_be_held_often(project) else 1
    # One part waits until the others' work is done, and has all of the machine.
    found = (spread if n > 1 else here(project)).map(of_rows, [(part, n) for part in range(n)])

    def merged() -> Iterator[Check]:
        weights, activations = next(found)
        for _, part in found:
            activations.take(part)
        yield from (weights, activations)

    return merged()


def _can_be_held_often(project: Project) -> bool:
    """Whether every process can have the subject for itself, on a core of its own."""
    from stages.subject import load

    small = all(_size(plan.subject_of(project.p, coder).model) < SMALL for coder in project.p.coders)
    return small and load.pick_device(runtime.load().device).type == "cpu"


def _size(model: str) -> float:
    """Bytes that a subject takes in memory, about; infinite where it is not known."""
    try:
        if file := gguf.find(model):
            return file.stat().st_size * UNPACKED
    except GlossaError:
        return np.inf
    return size_of(Path(model)) if Path(model).is_dir() else np.inf


def of_rows(project: Project, share: tuple[int, int]) -> tuple[Check, Check]:
    """What there is to say of a part of the rows: of part ``share[0]`` of ``share[1]``, which follow each other."""
    part, of = share
    weights = Check("weights", "the sparse coders and the subject here, and those that outputs name")
    activations = Check("activations", "activations in sampled windows, computed anew, and the examples")
    if of > 1:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // of))
    told = activations if part == 0 else Check("", "")  # the first part says what can't be read or is not here
    drawn = {coder: found for coder in project.p.coders if (found := _draw(project, coder, told))}
    groups: dict[str, list[str]] = {}
    for coder in drawn:
        groups.setdefault(plan.subject_of(project.p, coder).model_dump_json(), []).append(coder)
    for coders in groups.values():
        _of_subject(project, [drawn[coder] for coder in coders], share, weights, activations)
    if part:
        activations.unknown.clear()
    return weights, activations


def _draw(project: Project, coder: str, check: Check) -> Drawn | None:
    """A seeded sample of the windows of a coder, or all of them."""
    folder = paths.examples(coder)
    if not folder.is_dir():
        check.skip(str(folder), GONE)
        return None
    with check.reading(str(folder)):
        examples = Examples.open(folder)
        with pq.ParquetFile(folder / "windows.parquet") as file:
            n = file.metadata.num_rows
            chosen = np.arange(n)
            if not project.full:
                generator = np.random.default_rng([project.p.seed, *coder.encode(), 0xAD17])
                chosen = np.sort(generator.choice(n, min(n, project.sample), replace=False))
            parts, first = [], 0
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                inside = chosen[(chosen >= first) & (chosen < first + size)] - first
                if len(inside):
                    parts.append(file.read_row_group(group).take(inside))
                first += size
        if not parts:
            return None
        import pyarrow as pa

        columns = (examples.latents[name].to_pylist() for name in ("latent", "max"))
        skipped, context = examples.meta.get("skip_first", 0), project.tokens.context_length
        part = Part(pa.concat_tables(parts).combine_chunks(), examples.meta["window"], skipped, context)
        return Drawn(coder, examples.meta, part, dict(zip(*columns, strict=True)))
    return None


def _of_subject(project: Project, drawn: list[Drawn], share: tuple[int, int], weights: Check, check: Check) -> None:
    from stages.coders import opened

    p = project.p
    try:
        subject = opened.subject(p, drawn[0].coder)
    except GlossaError as error:
        for one in drawn:
            weights.skip(f"subject of {one.coder}", str(error))
            check.skip(str(paths.examples(one.coder)), "the subject is not here")
        return
    loaded = {}
    for one in drawn:
        item = f"subject of {one.coder}"
        was = one.meta["subject"]["sha256"]
        now = subject.identity["sha256"]
        weights.expect(
            was == now, item, f"is {now[:12]}… here, but {paths.examples(one.coder)} was made with {was[:12]}…"
        )
        if (coder := _load(project, one, subject, weights)) is not None:
            loaded[one.coder] = coder
        else:
            check.skip(str(paths.examples(one.coder)), "its sparse coder is not here")
    with check.reading("data/tokens"):
        _compare(project, [one for one in drawn if one.coder in loaded], share, subject, loaded, check)


def _load(project: Project, drawn: Drawn, subject: Subject, check: Check) -> SparseCoder | None:
    from stages.coders import opened

    item = f"coder {drawn.coder}"
    try:
        coder = opened.coder(project.p, drawn.coder, subject, decodes=False)
    except DAMAGE as error:
        check.skip(item, str(error))
        return None
    was, now = drawn.meta["coder"]["sha256"], coder.identity["sha256"]
    folder = paths.examples(drawn.coder)
    check.expect(was == now, item, f"is {now[:12]}… here, but {folder} was made with {was[:12]}…")
    return coder


def _compare(
    project: Project,
    drawn: list[Drawn],
    share: tuple[int, int],
    subject: Subject,
    loaded: dict[str, SparseCoder],
    check: Check,
) -> None:
    """Runs the rows that hold windows through the subject, and those of each coder through it."""
    import torch

    from stages.subject.hookpoints import activations

    tokens = project.tokens
    length, special = tokens.context_length, tokens.vocabulary.special
    rows_of = {one.coder: one.part.starts // length for one in drawn}
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *rows_of.values()]))
    rows = np.array_split(rows, share[1])[share[0]]
    step = max(1, AT_ONCE // length)
    hookpoints = sorted({one.meta["hookpoint"] for one in drawn})
    with bar("audit, forward", total=len(rows), unit="row") as progress:
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            ids = tokens.matrix[some]
            with torch.inference_mode():
                read = activations(subject, hookpoints, torch.from_numpy(ids.astype(np.int64)))
                for one in drawn:
                    wanted = np.isin(some, rows_of[one.coder])
                    if wanted.any():
                        hidden = read[one.meta["hookpoint"]][torch.from_numpy(wanted).to(subject.device)]
                        found = _encoded(loaded[one.coder], hidden, special[ids[wanted]].reshape(-1))
                        chosen = np.flatnonzero(np.isin(rows_of[one.coder], some))
                        _windows(project, one, chosen, some[wanted], found, length, check)
            progress.update(len(some))


def _encoded(coder: SparseCoder, hidden: Any, special: NDArray[np.bool_]) -> Encoded:
    """What a coder makes of [rows, length, width]; nothing at special tokens."""
    events = coder.encode(hidden.reshape(-1, hidden.shape[-1]).to(coder.device))
    places, latents, values = (part.cpu().numpy() for part in (events.rows, events.latents, events.values.float()))
    keep = ~special[places]
    places, latents, values = places[keep].astype(np.int64), latents[keep], values[keep]
    weakest = np.full(len(special), np.inf, np.float32)
    np.minimum.at(weakest, places, values)
    keys = places * coder.n_latents + latents
    order = np.argsort(keys)
    return Encoded(keys[order], values[order], weakest, coder.n_latents)


def _windows(
    project: Project,
    drawn: Drawn,
    chosen: NDArray[np.int64],
    rows: NDArray[np.int64],
    found: Encoded,
    length: int,
    check: Check,
) -> None:
    part = drawn.part
    offsets = np.searchsorted(rows, part.starts[chosen] // length) * length + part.starts[chosen] % length
    positions = offsets[:, None] + np.arange(part.length)
    now = found.at(positions, part.latents[chosen]) * part.is_text[chosen]
    was = part.values[chosen]
    allowed = tolerance(project, np.array([drawn.largest[latent] for latent in part.latents[chosen].tolist()]))[:, None]
    # Which of two latents that tie for the last place fires is a matter of rounding.
    tied = (np.minimum(now, was) == 0) & (np.maximum(now, was) <= found.weakest[positions] + allowed)
    wrong = (np.abs(now - was) > allowed) & ~tied
    check.passed(int((~wrong.any(axis=1)).sum()))
    for place in np.flatnonzero(wrong.any(axis=1)):
        column = int(np.flatnonzero(wrong[place])[0])
        check.fail(
            part.item(str(paths.examples(drawn.coder)), int(chosen[place])),
            f"has {was[place, column]:.6g} at column {column}, but the subject and the coder give "
            f"{now[place, column]:.6g} (tolerance {allowed[place, 0]:.2g})",
        )


def tolerance(project: Project, largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much activations of latents may differ whose ``largest`` are these."""
    p = project.p
    bits = spec.kept_bits(p.cache.precision)
    rounding = 0.0 if bits >= 23 else 2.0 ** -(bits + 1)
    return (max(TOLERANCE[p.subject.dtype], TOLERANCE[p.cache.dtype]) + rounding) * np.abs(largest)
