"""A coder's files in the tests: reading, changing and filling them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from torch import Tensor

from stages.coders.readers import Options

D_IN, LATENTS, K = 8, 16, 3


@dataclass(frozen=True)
class Made:
    """A coder that was written."""

    path: Path
    """What a coder's ``path`` is in params.yaml."""
    weights: Path
    config: Path | None = None
    width: str | None = None
    """The key of its config, dotted, that says how wide its input is."""
    k: str | None = None
    """The key of its config, dotted, that says how many latents fire."""
    optional: frozenset[str] = frozenset()
    """Tensors without which it is a coder just as well."""
    unread: frozenset[str] = frozenset()
    """Tensors that decide nothing."""
    hookpoint: str | None = None
    """What params.yaml has to say of it."""
    places: int = 1
    """How many it reads."""

    @property
    def options(self) -> Options:
        """What params.yaml says of it."""
        return Options(hookpoint=self.hookpoint)


def read_tensors(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return {name: value.clone() for name, value in load_file(path).items()}  # which are maps of the file
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    found = torch.load(path, weights_only=True)
    return found.get("state_dict", found)


def write_tensors(path: Path, tensors: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})
    else:
        around = torch.load(path, weights_only=True) if path.exists() else {}
        torch.save({**around, "state_dict": tensors} if "state_dict" in around else tensors, path)


def read_config(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path) if path.suffix == ".yaml" else json.loads(path.read_text())


def write_config(path: Path, config: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".yaml":
        YAML().dump(config, path)
    else:
        path.write_text(json.dumps(config))


def edit(path: Path, **values: Any) -> None:
    """Sets keys of a config; those that are None are taken out."""
    changed = {**read_config(path), **values}
    write_config(path, {key: value for key, value in changed.items() if value is not None})


def set_key(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value


class Draw:
    """Random tensors: ``draw(2, 3)``."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32) -> None:
        self.generator, self.dtype = np.random.default_rng(seed), dtype

    def __call__(self, *shape: int) -> Tensor:
        return torch.from_numpy(self.generator.normal(size=shape)).to(self.dtype)

    def positive(self, *shape: int) -> Tensor:
        return self(*shape).abs() / 2
