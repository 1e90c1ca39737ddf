"""``models``: the language models that explainers and scorers name, and the one that is the subject itself.

``{provider: subject}`` stands for the model under study as it reads in this process. It is replaced where params.yaml is read, so that
all that goes by a model, fingerprints among it, goes by the subject's values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.errors import GlossaError
from stages.params.subject import Subject

PROVIDER = "subject"
IN_THIS_PROCESS = "transformers"
"""The provider that loads a model here."""
OWN = ("model", "revision", "dtype")
"""What such a description takes from the subject."""


def described(entry: dict[str, Any], subject: Subject, key: str, path: Path) -> dict[str, Any]:
    """Returns the description ``entry``, found under ``key``, with the subject in the place of ``provider: subject``.

    Raises:
        GlossaError: it says itself what the subject says, or the subject is none that can judge.
    """
    if entry.get("provider") != PROVIDER:
        return entry
    if said := [name for name in OWN if name in entry]:
        raise GlossaError(
            f"{path}: {key} should leave {said[0]} to the section subject, whose model provider: subject is, found "
            f"{entry[said[0]]!r}; take it out, or name another model with provider: {IN_THIS_PROCESS}"
        )
    if subject.weights == "random":
        raise GlossaError(
            f"{path}: {key} should be a model that was trained, but provider: subject is the subject, whose weights are random; name "
            f"one with provider: {IN_THIS_PROCESS}"
        )
    if subject.quantization != "none":
        raise GlossaError(
            f"{path}: {key} should be a model that is not quantized as it is loaded, but provider: subject is the subject, whose "
            f"quantization is {subject.quantization}; name one with provider: {IN_THIS_PROCESS}"
        )
    own = {name: value for name in OWN if (value := getattr(subject, name)) is not None}
    return {**entry, "provider": IN_THIS_PROCESS, **own}


def other_than(subject: Subject, entry: dict[str, Any]) -> str | None:
    """Returns what the model that ``entry`` describes is called, if it runs in this process and is another than the subject."""
    if entry.get("provider") != IN_THIS_PROCESS:
        return None
    plain = Subject.model_fields
    model, revision, dtype = (entry.get(name, plain[name].default) for name in OWN)
    if (model, revision) != (subject.model, subject.revision):
        return f"{model}{f' at {revision}' if revision and model == subject.model else ''}"
    if subject.weights == "random" or subject.quantization != "none":
        return f"{model} as it was trained"
    return f"{model} in {dtype}" if dtype != subject.dtype else None
