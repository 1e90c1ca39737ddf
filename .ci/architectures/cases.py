"""Cases: coders as a library saves them, and what that library computes with them.

They are written by a script for every library, which runs where that library is installed and needs nothing of Glossa's, and judged by
``table.py``, which runs where Glossa is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

D_IN, LATENTS, K, ROWS = 8, 16, 3, 64


class Cases:
    """A folder of the cases of one library."""

    def __init__(self, folder: Path, package: str, module: str | None = None):
        """Empties nothing: ``folder`` should be new. ``module`` is what the library calls itself, if not as its package."""
        self.folder, self.library = folder, f"{module or package} {version(package)}"
        self.n = 0

    def new(self, architecture: str, variant: str = "", **options: Any) -> Case:
        """A case of ``architecture``; ``options`` are what params.yaml has to say of it."""
        self.n += 1
        folder = self.folder / f"{self.library.replace(' ', '-')}-{self.n:03}"
        (folder / "coder").mkdir(parents=True)
        about = {"library": self.library, "architecture": architecture, "variant": variant, "options": options}
        return Case(folder, about)


class Case:
    """A coder that is being saved."""

    def __init__(self, folder: Path, about: dict[str, Any]):
        self.folder, self.about = folder, about

    @property
    def coder(self) -> Path:
        """The folder for its files."""
        return self.folder / "coder"

    def done(
        self,
        x: torch.Tensor,
        latents: torch.Tensor,
        outputs: torch.Tensor | None = None,
        path: str = "",
        **writes: torch.Tensor,
    ) -> None:
        """Notes what the library computes.

        Args:
            x: [rows, d_in] inputs.
            latents: [rows, latents].
            outputs: [rows, d_out], where the coder reconstructs by itself.
            path: Of the coder's file, inside its folder.
            writes: By place, [rows, width], what the latents write there.
        """
        arrays = {"x": x, "latents": latents, **({} if outputs is None else {"outputs": outputs})}
        arrays |= {f"writes {place}": value for place, value in writes.items()}
        np.savez(
            self.folder / "expected.npz", **{name: value.detach().float().numpy() for name, value in arrays.items()}
        )
        (self.folder / "case.json").write_text(json.dumps({**self.about, "path": path}, indent=1))


def inputs(width: int = D_IN) -> torch.Tensor:
    """The same random inputs for all, [rows, width]."""
    return torch.randn(ROWS, width, generator=torch.Generator().manual_seed(1)) * 2 + 0.3


def draw(
    module: torch.nn.Module, seed: int = 0, positive: Callable[[str], bool] = lambda name: "threshold" in name
) -> None:
    """Fills every parameter of a module with random numbers, and those whose name is ``positive`` with positive ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            drawn = torch.randn(value.shape, generator=generator) * 0.5
            value.copy_(drawn.abs() if positive(name) and "log" not in name else drawn)
