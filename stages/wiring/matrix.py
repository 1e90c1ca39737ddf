"""The stages of a dvc.yaml one by one, with what DVC fills in for every combination of a ``matrix``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any


def filled(stages: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns every stage under its name in that file, such as ``score@llm-detection``.

    Stages whose combinations only DVC can tell, from variables, are under ``score@``; see ``find``.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, stage in stages.items():
        if "foreach" in stage:
            found[f"{name}@"] = stage.get("do", {})
        elif "matrix" not in stage:
            found[name] = stage
        elif _is_plain(stage["matrix"]):
            inside = {key: value for key, value in stage.items() if key != "matrix"}
            for values in product(*stage["matrix"].values()):
                item = {f"${{item.{key}}}": text for key, text in zip(stage["matrix"], values, strict=True)}
                found[f"{name}@{'-'.join(item.values())}"] = _fill(inside, item)
        else:
            found[f"{name}@"] = {key: value for key, value in stage.items() if key != "matrix"}
    return found


def find(stages: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Returns a stage of those that ``filled`` found; None if there is none of this name."""
    stage, at, _ = name.partition("@")
    return stages.get(name, stages.get(f"{stage}@") if at else None)


def _is_plain(matrix: Any) -> bool:
    lists = matrix.values() if isinstance(matrix, dict) else [None]
    return all(isinstance(one, list) and all(isinstance(v, str) and "${" not in v for v in one) for one in lists)


def _fill(value: Any, item: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for mark, text in item.items():
            value = value.replace(mark, text)
        return value
    if isinstance(value, dict):
        return {_fill(key, item): _fill(one, item) for key, one in value.items()}
    return [_fill(one, item) for one in value] if isinstance(value, list) else value
