"""Activations + tokens -> the tables of data/examples/<coder>."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import params, plan
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.batches import Events, batches, text_only
from stages.examples.centre import centred
from stages.examples.choose import choose
from stages.examples.counted import counted
from stages.examples.facts import Facts
from stages.examples.grid import Grid, grid
from stages.examples.hashing import keys
from stages.examples.negatives import Batch, Setting, load
from stages.examples.rows import counts, firing_rows, silent_rows, windows_table
from stages.examples.split import rank, split
from stages.examples.windows import blocks, busy, firing
from stages.latents.store import LatentStore
from stages.machine.progress import bar


class Sampled(NamedTuple):
    """What was found, beside the windows."""

    latents: pa.Table
    """``latents_schema``."""
    dropped: dict[str, int]
    """How many latents were dropped for each reason."""
    facts: dict[str, Any]
    """What else belongs into the meta."""


def sample(
    store: LatentStore,
    tokens: Tokens,
    sampling: params.Sampling,
    seed: int,
    coder: str,
    write: Callable[[pa.Table], None],
) -> Sampled:
    """Chooses latents and their windows, which go to ``write`` in parts of whole latents (``windows_schema``).

    What is chosen for a latent depends on (seed, coder, latent), the store and the corpus alone.

    Raises:
        GlossaError: the activations were made from other tokens than those in data/tokens.
    """
    if store.meta["tokens_sha256"] != tokens.sha256:
        raise GlossaError(
            f"the activations in {store.path} were made from other tokens than {tokens.directory}; run dvc repro"
        )
    latents = choose(sampling.latents, store.shape[0], seed, coder)
    skipped = plan.skipped(sampling, tokens.meta["bos"])
    facts = Facts(counted(store, tokens, latents, skipped), sampling)
    left = np.flatnonzero(facts.kept)
    cut = grid(tokens, sampling.window, sampling.across_documents, skipped)
    setting = Setting(store, tokens, cut, latents[left], sampling, seed)
    wanted = _wanted(sampling)
    sources = {kind: load(kind, setting) for kind in plan.kinds_of_negatives(sampling)}
    with bar(f"sample {coder}", total=len(left), unit="latent") as progress:
        for events in batches(store, latents[left]):
            batch, n_windows = _batch(events, cut, sampling, keys(seed, coder, events.latents))
            candidates = np.diff(batch.windows.bounds)
            rows = firing_rows(batch)
            for place, (role, kind, n) in enumerate(wanted, 1):
                silent = sources[kind].find(batch, n)
                rows.append(silent_rows(role, kind, silent.of(candidates > 1), cut.window))
                if place < len(wanted):
                    batch = batch._replace(busy=batch.busy.add(silent.owners, silent.blocks))
            write(windows_table(batch, rows, cut.window))
            here, left = left[: len(candidates)], left[len(candidates) :]
            numbers, negatives = counts(rows, len(candidates))
            facts.fill(here, candidates, {"n_windows": n_windows, **numbers}, negatives)
            progress.update(len(candidates))
    told = {
        "windows": cut.n_usable,
        "windows_across_documents": cut.n_blocks - cut.n_usable,
        "fewer": facts.fewer(),
        "negatives": {kind: source.facts for kind, source in sources.items()},
        **({"skip_first": skipped} if skipped else {}),
    }
    return Sampled(facts.table(store), facts.dropped, told)


class Wanted(NamedTuple):
    """Negatives of one kind for one role."""

    role: str
    kind: str
    n: int


def _wanted(sampling: params.Sampling) -> list[Wanted]:
    """The negatives in the order in which they are chosen: the test's first, lest they depend on those of others."""
    numbers = {kind: plan.negatives(sampling, kind) for kind in plan.kinds_of_negatives(sampling)}
    found = (
        Wanted(role, kind, n[place])
        for place, role in enumerate(("test", "validation", "train"))
        for kind, n in numbers.items()
    )
    return [wanted for wanted in found if wanted.n]


def _batch(
    events: Events, cut: Grid, sampling: params.Sampling, latent_keys: NDArray[np.uint64]
) -> tuple[Batch, NDArray[np.int64]]:
    """Returns the batch with its windows split, and in how many blocks each latent fires."""
    text = text_only(events, cut.context_length, cut.skipped)
    found = blocks(text, cut.window)
    windows = in_blocks = firing(found, cut)
    if sampling.centre is not None:
        windows = centred(text, found, cut, sampling.centre)
    ranking = rank(windows)
    chosen = split(windows, ranking, latent_keys, sampling)
    # Where it fires on what is no text it is not silent either.
    anywhere = blocks(events, cut.window) if cut.skipped else found
    batch = Batch(latent_keys, text, windows, ranking, chosen, busy(anywhere, windows, cut))
    return batch, np.diff(in_blocks.bounds)
