"""What a page says of where its numbers come from: facts that outputs hold, as pairs of text.

No commit and no versions of packages are among them: no output holds those, and a report that named its commit would change with
every commit. ``glossa trace`` looks them up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

from stages import paths
from stages.dataset.facts import asked
from stages.params import Params
from stages.results import imports
from stages.results.reading import CoderResults, Results
from stages.text.display import sentence

Facts = list[tuple[str, str]]


def of_coder(p: Params, results: Results, coder: CoderResults) -> Facts:
    """Returns the facts common to all latents of a coder: coder, subject, tokenizer, corpus, sampling."""
    meta, corpus = coder.meta, results.tokens.meta
    made, subject = meta.get("coder", {}), meta["subject"]
    tokenizer = corpus.get("tokenizer", {})
    return _texts(
        [
            ("hookpoint", coder.hookpoint),
            ("coder", place(made.get("path"))),
            *((name.replace("_", " "), made[name]) for name in _plain(made) if name != "path"),
            ("subject", place(subject["model"])),
            *((f"subject, {name.replace('_', ' ')}", subject[name]) for name in _plain(subject) if name != "model"),
            *((f"subject, {place(name)}", sha256) for name, sha256 in sorted(subject.get("files", {}).items())),
            ("tokenizer", place(tokenizer.get("model"))),
            ("tokenizer, revision", tokenizer.get("revision")),
            ("tokenizer, tokens", tokenizer.get("size")),
            *((f"corpus, {name}", value) for name, value in _corpus(p).items()),
            ("corpus, documents", corpus.get("documents")),
            ("corpus, tokens", results.ordinary_tokens),
            ("corpus, sha256 of tokens", meta["tokens_sha256"]),
            ("activations", meta.get("n_events")),
            *(
                (f"sampling, {name}", value)
                for name, value in p.sampling.model_dump(mode="json", exclude_none=True).items()
            ),
            ("seed", p.seed),
        ]
    )


def of_explainer(p: Params, results: Results, explainer: str) -> Facts:
    """Returns an explainer's options, and which models answered under which instructions."""
    folders = [paths.explanations(coder, explainer) for coder in results.coders]
    made = imports.said(p, results.coders.values(), explainer)
    return _texts([*p.explainers[explainer].items(), ("made", made), *_answered(asked(folders))])


def of_scorer(p: Params, results: Results, scorer: str) -> Facts:
    """Returns a scorer's options, and which models answered under which instructions."""
    folders = [
        paths.scores(coder.name, explainer, scorer)
        for coder in results.coders.values()
        for explainer in (*coder.scores, "latent")
    ]
    return _texts([*p.scorers[scorer].items(), *_answered(asked(folders))])


def _answered(found: dict[str, Any]) -> list[tuple[str, Any]]:
    models = dict.fromkeys(model["answered"] or model["asked"] for model in found.get("models", []))
    return [("answered by", ", ".join(models)), ("instructions, sha256", ", ".join(found.get("instructions", [])))]


def _corpus(p: Params) -> dict[str, Any]:
    found = p.corpus.model_dump(mode="json", exclude_none=True)
    return {name: place(value) if name == "path" else value for name, value in found.items() if name != "tokens"}


def _plain(identity: dict[str, Any]) -> list[str]:
    return sorted(name for name, value in identity.items() if isinstance(value, str | int | float | bool))


def place(text: Any) -> Any:
    """Returns a path of this machine by its last part alone, all else as it is."""
    return PurePath(text).name if isinstance(text, str) and PurePath(text).is_absolute() else text


def _texts(pairs: Iterable[tuple[str, Any]]) -> Facts:
    """What is known, as text; of a mapping, every item."""
    return [
        (
            sentence(name),
            sentence(value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)),
        )
        for name, value in _flat(pairs)
        if value not in (None, "", [])
    ]


def _flat(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in pairs:
        if isinstance(value, dict):
            yield from _flat((f"{name}, {key}", item) for key, item in value.items())
        else:
            yield name, value
