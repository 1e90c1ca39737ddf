"""A subject that is loaded for what only it can tell: a forward pass, or its weights.

What else is asked of a subject is kept in subjects/ of Glossa's home when it has been loaded once: how many tokens it embeds, how long its
rows may be, what its modules are, how wide a hookpoint is. It is found there by the identity of the subject, which the hashes of its files
give without reading a weight, and by the code and the packages that would load it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stages import gguf, hub, params
from stages.errors import GlossaError
from stages.machine import runtime
from stages.machine.kept import Kept
from stages.machine.versions import installed
from stages.outputs import fingerprint
from stages.subject import load as loading
from stages.subject.load import Kind, Subject, T
from stages.subject.sites import Place
from stages.wiring import reach

KEPT = "subjects"
"""The folder in Glossa's home."""

STARTS = ("stages.subject.lazy:_outline", "stages.subject.load:load", "stages.subject.hookpoints:width")
"""Where the code starts that finds out what is kept."""

PACKAGES = ("accelerate", "bitsandbytes", "gguf", "safetensors", "torch", "transformers")
"""Those that load a subject, or without which some can't be loaded."""


class Outline(NamedTuple):
    """What a subject is but for its weights, as JSON."""

    vocabulary_size: int
    limit: int | None
    places: dict[str, Any]
    kinds: dict[str, list[Any]]


class Lazy(Subject):
    """A subject that may not be loaded yet. What is wrong with it is said as if it were: nothing is known of one that can't be loaded."""

    def __init__(self, identity: dict[str, Any], find: Callable[[], Any]) -> None:
        """``find`` loads the model; it is called once, or never."""
        vars(self).update(name=identity["model"], identity=identity, _find=find)

    @cached_property
    def model(self) -> Any:  # noqa: D102 - see Subject
        return vars(self)["_find"]()

    @cached_property
    def device(self) -> torch.device:  # noqa: D102
        return loading.entrance(self.model)

    @cached_property
    def kinds(self) -> dict[str, Kind]:  # noqa: D102
        return {path: Kind(*kind) for path, kind in self._outline.kinds.items()}

    @cached_property
    def places(self) -> dict[str, Place]:  # noqa: D102
        places = self._outline.places.items()
        return {name: place if isinstance(place, str) else (place[0], place[1]) for name, place in places}

    @property
    def vocabulary_size(self) -> int:  # noqa: D102
        return self._outline.vocabulary_size

    @property
    def limit(self) -> int | None:  # noqa: D102
        return self._outline.limit

    def known(self, what: str, find: Callable[[], T]) -> T:  # noqa: D102
        kept = Kept(runtime.home() / KEPT, "subject")
        code = reach.digest(reach.reached(STARTS))
        key = fingerprint({"subject": self.identity["sha256"], "what": what, "code": code, "packages": versions()})
        if (found := kept.get(key)) is not None:
            return json.loads(found)
        value = find()
        with suppress(GlossaError, OSError):  # it is found out again
            kept.put(key, json.dumps(value).encode())
            kept.make_room()
        return value

    @cached_property
    def _outline(self) -> Outline:
        return Outline(*self.known("outline", lambda: _outline(Subject(self.model, self.name, {}, self.device))))


def load(section: params.Subject, seed: int, device: str, device_map: str | None = None) -> Subject:
    """Returns the subject that ``load.load`` would return, loaded on the ``device`` of runtime.yaml as soon as that is necessary.

    Raises:
        GlossaError: it can't be loaded; of one that is known this is found out when it is.
    """
    try:
        elsewhere = gguf.find(section.model) is None and not Path(section.model).is_dir()
        commit = hub.pin(section.model, section.revision) if elsewhere else None
        identity = loading.identity(section, seed, commit)
    except Exception:  # noqa: BLE001 - what is wrong is for whoever loads it to say
        return loading.load(section, seed, loading.pick_device(device), device_map)
    pinned = section.model_copy(update={"revision": commit or section.revision})
    return Lazy(identity, lambda: loading.causal_lm(pinned, seed, loading.pick_device(device), device_map)[0])


def versions() -> dict[str, str | None]:
    """Returns the versions of the packages that decide what a subject is; None for those that are not installed."""
    return {name: installed(name) for name in PACKAGES}


def _outline(subject: Subject) -> list[Any]:
    """What is asked of a loaded subject, as JSON takes it."""
    kinds = {path: list(kind) for path, kind in subject.kinds.items()}
    return list(Outline(subject.vocabulary_size, subject.limit, dict(subject.places), kinds))
