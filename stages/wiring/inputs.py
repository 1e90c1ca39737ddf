"""Files and folders that stages depend on and that no stage makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages import gguf, paths, plan, registry
from stages.errors import GlossaError
from stages.params import Coder, InstalledDocs, LocalText, Params, Subject, TokenIds
from stages.wiring import reach
from stages.wiring.running import CODE

TOKENIZER = ("added_tokens", "merges", "sentencepiece", "special_tokens", "spiece", "tekken", "tokenizer", "vocab")
TEMPLATE = "chat_template"
"""How the files of a tokenizer begin, and that of its chat template."""
CONFIG = "config.json"
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of an environment."""


def code(p: Params) -> list[Path]:
    """Returns what fingerprints follow from beside params.yaml: the code of a project that brings its own.

    Where a model or a unit lies in an installed package, on whose files DVC can't depend, it is the list of versions, too.
    """
    values = [p.subject.model, p.models, p.explainers, p.scorers]
    others = [folder.resolve() for folder in reach.packages(_units(p)) if folder != reach.FOLDER]
    inside = [folder.relative_to(Path.cwd()) for folder in others if folder.is_relative_to(Path.cwd())]
    here = [folder for folder in inside if not INSTALLED & set(folder.parts)]  # an environment may lie in the project
    found = [*([CODE] if CODE.is_dir() else []), *here]
    installed = any(gguf.addresses(values)) or len(others) > len(here)
    return [*found, paths.CONSTRAINTS] if installed and paths.CONSTRAINTS.is_file() else found


def _units(p: Params) -> Iterator[str]:
    """Yields the modules of all units that params.yaml names; of those that there are."""
    entries = [*p.explainers.values(), *p.scorers.values()]
    models = [value for entry in entries for value in entry.values() if isinstance(value, dict)]
    named: list[tuple[Mapping[str, str], list[Any]]] = [
        (registry.READERS, [getattr(entry, "format", None) for entry in p.coders.values()]),
        (registry.NEGATIVES, plan.kinds_of_negatives(p.sampling)),
        (registry.PROVIDERS, [model.get("provider") for model in models]),
        (registry.EXPLAINERS, [entry.get("kind") for entry in p.explainers.values()]),
        (registry.SCORERS, [entry.get("kind") for entry in p.scorers.values()]),
    ]
    for units, kinds in named:
        yield from (units[kind] for kind in kinds if kind in units)


def corpus(p: Params) -> Iterator[Path]:
    """Yields what the corpus is made from."""
    match p.corpus:
        case InstalledDocs():
            yield paths.CONSTRAINTS
        case LocalText(path=path) | TokenIds(path=path):
            yield Path(path)
    chat = getattr(p.corpus, "chat", None)
    if isinstance(chat, str):
        yield Path(chat)
    names: tuple[str, ...] = TOKENIZER
    if chat is True:
        names += (TEMPLATE,)
    if isinstance(p.corpus, TokenIds):
        names += (CONFIG,)
    for folder in subject(p.subject):
        if file := gguf.find(str(folder)):
            yield file
            continue
        yield from sorted(file for file in folder.iterdir() if file.is_file() and file.name.startswith(names))


def weights(p: Params, coder: str) -> list[Path]:
    """Returns where the weights of a coder lie; nothing if they are on the Hub, or are made from the subject."""
    entry = p.coders[coder]
    return [Path(entry.path)] if isinstance(entry, Coder) and is_local(entry.path) else []


def is_local(coder_path: str) -> bool:
    """Whether a coder's path names a folder here, and is no address such as ``hub://…``."""
    return "://" not in coder_path


def own(p: Params, entry: Mapping[str, Any]) -> list[Path]:
    """Returns the files that an explainer or a scorer reads beside what other stages made: explanations of others, a prompt, a judge's weights.

    The subject is none of them: examples change with it. Nor is a folder outside the project.
    """
    keys = ("path", "prompt") if entry["kind"] == "imported" else ("prompt",)
    given = [Path(entry[key]) for key in keys if isinstance(entry.get(key), str)]
    models = (value.get("model") for value in entry.values() if isinstance(value, dict))
    folders = [
        Path(model) for model in models if isinstance(model, str) and model != p.subject.model and _is_here(model)
    ]
    return [*given, *folders]


def _is_here(model: str) -> bool:
    """Whether a folder or file is one of the project, so that it is there, or known to be missing, for everyone who has the project."""
    path = Path(model)
    return not path.is_absolute() and (path.is_dir() or (path.suffix == gguf.ENDING and path.is_file()))


def compared(p: Params) -> Iterator[Path]:
    """Yields what compare reads only if params.yaml says so: activations, which are not pushed, and other projects."""
    if plan.reads_stores(p.compare):
        yield from map(paths.latents, p.coders)
    for other in p.compare.others.values():
        yield Path(other.path) / paths.examples(other.coder)
        yield from (Path(other.path) / paths.explanations(other.coder, explainer) for explainer in p.explainers)


def subject(subject: Subject) -> list[Path]:
    """Returns the subject's folder or file, or nothing if it is a repository on the Hub or lies in an installed package.

    Raises:
        GlossaError: there is no such folder or file.
    """
    if subject.model.startswith(gguf.SCHEME):
        return []
    folder = Path(subject.model)
    if folder.is_dir() or gguf.find(subject.model):
        return [folder]
    if folder.is_absolute() or (len(folder.parts) > 1 and folder.parent.is_dir()):
        raise GlossaError(
            f"{paths.PARAMS}: subject.model should be a folder or a repository on the Hub, but there is nothing at "
            f"{folder}; fetch it, or correct the path"
        )
    return []
