"""Sparse coders: one canonical form, a reader for every format they are saved in, and two controls."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages import hub, registry
from stages.coders import folding, neurons, random, saelens_registry
from stages.coders.readers import Options
from stages.coders.readers.files import PICKLES, read_json, shown
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.params import AnyCoder, Neurons, RandomCoder
from stages.subject.hookpoints import width
from stages.subject.load import Subject

CONFIGS = {
    "sae.safetensors": ("cfg.json",),
    "sae_weights.safetensors": ("cfg.json", "config.json"),
    "model.safetensors": ("config.json",),
    "checkpoints/final.safetensors": ("hyperparams.json", "config.json"),
}
"""By the weights of formats that are folders, what their config is called."""
TEMPORAL = ("conf.yaml", "latest_ckpt.safetensors")
"""The files of temporal SAEs."""


def load(path: str, options: Options | None = None, form: str | None = None, key: str = "format") -> SparseCoder:
    """Reads the coder at ``path``, a folder, a file, ``hub://owner/repository/folder@revision`` or ``saelens://release/sae_id``.

    Its format is ``form``, which ``key`` of params.yaml names, or is detected.

    Raises:
        GlossaError: there is nothing, no format or more than one fits, it is not in the format named, the files are damaged, or the
            Hub does not give them.
    """
    if form is not None:
        registry.module_of(registry.READERS, form, key)  # before anything is fetched
    options = options or Options()
    listed = saelens_registry.find(path) if path.startswith(saelens_registry.SCHEME) else None
    cited = path
    if listed is not None:
        options, path = listed.options(options), listed.address
    fetched = hub.fetch(path) if path.startswith(hub.SCHEME) else None
    place = fetched.path if fetched else Path(path)
    if not place.exists():
        raise GlossaError(
            f"a coder's path should be a folder or a file, but there is none at {path}; correct it{_instead(path)}"
        )
    if form is None or not _reader(form).detect(place):
        form = _detected(path, place, fetched, form, key)
    options.refuse_others(getattr(_reader(form), "TAKES", ()), path)
    coder = _reader(form).read(place, options)
    if fetched is None:
        return coder
    origin = {"repository": fetched.repository, "commit": fetched.commit}  # the hash is of the content alone
    if listed is not None:
        origin |= {"release": listed.release, "sae_id": listed.sae_id}
    return replace(coder, source=cited, identity={**coder.identity, **origin})


def _detected(path: str, place: Path, fetched: hub.Fetched | None, form: str | None, key: str) -> str:
    """Returns the one format that fits, unless ``form``, which does not, is asked for."""
    fitting = formats(place)
    if not fitting:
        raise GlossaError(_none_fits(path, place, fetched))
    if form is not None:
        raise GlossaError(
            f"params.yaml: {key} is {form}, but the files in {path} are in the format {' and '.join(fitting)}; correct one of them"
        )
    if len(fitting) > 1:
        raise GlossaError(
            f"expected one sparse coder in {path}, found the formats {' and '.join(fitting)}; keep the files of one, or name it as "
            "format in params.yaml"
        )
    return fitting[0]


def _none_fits(path: str, place: Path, fetched: hub.Fetched | None) -> str:
    """Why what lies at ``place`` is in no format."""
    if inside := _coders_inside(place, fetched):
        return f"expected one sparse coder in {path}, found some in folders inside it; point at one of {inside}"
    folder, around = path, place
    for _ in range(2 if hub.CHECKPOINTS in (place.name, place.parent.name) else 1 if place.is_file() else 0):
        folder, around = _folder_of(folder), around.parent
        if found := formats(around):
            return f"{path} is a part of a coder that is a folder, in the format {' and '.join(found)}; name the folder, {folder}"
    if place.is_file():
        found = ["a file of another kind"]
    elif all((place / name).is_file() for name in TEMPORAL):
        return f"{path} is a temporal SAE, which makes a token's latents depend on the tokens before it, as no sparse coder here does; use another"
    else:
        found = sorted(file.name for file in place.iterdir())
        several = [name for name in found if Path(name).suffix in PICKLES]
        if len(several) > 1:
            return f"expected one sparse coder in {path}, found {len(several)} PyTorch files; point at one of {shown(', '.join(several))}"
        for weights, configs in CONFIGS.items():
            if (place / weights).is_file():
                if not (there := [place / name for name in configs if (place / name).is_file()]):
                    return f"expected {' or '.join(configs)} beside {weights} in {path}, found none; put it there, from where the weights came"
                read_json(there[0])  # says what is wrong with it
    return (
        f"expected a sparse coder in {path}, found {', '.join(found) or 'nothing'}; docs/coders.md lists the files by which the formats are "
        f"told ({', '.join(registry.READERS)})"
    )


def _folder_of(path: str) -> str:
    """The address or path of the folder around a file."""
    place, at, revision = path.partition("@") if path.startswith(hub.SCHEME) else (path, "", "")
    return f"{place.rpartition('/')[0] or '.'}{at}{revision}"


def _reader(form: str) -> Any:
    return registry.module(registry.READERS, form, "format", "detect", "read")


def _instead(path: str) -> str:
    """What else to write for a path that is not here: an address, if it looks like one of the Hub."""
    match = re.fullmatch(r"(?:hf://|https://huggingface\.co/)?([\w-][\w.-]*/[\w-][\w.-]*(?:/.*)?(?:@.*)?)", path)
    return f", or write {hub.SCHEME}{re.sub('/tree/[^/]+', '', match[1])} if it is on the Hub" if match else ""


def formats(place: Path) -> list[str]:
    """Returns the formats whose files lie at ``place``."""
    return [name for name in registry.READERS if _reader(name).detect(place)]


def _coders_inside(place: Path, fetched: hub.Fetched | None) -> str:
    """The folders inside ``place`` that hold a coder, such as those of a training run; here up to two levels down."""
    if fetched is not None:
        return hub.coders_inside(fetched.repository, fetched.commit, fetched.inside)
    folders = sorted({file.parent for pattern in ("*/*", "*/*/*") for file in place.glob(pattern)})
    return shown(", ".join(str(folder.relative_to(place)) for folder in folders if formats(folder)))


def from_params(name: str, entry: AnyCoder, seed: int, subject: Subject | None = None) -> SparseCoder:
    """Returns the coder ``coders.<name>`` of params.yaml, with its hookpoint; a control is made from the ``subject``.

    Raises:
        GlossaError: it can't be read or made, or nothing says where it reads the subject.
        ValueError: it is a control, and there is no subject.
    """
    if isinstance(entry, Neurons | RandomCoder):
        if subject is None:
            raise ValueError(f"the control {name} is made from a subject")
        if isinstance(entry, Neurons):
            return neurons.load(subject, entry.hookpoint, entry.k)
        return random.load(width(subject, entry.hookpoint), entry.hookpoint, entry.latents, entry.k, (seed, entry.seed))
    said = ("norm_factor", "centre", "normalise", "activation", "k", "pre_bias", "reconstructs", "hookpoint")
    options = Options(**{key: getattr(entry, key) for key in said})
    coder = load(entry.path, options, entry.format, f"coders.{name}.format")
    hookpoint = entry.hookpoint or coder.hookpoint
    if hookpoint is None:
        raise GlossaError(
            f"params.yaml: coders.{name} should have a hookpoint, as the files in {entry.path} do not say where they read the "
            "subject; add it"
        )
    coder = replace(coder, hookpoint=hookpoint, reconstructs=entry.reconstructs or coder.reconstructs)
    return coder if subject is None else folding.settled(coder, subject)
