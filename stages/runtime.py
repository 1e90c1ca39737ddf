"""runtime.yaml and the environment: what changes how fast or where a stage runs, never its result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages import paths
from stages.errors import GlossaError
from stages.params import Section, parse, read_yaml


class Runtime(Section):
    """The knobs of runtime.yaml; ``GLOSSA_DEVICE=cuda`` in the environment overrides ``device``, and so on."""

    device: str = "auto"
    """``auto``, or a torch device such as ``cuda``, ``cuda:1`` or ``cpu``."""

    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    """Tokens that go through the subject at once."""

    share_forward: bool = True
    """Whether a forward pass for one coder also serves the other coders that are not cached yet."""


def load(path: Path = paths.RUNTIME) -> Runtime:
    """Reads runtime.yaml, if there is one, and the ``GLOSSA_…`` variables over it."""
    values = (read_yaml(path) or {}) if path.is_file() else {}
    if not isinstance(values, dict):
        raise GlossaError(f"{path} should be a mapping of keys to values, found {values!r}")
    for key, field in Runtime.model_fields.items():
        variable = f"GLOSSA_{key.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        values[key] = text if field.annotation is str else _scalar(variable, text)
        parse(Runtime, {key: values[key]}, "", Path(variable))  # so that a mistake is named where it was made
    return parse(Runtime, values, "", path)


def _scalar(variable: str, text: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    if not text.isdecimal():
        raise GlossaError(
            f"the environment variable {variable} should be a whole number, true or false, found {text!r}"
        )
    return int(text)


def home() -> Path:
    """The folder of state that outlives every stage: ``$GLOSSA_HOME``, else ``.glossa`` in the main repository."""
    chosen = os.environ.get("GLOSSA_HOME")
    return Path(chosen) if chosen else Path(os.environ.get("DVC_ROOT", ".")) / ".glossa"
