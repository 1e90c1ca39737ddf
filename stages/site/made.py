"""How the explanations of a few latents were made: what the explainer went by, what it asked and what was answered."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.site.calls import Calls
from stages.text.display import lines


def shard(explanations: pa.Table, calls: Calls, latents: list[int]) -> dict[str, Any]:
    """Returns, by latent, ``evidence`` and the places of its ``requests``, and these."""
    rows = explanations.filter(pc.is_in(explanations["latent"], pa.array(latents, pa.int32())))
    columns = [rows[name].to_pylist() for name in ("latent", "evidence", "request")]
    requests, common = calls.find(key for key in columns[2] if key is not None)
    places = {request["key"]: place for place, request in enumerate(requests)}
    found = {
        str(latent): {"evidence": _plain(json.loads(evidence)), "requests": [places[key]] if key in places else []}
        for latent, evidence, key in zip(*columns, strict=True)
    }
    return {"latents": found, "requests": requests, "common": common}


def _plain(value: Any) -> Any:
    """JSON with every text in it fit to be shown."""
    match value:
        case str():
            return lines(value)
        case dict():
            return {lines(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
