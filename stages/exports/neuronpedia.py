"""``neuronpedia``: the files that Neuronpedia imports in bulk, ``<model>/<source>/`` for every coder.

A line has all the keys of its table that we know, the same in every line, because the importer takes its columns from the
first; columns that it fills itself (``createdAt``) are left out. Records belong to Neuronpedia's default user. Tokens that only
together spell a character (``corpus.units``) are one token there, with the largest of their activations, so that tokens can be read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stages import __version__, gguf
from stages.corpus.alone import alone
from stages.corpus.tokens import Tokens, Vocabulary
from stages.corpus.units import largest, units
from stages.examples.table import Examples, LatentExamples
from stages.exports.weights import Weights, Written
from stages.machine.counted import listed
from stages.params import Coder, Params
from stages.results import reading
from stages.results.reading import CoderResults
from stages.text.display import sentence

BATCH = 256
"""Latents in a file."""
TOP = 10
"""Windows shown as top activations; the others stand under the interval of their decile."""
CREATOR = "clkht01d40000jv08hvalcvly"
TYPES = {"default": "eleuther_acts_top20"}
"""Explainers that are registered there."""
MODELS = {
    "gpt-4o-mini",
    "gpt-4.1-nano",
    "gemini-2.0-flash",
    "gemini-2.0-flash-lite",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
}
"""Language models that are registered there."""


class Snippet(NamedTuple):
    """A window in which a latent fires."""

    tokens: list[str]
    """What its units show."""
    values: list[float]
    """The activation on each."""
    start: int
    decile: int
    bounds: tuple[float, float]
    """The smallest and the largest maximum of the decile's sampled windows."""


