"""Reading the files of a sparse coder: every damage is one sentence, and no pickle runs code."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.errors import GlossaError, said
from stages.outputs import file_sha256, fingerprint

PICKLES = {".pt", ".pth"}
PREFIXES = ("_orig_mod.", "module.", "model.", "sae.")
"""What torch.compile, data parallelism and wrapping modules put in front of all names of a state dict."""
WRAPS = ("state_dict", "model_state_dict")
AGAIN = "fetch the coder again"
MISSING = "expected {name} in {folder}, found none; put it there, from where the weights came"
LONGEST = 200
"""Characters of a value that a message quotes."""
DEEPEST = 8
"""Objects inside objects that it quotes."""
UNPACKED = 16
FREE = 2**28
"""A compressed file may unpack to ``UNPACKED`` times its size, or to ``FREE`` bytes (256 MB): numbers that are weights hardly get smaller."""
MEANINGS = {
    "threshold": "the thresholds of a JumpReLU",
    "log_threshold": "the thresholds of a JumpReLU",
    "topk_threshold": "the threshold of a BatchTopK",
    "W_skip": "a skip connection of a transcoder",
    "b_dec_out": "the output bias of a transcoder",
    "r_mag": "a part of a gated encoder",
    "b_mag": "a part of a gated encoder",
    "b_gate": "a part of a gated encoder",
    "scaling_factor": "a scale on the activations",
}
"""What tensors are by their names, for messages."""


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        GlossaError: the file can't be read, or is something else.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GlossaError(MISSING.format(name=path.name, folder=path.parent)) from None
    except (OSError, ValueError, RecursionError):
        raise GlossaError(f"expected JSON in {path}, but it can't be read; {AGAIN}") from None
    if not isinstance(config, dict):
        raise GlossaError(f"expected a JSON object in {path}, found {type(config).__name__}; {AGAIN}")
    return config


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file.

    Raises:
        GlossaError: the file can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return unwrapped(load_file(path))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise GlossaError(
            f"expected safetensors in {path}, but it can't be read ({_first_line(error)}); {AGAIN}"
        ) from None


def read_npz(path: Path) -> dict[str, Tensor]:
    """Returns the arrays of an npz file, which may hold no pickled objects.

    Raises:
        GlossaError: the file can't be read, or an array is of a type that torch has not.
    """
    import numpy as np

    _check_size(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # np.load leaves a damaged file open
            return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}
    except Exception as error:  # noqa: BLE001 - the parsers of zip, zlib and npy raise whatever they stumble over
        raise GlossaError(f"expected arrays in {path}, but it can't be read ({_first_line(error)}); {AGAIN}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """Returns the state dict that torch saved in ``path``; anything but tensors and plain values is refused, not run.

    Raises:
        GlossaError: the file can't be read, holds code, or no dict.
    """
    return unwrapped(_read_pickle(path))


def read_with_around(path: Path) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Returns the state dict as ``read_pickle`` does, and what lies beside it in the file, if there is a dict around it."""
    return _apart(_read_pickle(path))


def _read_pickle(path: Path) -> dict[Any, Any]:
    _check_size(path)
    try:
        found = _load(path)
    except pickle.UnpicklingError:
        raise GlossaError(
            f"expected only tensors and plain values in {path}, but it can't be read as that; it is damaged, or holds code, "
            "which is never run: save its state dict instead"
        ) from None
    except Exception as error:  # noqa: BLE001 - torch raises whatever its parsers stumble over
        raise GlossaError(
            f"expected a PyTorch file in {path}, but it can't be read ({_first_line(error)}); {AGAIN}"
        ) from None
    if not isinstance(found, dict):
        raise GlossaError(f"expected a dict of tensors in {path}, found {type(found).__name__}; save its state dict")
    return found


