"""``neuronpedia-upload``: bodies for Neuronpedia's ``POST /api/feature/upload-batch``, a file for every 128 latents.

The source has to be there and yours, and the names of methods and models have to be registered; else a batch is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.corpus.tokens import Tokens
from stages.examples.table import LatentExamples
from stages.exports.neuronpedia import TYPES, Source, batches, logits, said_by, snippets
from stages.params import Params
from stages.results import reading
from stages.results.reading import CoderResults

BATCH = 128
LONGEST = 512
"""Characters of an explanation."""
LOGITS = 20


def write(p: Params, folder: Path, model_id: str | None = None) -> str:
    """Writes ``<source>/batch-<n>.json``; see ``exports.Export``. ``model_id`` is what the subject is called on the site."""
    tokens = Tokens.open()
    n, cut = 0, 0
    for name in p.coders:
        coder = reading.read_coder(p, name)
        source = Source.of(p, coder, model_id)
        place = folder / source.id
        place.mkdir()
        for number, batch in enumerate(batches(coder.examples(), BATCH)):
            features = [_feature(p, example, coder, tokens) for example in batch]
            body = {"modelId": source.model, "source": source.id, "features": features}
            (place / f"batch-{number}.json").write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
            n += len(features)
        cut += sum(len(found.text or "") > LONGEST for texts in coder.explanations.values() for found in texts.values())
    return f"{n} latents" + (f", {cut} explanations cut to {LONGEST} characters" if cut else "")


def _feature(p: Params, example: LatentExamples, coder: CoderResults, tokens: Tokens) -> dict[str, Any]:
    promoted, suppressed = (_values(example.facts, side, tokens) for side in ("top", "bottom"))
    return {
        "index": example.latent,
        "density": example.facts["density"],
        "topLogits": promoted,
        "bottomLogits": suppressed,
        "explanations": [_explanation(p, explainer, text) for explainer, text in _texts(coder, example.latent)],
        "activations": [
            {
                "tokens": snippet.tokens,
                "values": snippet.values,
                "quantileMin": snippet.bounds[0],
                "quantileMax": snippet.bounds[1],
                "quantileFraction": 0.1,
            }
            for snippet in snippets(example, tokens.vocabulary)
        ],
    }


def _texts(coder: CoderResults, latent: int) -> list[tuple[str, str]]:
    found = ((explainer, texts.get(latent)) for explainer, texts in coder.explanations.items())
    return [(explainer, explained.text) for explainer, explained in found if explained and explained.text]


def _explanation(p: Params, explainer: str, text: str) -> dict[str, str]:
    kind, model = said_by(p, explainer)
    text = text.replace("\0", "␀")
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return {"text": short, "methodName": TYPES.get(kind, f"glossa_{kind}"), "modelName": model or "glossa"}


def _values(facts: dict[str, Any], side: str, tokens: Tokens) -> list[dict[str, Any]]:
    pairs = zip(*logits(facts, side, tokens.vocabulary), strict=True)
    return [{"token": token, "value": value} for token, value in pairs][:LOGITS]
