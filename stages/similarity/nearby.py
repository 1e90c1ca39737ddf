"""The nearest relatives of one latent at once: without torch, whose import takes longer than all the rest.

Directions are those that ``relatives`` looked up before and left in directions/ of Glossa's home; activations are of the tokens on which
the latent fires, and no others; embeddings are those of data/similarity. Where one of these is missing, or two coders can't be compared in
every respect, nothing is found here, and ``relatives`` has to look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import paths
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.machine import runtime
from stages.machine.kept import Kept
from stages.outputs import fingerprint
from stages.params import Params
from stages.similarity import table

KINDS = ("decoder", "encoder", "activations", "meaning")
NOT_HERE = "the activations of both coders are not in data/latents; run dvc repro"
NO_SUCH = "the latent has no such similarity: it never fires, or has no explanation"

KEPT = "directions"
"""The folder in Glossa's home."""
FORM = 1
"""Of what is kept; another one finds nothing that was kept before."""
LARGE = 2**28
"""Bytes of a coder's directions beyond which they are not kept."""


class Relatives(NamedTuple):
    """Latents of one coder, the nearest first, or the reason why there are none."""

    latents: list[int]
    values: list[float]
    """Cosines, or correlations of activations."""
    reason: str | None = None


class Directions(NamedTuple):
    """The directions of all latents of a coder at unit norm, and the spaces that they lie in."""

    decoder: NDArray[np.float32]
    """[latents, width]"""
    encoder: NDArray[np.float32]
    writes: str
    reads: str


def relatives(
    p: Params, coder: str, latent: int, explainer: str, texts: Mapping[str, Mapping[int, str]], n: int
) -> dict[str, dict[str, Relatives]] | None:
    """Returns, by coder and kind, the ``n`` latents nearest to ``latent`` of ``coder``, itself left out; None where that can't be told here.

    ``texts`` are the explanations by coder and latent.
    """
    if p.compare.others:
        return None
    metas = {name: Examples.open(paths.examples(name)).meta for name in p.coders}
    directions = {name: kept(name, meta) for name, meta in metas.items()}
    known = [found for found in directions.values() if found is not None]
    spaces = {(one.writes, one.reads, one.decoder.shape[1], one.encoder.shape[1]) for one in known}
    subjects = {meta["subject"]["sha256"] for meta in metas.values()}
    vectors = _vectors(p, texts)
    if len(known) < len(metas) or len(spaces) > 1 or len(subjects) > 1 or vectors is None:
        return None
    if latent >= metas[coder]["n_latents"]:
        return None
    firing = _firing(p, coder, latent, n)
    if firing is None:
        return None
    own = directions[coder]
    assert own is not None
    found = {}
    for name, other in directions.items():
        assert other is not None
        itself = latent if name == coder else None
        everything = np.arange(len(other.decoder))
        found[name] = {
            "decoder": _nearest(everything, other.decoder @ own.decoder[latent], n, itself),
            "encoder": _nearest(everything, other.encoder @ own.encoder[latent], n, itself),
            "activations": firing[name],
            "meaning": _by_meaning(texts[coder].get(latent), texts[name], vectors, n, itself),
        }
    return found


def kept(coder: str, meta: Mapping[str, Any]) -> Directions | None:
    """Returns the directions that were kept of the coder that examples with this ``meta`` were taken from, if any were."""
    content = _kept().get(_key(coder, meta))
    if content is None:
        return None
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return Directions(arrays["decoder"], arrays["encoder"], str(arrays["writes"]), str(arrays["reads"]))


def keep(coder: str, meta: Mapping[str, Any], found: Directions) -> None:
    """Keeps the directions of the coder that examples with this ``meta`` were taken from, unless they are large."""
    if found.decoder.nbytes + found.encoder.nbytes > LARGE:
        return
    file = BytesIO()
    np.savez(file, allow_pickle=False, **found._asdict())
    shelf = _kept()
    with suppress(GlossaError, OSError):  # they are looked up again
        shelf.put(_key(coder, meta), file.getvalue())
        shelf.make_room()


def _kept() -> Kept:
    return Kept(runtime.home() / KEPT, "directions")