def read_checkpoint(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the config that is ``key`` beside the state dict in a PyTorch file, and the state dict.

    Raises:
        GlossaError: see ``read_pickle``; or there is no such config.
    """
    tensors, around = read_with_around(path)
    found = around.get(key)
    if not isinstance(found, dict):
        raise GlossaError(f"expected a dict {key} beside the state dict in {path}, found {shown(found)}; save it again")
    return found, tensors


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
        GlossaError: the file can't be read, or is something else.
    """
    from ruamel.yaml import YAML

    try:
        config = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GlossaError(MISSING.format(name=path.name, folder=path.parent)) from None
    except Exception as error:  # noqa: BLE001 - the parser raises whatever it stumbles over
        raise GlossaError(f"expected YAML in {path}, but it can't be read ({_first_line(error)}); {AGAIN}") from None
    if not isinstance(config, dict):
        raise GlossaError(f"expected a YAML mapping in {path}, found {type(config).__name__}; {AGAIN}")
    return config


def pickle_at(path: Path) -> Path | None:
    """Returns the PyTorch file (``.pt``, ``.pth``) that ``path`` is, or that is the only file with weights in it."""
    if path.is_file():
        return path if path.suffix in PICKLES else None
    weights = [file for file in path.glob("*") if file.suffix in {*PICKLES, ".safetensors", ".npz"}]
    return weights[0] if len(weights) == 1 and weights[0].suffix in PICKLES else None


def keys_of(path: Path) -> set[str]:
    """Returns the names of what torch saved in ``path`` without reading the tensors; none if it is damaged."""
    try:
        _check_size(path)
        mapped = zipfile.is_zipfile(path)  # as all are that torch has saved since 2020
        return {str(name) for name in unwrapped(_load(path, mmap=mapped))}
    except Exception:  # noqa: BLE001 - what is wrong with the file is for whoever reads it to say
        return set()


def _check_size(path: Path) -> None:
    """Raises GlossaError if a zip archive, as PyTorch's files and npz are, unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return  # it is none, or damaged, which whoever reads it says
    limit = max(FREE, UNPACKED * path.stat().st_size)
    if unpacked > limit:
        raise GlossaError(
            f"{path} would unpack to {unpacked:,} bytes, more than the {limit:,} that a file of its size may ({UNPACKED} times as much); "
            "save its weights uncompressed"
        )


def unwrapped(found: dict[Any, Any]) -> dict[str, Any]:
    """Returns the tensors of a state dict by the names that its module has for them.

    Taken away are the dict ``{"state_dict": …}`` around it and what torch.compile, data parallelism or Lightning put in front of every
    name.
    """
    return _apart(found)[0]


def _apart(found: dict[Any, Any]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """A state dict, and what lies beside it where a dict is around it."""
    around: dict[Any, Any] = {}
    wrap = next((key for key in WRAPS if isinstance(found.get(key), dict)), None)
    if wrap is not None and not any(isinstance(value, Tensor) for value in found.values()):
        found, around = found[wrap], {key: value for key, value in found.items() if key != wrap}
    names = {name if isinstance(name, str) else shown(name): value for name, value in found.items()}
    while prefix := next((one for one in PREFIXES if names and all(name.startswith(one) for name in names)), None):
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names, around


def _load(path: Path, mmap: bool = False) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickles of other programs, which are refused in our own words
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def whole(config: Mapping[str, Any], key: str, path: Path, at_most: int = 2**31) -> int:
    """Returns the whole number ``key`` of a config read from ``path``.

    Raises:
        GlossaError: it is missing, something else, below 1 or above ``at_most``.
    """
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= at_most:
        expected = f"a whole number from 1 to {at_most}" if at_most < 2**31 else "a whole number above 0"
        raise GlossaError(f"expected {expected} for {key} in {path}, found {shown(value)}; {AGAIN}")
    return value


def real(config: Mapping[str, Any], key: str, path: Path, zero: bool = False) -> float:
    """Returns the number above 0, or at least 0 if ``zero``, that is ``key`` in a config read from ``path``.

    Raises:
        GlossaError: it is missing, something else, negative or infinite.
    """
    value: Any = config.get(key)
    if type(value) not in (int, float) or not (0 < value < 1e30 or (zero and value == 0)):
        expected = "a number of at least 0" if zero else "a number above 0"
        raise GlossaError(f"expected {expected} for {key} in {path}, found {shown(value)}; {AGAIN}")
    return float(value)


def flag(config: Mapping[str, Any], key: str, path: Path, default: bool = False) -> bool:
    """Returns the yes or no that is ``key`` in a config read from ``path``; ``default`` if it is absent or null.

    Raises:
        GlossaError: it is something else.
    """
    value = config.get(key)
    if value is not None and type(value) is not bool:
        raise GlossaError(f"expected true or false for {key} in {path}, found {shown(value)}; {AGAIN}")
    return default if value is None else value


def text(config: Mapping[str, Any], key: str) -> str | None:
    """Returns the text that is ``key`` in a config, or None if there is none."""
    value = config.get(key)
    return value if isinstance(value, str) and value and value.isprintable() else None


def identity(facts: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Returns a coder's identity: ``facts`` that decide its activations, the hash of its weights, and one over both."""
    facts = {**facts, "weights_sha256": file_sha256(weights)}
    return {**facts, "sha256": fingerprint(facts)}


def only(tensors: Mapping[str, Any], known: Iterable[str], path: Path) -> None:
    """Checks that a file holds no tensors besides those its format has.

    Raises:
        GlossaError: it holds another, whose meaning nobody told.
    """
    if extra := sorted(set(map(str, tensors)) - set(known)):
        meanings = {MEANINGS[name] for name in extra if name in MEANINGS}
        why = (
            f"by its name {' and '.join(sorted(meanings))}, of which its config says nothing"
            if meanings
            else "which nobody told the meaning of"
        )
        raise GlossaError(
            f"expected only {shown(', '.join(sorted(known)))} in {path}, found {shown(', '.join(extra))} too, {why}, so what the coder "
            "computes is not known; see whether its config or format is another"
        )


def take(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...] | None, path: Path) -> Tensor:
    """Returns the float32 tensor ``name``, checked to be of ``shape`` (if given) and finite.

    Raises:
        GlossaError: it is missing, no ordinary floating-point tensor, of another shape, empty, or holds NaN or infinity.
    """
    if name not in tensors:
        found = shown(", ".join(sorted(map(str, tensors)))) or "nothing"
        raise GlossaError(f"expected a tensor {name} in {path}, found {found}; {AGAIN}")
    value = tensors[name]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise GlossaError(f"expected floating-point numbers for {name} in {path}, found {kind}; {AGAIN}")
    if shape is not None and tuple(value.shape) != shape:
        raise GlossaError(
            f"expected {name} of shape {list(shape)} in {path}, found {list(value.shape)}; are all its files of one coder?"
        )
    if value.numel() == 0:
        raise GlossaError(f"expected {name} to hold numbers in {path}, found the shape {list(value.shape)}; {AGAIN}")
    if not is_plain(value):
        raise GlossaError(
            f"expected an ordinary tensor for {name} in {path}, found a sparse, virtual or expanded one; save it whole"
        )
    value = value.detach().float()
    if not torch.isfinite(value).all():
        raise GlossaError(
            f"expected finite weights in {path}, but {name} holds NaN or infinity; fetch the coder again, or train it again"
        )
    return value.contiguous()


