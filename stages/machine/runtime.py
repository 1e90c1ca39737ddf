"""runtime.yaml and the environment: what changes how fast or where a stage runs, never its result."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from stages import paths
from stages.errors import GlossaError
from stages.machine.endpoint import Endpoint
from stages.params import Section, parse, read_yaml

PROCESSES = 4
"""At most, where runtime.yaml says nothing: each holds the corpus."""


NUMBER = re.compile(r"[0-9]+\.[0-9]+")


class Runtime(Section):
    """The settings of runtime.yaml; ``GLOSSA_DEVICE=cuda`` in the environment overrides ``device``, and so on."""

    device: str = "auto"
    """``auto``, or a torch device such as ``cuda``, ``cuda:1`` or ``cpu``."""

    device_map: Literal["auto", "balanced", "sequential"] | None = None
    """How a subject too large for one device is spread over all of them, in the words of Accelerate."""

    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens that go through the subject, or a language model in this process, at once; by default what fits into the GPU, or
    8,192 without one."""

    embed_at_once: Annotated[int, Field(ge=1)] | None = None
    """Tokens of text that are embedded at once; by default 2,048 on a CPU and 65,536 on another device."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that cache at once; by default one for every visible GPU, or one. Also those that audit, write a large report, or
    score without a language model; by default one for every core, four at most."""

    memory_mb: Annotated[int, Field(ge=1)] = 512
    """Megabytes that activations may take in each process before they are written to scratch, about."""

    scratch: str | None = None
    """Folder, or an address that fsspec knows, of the runs of unfinished caches; by default scratch/ in Glossa's home."""

    ray: str | None = None
    """Address of a Ray cluster that caches, ``auto`` or ``local``; by default this machine alone does."""

    share_forward: bool = True
    """Whether a forward pass for one coder also serves the other coders that are not cached yet."""

    keep_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 50
    """Gigabytes of finished activations that are kept in stores/ of Glossa's home, so that no forward pass is made twice; with 0 none
    are, and all that were go. Those used least lately go first. As many may be taken in gguf/ by what was read of GGUF files."""

    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    """Servers of language models, by the names that params.yaml uses."""


def load(path: Path = paths.RUNTIME) -> Runtime:
    """Reads runtime.yaml, if there is one, and the ``GLOSSA_…`` variables over it."""
    values = (read_yaml(path) or {}) if path.exists() else {}
    if not isinstance(values, dict):
        raise GlossaError(f"{path} should be a mapping of keys to values, found {values!r}")
    for key, field in Runtime.model_fields.items():
        variable = f"GLOSSA_{key.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        values[key] = text if field.annotation is str else _scalar(text)
        parse(Runtime, {key: values[key]}, "", Path(variable))  # so that a mistake is named where it was made
    return parse(Runtime, values, "", path)


def _scalar(text: str) -> float | bool | str | None:
    """What the text would be in YAML, as far as settings need it."""
    words = {"true": True, "false": False, "null": None, "": None}
    if text in words:
        return words[text]
    return int(text) if text.isdecimal() else float(text) if NUMBER.fullmatch(text) else text


def home() -> Path:
    """The folder of state that outlives every stage: ``$GLOSSA_HOME``, else ``.glossa`` in the main repository."""
    chosen = os.environ.get("GLOSSA_HOME")
    return Path(chosen) if chosen else Path(os.environ.get("DVC_ROOT", ".")) / ".glossa"


def processes() -> int:
    """Returns how many processes a command may start: ``workers``, else one for every core that it may use, ``PROCESSES`` at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return load().workers or min(available, PROCESSES)