def _key(coder: str, meta: Mapping[str, Any]) -> str:
    """By the weights, and by the code that reads them, as the fingerprint of stage ``cache`` has it."""
    try:
        cached = json.loads(paths.FINGERPRINTS.read_bytes())["coders"][coder]["cache"]
    except (OSError, ValueError, KeyError, TypeError):
        cached = None
    facts = {"form": FORM, "cached": cached, "coder": meta["coder"]["sha256"], "subject": meta["subject"]["sha256"]}
    return fingerprint(facts | {"hookpoint": meta["hookpoint"]})


def _vectors(p: Params, texts: Mapping[str, Mapping[int, str]]) -> Mapping[str, NDArray[np.float32]] | None:
    """The embeddings of all explanations, if data/similarity has them by the embedder of params.yaml."""
    if not (paths.SIMILARITY / "meta.json").is_file():
        return None
    found, meta = table.read_embeddings(paths.SIMILARITY)
    is_same = (
        meta["embedder"] is not None and meta["embedder"]["name"] == p.compare.embedder and p.compare.prompt is None
    )
    return found if is_same and all(one in found for of_coder in texts.values() for one in of_coder.values()) else None


def _by_meaning(
    said: str | None, texts: Mapping[int, str], vectors: Mapping[str, NDArray[np.float32]], n: int, itself: int | None
) -> Relatives:
    if not texts:
        return Relatives([], [], "nothing is explained")
    if said is None:
        return Relatives([], [], NO_SUCH)
    latents = np.array(sorted(texts))
    values = np.array([vectors[texts[i]] for i in latents.tolist()]) @ vectors[said]
    return _nearest(latents, values, n, itself)


def _firing(p: Params, coder: str, latent: int, n: int) -> dict[str, Relatives] | None:
    """By coder what fires most like ``latent``; None where it can't be told here."""
    here = {name for name in p.coders if paths.latents(name).is_dir()}
    if coder not in here:
        return dict.fromkeys(p.coders, Relatives([], [], NOT_HERE))
    from stages.corpus.tokens import Tokens
    from stages.similarity.stores import store_of

    tokens = Tokens.open()
    found_of = {name: store_of(name, tokens) for name in p.coders if name in here}
    stores = {name: store for name, (store, _) in found_of.items()}
    if len({store.meta["tokens_sha256"] for store in stores.values()}) > 1:
        return None
    own, n_tokens = found_of[coder]
    mean, deviation, fires = _moments(own, n_tokens)
    found: dict[str, Relatives] = {}
    weight = np.zeros(own.shape[1])
    positions, values = own.latent(latent)
    weight[positions] = values
    for name in p.coders:
        if name not in stores:
            found[name] = Relatives([], [], NOT_HERE)
        elif not fires[latent]:
            found[name] = Relatives([], [], NO_SUCH)
        else:
            of_mean, of_deviation, of_fires = _moments(stores[name], n_tokens)
            latents = np.flatnonzero(of_fires)
            if not len(latents):
                return None
            covariance = _products(stores[name], weight)[latents] / n_tokens - mean[latent] * of_mean[latents]
            correlation = covariance / (deviation[latent] * of_deviation[latents])
            found[name] = _nearest(latents, correlation.astype(np.float32), n, latent if name == coder else None)
    return found


def _moments(store: Any, n_tokens: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """[latents] mean and deviation of all latents, and which of them have any."""
    mean = store.statistic("sum") / n_tokens
    deviation = np.sqrt(np.maximum(store.statistic("square_sum") / n_tokens - mean**2, 0))
    return mean, deviation, (store.statistic("count") > 0) & (deviation > 0)


def _products(store: Any, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """[latents] sums over all tokens of the activation of every latent, times the ``weight`` of the token."""
    found = np.zeros(len(store.indptr) - 1)
    for first, positions, values, offsets in store.scan():
        sums = np.concatenate([[0.0], np.cumsum(weight[positions] * values)])
        found[first : first + len(offsets) - 1] = sums[offsets[1:]] - sums[offsets[:-1]]
    return found


def _nearest(latents: NDArray[np.int64], values: NDArray, n: int, itself: int | None) -> Relatives:
    others = np.arange(len(latents)) if itself is None else np.flatnonzero(latents != itself)
    order = others[np.argsort(-values[others], kind="stable")[:n]]
    return Relatives(latents[order].tolist(), values[order].tolist())