def matrix(tensors: Mapping[str, Any], name: str, path: Path) -> Tensor:
    """Returns the float32 matrix ``name``, whose shape the other tensors then have to fit; see ``take``."""
    value = take(tensors, name, None, path)
    if value.ndim != 2:
        raise GlossaError(f"expected a matrix for {name} in {path}, found the shape {list(value.shape)}; {AGAIN}")
    return value


def vector(tensors: Mapping[str, Any], name: str, path: Path) -> Tensor:
    """Returns the float32 vector ``name``, whose length the other tensors then have to fit; see ``take``."""
    value = take(tensors, name, None, path)
    if value.ndim != 1:
        raise GlossaError(f"expected a vector for {name} in {path}, found the shape {list(value.shape)}; {AGAIN}")
    return value


def shown(value: Any) -> str:
    """Returns ``value`` as a message may quote it: on one line and not long; of what is large or nested no more is looked at."""
    text = "".join(_pieces(value, [LONGEST + 1], 0))
    line = " ".join(text.split())
    return line if len(text) <= LONGEST else line[:LONGEST] + "…"


def _pieces(value: Any, left: list[int], depth: int) -> Iterator[str]:
    """The text of ``value`` as Python writes it, piece by piece, until the characters ``left`` are used up."""
    if left[0] <= 0:
        return
    if isinstance(value, str):
        piece = value[: left[0]] if not depth else repr(value[: left[0]])
    elif isinstance(value, dict | list | tuple):
        is_dict, marks = isinstance(value, dict), {dict: "{}", tuple: "()"}.get(type(value), "[]")
        if depth > DEEPEST:
            left[0] = 0
            yield marks[0] + "…"
            return
        left[0] -= 1
        yield marks[0]
        for place, item in enumerate(value):
            if left[0] <= 0:
                return
            if place:
                left[0] -= 2
                yield ", "
            yield from _pieces(item, left, depth + 1)
            if is_dict:
                left[0] -= 2
                yield ": "
                yield from _pieces(value[item], left, depth + 1)
        piece = marks[1]
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * LONGEST:
        piece = f"a number of {value.bit_length()} bits"
    elif isinstance(value, Tensor):
        piece = f"a tensor of the shape {list(value.shape)}"
    elif value is None or isinstance(value, bool | int | float):
        piece = str(value)
    else:
        piece = str(value)[: left[0]] if depth == 0 else type(value).__name__
    left[0] -= len(piece)
    yield piece


def is_plain(value: Tensor) -> bool:
    """Whether every element of ``value`` lies in memory: a few bytes can claim to be a tensor of any size."""
    if value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _first_line(error: Exception) -> str:
    return shown(said(error))
