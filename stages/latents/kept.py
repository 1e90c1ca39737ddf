"""Finished stores are kept, so that no forward pass is made twice for the same activations.

What is kept are the events and their statistics, by all that decides them: not the names of coders, nor anything else that the
attributes of a store say or that its coder's directions promote, which are written anew each time. So a coder may change its name, its
path and its place in params.yaml, and the code around the activations may change, without the subject running again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
from numpy.typing import NDArray

from stages import registry
from stages.corpus.tokens import Tokens
from stages.latents import spec
from stages.latents.capture import Target, dtype_of, special_sha256
from stages.latents.merge import ARRAYS, complete
from stages.machine import runtime
from stages.machine.content_store import ContentStore, DamagedError, NotKeptError
from stages.machine.versions import installed
from stages.outputs import new_directory
from stages.subject.load import Subject
from stages.wiring import reach

STARTS = (
    "stages.subject.lazy:load",
    "stages.coders.readers:Options",
    "stages.corpus.tokens:Tokens",
    "stages.latents.capture:Target",
    "stages.latents.capture:Capture",
    "stages.coders.folding:settled",
    "stages.latents.capture:ranges",
    "stages.latents.merge:merge",
)
"""Where the code starts that computes events, beside the one that reads or makes the coder. A class is named whose instances are handed
in: what is called of an argument is not followed."""

CONTROLS = {"neurons": "stages.coders.neurons", "random": "stages.coders.random"}
"""Modules of coders that are in no format."""

PACKAGES = ("numcodecs", "numpy", "scipy", "torch", "transformers", "zarr")
"""Those that compute activations or write them; another version may give others."""
QUANTIZING = ("bitsandbytes",)
UNPACKING = ("gguf",)


def contents() -> ContentStore:
    """Where stores are kept."""
    return ContentStore(runtime.home() / "stores", int(runtime.load().keep_gb * 1e9))


def about(target: Target, subject: Subject, tokens: Tokens) -> dict[str, Any]:
    """Returns all that decides the events of a coder, and the bytes of their arrays."""
    coder = target.coder
    others = QUANTIZING if "quantization" in subject.identity else UNPACKING if "gguf" in subject.identity else ()
    return {
        "schema": spec.SCHEMA,
        "version": spec.VERSION,
        "subject": subject.identity["sha256"],
        "coder": coder.identity["sha256"],
        "hookpoint": target.hookpoint,
        "dtype": dtype_of(coder),
        "kept_mantissa_bits": target.kept_bits,
        "signed": coder.activation.signed,
        "tokens": tokens.sha256,
        "special_tokens": special_sha256(tokens),
        "context_length": tokens.context_length,
        "code": code(coder.identity["format"]),
        "packages": {name: installed(name) for name in (*PACKAGES, *others)},
    }


def starts(form: str) -> tuple[str, ...]:
    """Returns where the code starts on which the events of a coder in this format depend, as ``reach.reached`` takes it."""
    return (*STARTS, {**registry.READERS, **CONTROLS}[form])


@cache
def code(form: str) -> str:
    """Returns the hash of that code."""
    return reach.digest(reach.reached(starts(form)))


def take(
    name: str,
    facts: Mapping[str, Any],
    path: Path,
    attributes: dict[str, Any],
    output: Callable[[], Mapping[str, NDArray]],
) -> int | None:
    """Writes the store of the coder ``name`` at ``path`` with the events that are kept, and returns how many they are.

    None if there are none. If they are damaged they are deleted, and a line on standard error says so. ``attributes`` and
    what ``output`` returns are those that ``merge`` takes.
    """
    kept = contents()
    if not kept.has(facts):
        return None
    try:
        with new_directory(path) as partial:
            if not kept.take(facts, partial):
                raise FileNotFoundError
            n_events = complete(partial, attributes, output())
    except FileNotFoundError:
        return None  # it was deleted meanwhile
    except DamagedError as damage:
        click.echo(
            f"the activations that were kept for {name} are damaged ({damage}); they are deleted and computed anew",
            err=True,
        )
        return None
    kept.trim()
    return n_events


def keep(name: str, facts: Mapping[str, Any], path: Path) -> None:
    """Keeps the events of the store of the coder ``name`` at ``path``; where that can't be, a line on standard error says so."""
    try:
        contents().keep(facts, path, ARRAYS)
    except NotKeptError as problem:
        click.echo(f"the activations of {name} are not kept for another time: {problem}", err=True)