def write(p: Params, folder: Path, model_id: str | None = None) -> str:
    """Writes one folder for every coder; see ``exports.Export``.

    ``model_id`` is what the subject is called on the site. Where its weights, or those of a coder, are not here, latents go without what
    these tell, and the reason is said.
    """
    tokens = Tokens.open()
    n_features = n_explanations = 0
    without: dict[str, list[str]] = {}
    for name in p.coders:
        coder = reading.read_coder(p, name)
        source = Source.of(p, coder, model_id)
        weights = Weights.of(p, name, tokens.vocabulary)
        if isinstance(weights, str):
            without.setdefault(weights, []).append(name)
        place = folder / source.model / source.id
        for part in ("features", "activations", "explanations"):
            (place / part).mkdir(parents=True)
        for file, record in _release(p, coder, source, tokens):
            (place / f"{file}.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
        for number, batch in enumerate(batches(coder.examples(), BATCH)):
            written = {} if isinstance(weights, str) else weights.of_latents([example.latent for example in batch])
            features = [
                _feature(example, coder, source, tokens.vocabulary, written.get(example.latent)) for example in batch
            ]
            shown = [record for example in batch for record in _activations(example, source, tokens, p)]
            texts = [record for example in batch for record in _explanations(p, example.latent, coder, source)]
            for part, records in (("features", features), ("activations", shown), ("explanations", texts)):
                _write(place / part / f"batch-{number}.jsonl.gz", records)
            n_features += len(features)
            n_explanations += len(texts)
    reasons = "".join(f"; no vectors of {listed(names)}: {reason}" for reason, names in without.items())
    return f"{n_features} latents, {n_explanations} explanations{reasons}"


class Source(NamedTuple):
    """Where a coder belongs among Neuronpedia's sources."""

    model: str
    id: str
    """``<layer>-<set>``."""
    set: str

    @classmethod
    def of(cls, p: Params, coder: CoderResults, model_id: str | None = None) -> Source:
        """The model is called ``model_id`` or, without, after the last part of its name; the set after the coder."""
        layer = re.search(r"\d+", coder.hookpoint)
        name = coder.name.replace("_", "-")
        model = model_id or _identifier(p.subject.model.rsplit("/", 1)[-1])
        return cls(model, f"{layer[0] if layer else 0}-{name}", name)


def batches(examples: Examples, n: int) -> Iterator[list[LatentExamples]]:
    """Yields the latents in lists of ``n``."""
    batch = []
    for example in examples:
        batch.append(example)
        if len(batch) == n:
            yield batch
            batch = []
    if batch:
        yield batch


def snippets(example: LatentExamples, vocabulary: Vocabulary) -> list[Snippet]:
    """Returns the windows in which a latent fires, train and test, the strongest first."""
    found = [
        (float(values.max()), start, decile, ids, values)
        for part in (example.train, example.test)
        for start, decile, ids, values in zip(
            part.starts.tolist(), part.deciles.tolist(), part.tokens.tolist(), part.activations, strict=True
        )
    ]
    maxima: dict[int, list[float]] = {}
    for strongest, _, decile, _, _ in found:
        maxima.setdefault(decile, []).append(strongest)
    snippets = []
    for _, start, decile, ids, values in sorted(found, key=lambda window: (-window[0], window[1])):
        shown = units(ids, vocabulary)
        texts, bounds = spelled(unit.text for unit in shown), (min(maxima[decile]), max(maxima[decile]))
        snippets.append(Snippet(texts, largest(shown, values).tolist(), start, decile, bounds))
    return snippets


def spelled(texts: Iterable[str]) -> list[str]:
    """Tokens as text that a database of theirs can hold: no NUL, none empty."""
    return [text.replace("\0", "␀") or "∅" for text in texts]


def logits(facts: dict[str, Any], side: str, vocabulary: Vocabulary) -> tuple[list[str], list[float]]:
    """The output tokens that a latent promotes (``top``) or suppresses (``bottom``) most, and how much."""
    names = spelled(alone(token, vocabulary) for token in facts[f"{side}_tokens"] or [])
    return names, facts[f"{side}_values"] or []


def _feature(
    example: LatentExamples, coder: CoderResults, source: Source, vocabulary: Vocabulary, written: Written | None
) -> dict[str, Any]:
    facts = example.facts
    promoted, suppressed = (logits(facts, side, vocabulary) for side in ("top", "bottom"))
    # Of a signed coder the bars begin below 0, at a minimum that the sample does not tell.
    heights = [] if coder.kind == "neurons" else facts["histogram"] or []
    width = facts["max"] / max(1, len(heights))
    return {
        "modelId": source.model,
        "layer": source.id,
        "index": str(example.latent),
        "sourceSetName": source.set,
        "creatorId": CREATOR,
        "maxActApprox": facts["max"],
        "hasVector": written is not None,
        "vector": written.vector if written else [],
        "hookName": coder.hookpoint,
        "neg_str": suppressed[0],
        "neg_values": suppressed[1],
        "pos_str": promoted[0],
        "pos_values": promoted[1],
        "frac_nonzero": facts["density"],
        "freq_hist_data_bar_heights": heights,
        "freq_hist_data_bar_values": [width * (place + 0.5) for place in range(len(heights))],
        "logits_hist_data_bar_heights": written.heights if written else [],
        "logits_hist_data_bar_values": written.centres if written else [],
    }


def _activations(example: LatentExamples, source: Source, tokens: Tokens, p: Params) -> Iterator[dict[str, Any]]:
    for rank, snippet in enumerate(snippets(example, tokens.vocabulary)):
        strongest = max(snippet.values)
        low, high, share = (-1, -1, -1) if rank < TOP else (*snippet.bounds, 0.1)
        yield {
            "id": _cuid(*source, "activation", example.latent, snippet.start),
            "modelId": source.model,
            "layer": source.id,
            "index": str(example.latent),
            "tokens": snippet.tokens,
            "values": snippet.values,
            "maxValue": strongest,
            "maxValueTokenIndex": snippet.values.index(strongest),
            "minValue": min(snippet.values),
            "creatorId": CREATOR,
            "dataIndex": str(snippet.start),
            "dataSource": corpus(p),
            "dfaValues": [],
            "lossValues": [],
            "binMin": low,
            "binMax": high,
            "binContains": share,
        }


def _explanations(p: Params, latent: int, coder: CoderResults, source: Source) -> Iterator[dict[str, Any]]:
    for explainer, found in coder.explanations.items():
        text = found[latent].text if latent in found else None
        if text is not None:
            kind, model = said_by(p, explainer)
            yield {
                "id": _cuid(*source, "explanation", latent, explainer),
                "modelId": source.model,
                "layer": source.id,
                "index": str(latent),
                "description": text.replace("\0", "␀"),
                "authorId": CREATOR,
                # Both refer to tables of theirs: an unknown name would fail the import, so it stands in the notes.
                "typeName": TYPES.get(kind),
                "explanationModelName": model if model in MODELS else None,
                "notes": _notes(coder, explainer, kind, model, latent),
            }


def said_by(p: Params, explainer: str) -> tuple[str, str | None]:
    """The kind of an explainer and the last part of its model's name."""
    entry = p.explainers[explainer]
    model = (entry.get("model") or {}).get("model")
    return entry["kind"], None if model is None else str(model).rsplit("/", 1)[-1]


def _notes(coder: CoderResults, explainer: str, kind: str, model: str | None, latent: int) -> str:
    """Who said it, and the scores, for which the import has no table."""
    by = f"{explainer} ({kind}{f', {model}' if model else ''}), Glossa {__version__}"
    parts = [by]
    for scorer, scores in coder.scores[explainer].items():
        own = scores.own.get(latent)
        if own is not None and own.score is not None:
            floor = scores.floor_of(latent)
            under = "" if floor is None else f", floor {floor:.3f}"
            parts.append(f"{scorer} {scores.meta['metric']} {own.score:.3f} [{own.low:.3f}, {own.high:.3f}]{under}")
    return sentence("; ".join(parts))


def _release(p: Params, coder: CoderResults, source: Source, tokens: Tokens) -> Iterator[tuple[str, dict[str, Any]]]:
    release, owner = f"glossa-{source.model}", "Glossa"
    about = f"Sparse coders of {p.subject.model}, explained by Glossa {__version__}"
    common = {"creatorId": CREATOR, "visibility": "PRIVATE"}
    yield (
        "release",
        {
            "name": release,
            "description": about,
            "creatorName": owner,
            "isNewUi": True,
            "featured": False,
            "urls": [],
            "defaultSourceSetName": source.set,
            "defaultSourceId": source.id,
            **common,
        },
    )
    shape = _shape(p)
    yield (
        "model",
        {
            "id": source.model,
            "instruct": False,
            "displayNameShort": source.model,
            "displayName": p.subject.model,
            "dimension": shape.get("hidden_size"),
            "inferenceEnabled": False,
            # They may not be null; a model that is there already is not changed.
            "layers": shape.get("num_hidden_layers", 0),
            "neuronsPerLayer": shape.get("intermediate_size", 0),
            "owner": p.subject.model.rsplit("/", 1)[0],
            **common,
        },
    )
    yield (
        "sourceset",
        {
            "modelId": source.model,
            "name": source.set,
            "hasDashboards": True,
            "description": f"{coder.name}, at {coder.hookpoint}",
            "type": "",
            "creatorName": owner,
            "urls": [],
            "releaseName": release,
            **common,
        },
    )
    entry = p.coders[coder.name]
    path = entry.path if isinstance(entry, Coder) else ""
    hub = re.fullmatch(r"hub://([^/]+/[^/@]+)(?:/([^@]+))?(?:@.*)?", path)
    cited = re.fullmatch(r"saelens://([^/@]+)/([^@]+)(?:@.*)?", path)
    yield (
        "source",
        {
            "id": source.id,
            "modelId": source.model,
            "setName": source.set,
            "hasDashboards": True,
            "inferenceEnabled": False,
            "saelensRelease": cited and cited[1],
            "saelensSaeId": cited and cited[2],
            "hfRepoId": hub and hub[1],
            "hfFolderId": hub and hub[2],
            "num_prompts": tokens.rows,
            "num_tokens_in_prompt": tokens.context_length,
            "dataset": corpus(p),
            "notes": about,
            **common,
        },
    )


def corpus(p: Params) -> str:
    """What the corpus is called."""
    return str(p.corpus.model_dump().get("path") or p.corpus.source)


def _shape(p: Params) -> dict[str, Any]:
    """The config of a subject that lies here, in a folder or a GGUF file."""
    if file := gguf.find(p.subject.model):
        with gguf.header(file) as folder:
            return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = Path(p.subject.model) / "config.json"
    return json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}


def _identifier(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", name.lower())


def _cuid(*parts: Any) -> str:
    """An identifier of 25 characters that follows from what it stands for."""
    number = int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest())
    digits = ""
    while len(digits) < 24:
        number, digit = divmod(number, 36)
        digits += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
    return f"c{digits}"


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_bytes(gzip.compress(lines.encode(), 6, mtime=0))
