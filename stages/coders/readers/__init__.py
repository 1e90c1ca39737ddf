"""One file per on-disk format of sparse coders.

Every reader has ``detect(folder) -> bool`` and ``read(folder, options) -> SparseCoder``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stages.errors import GlossaError

if TYPE_CHECKING:
    from stages.coders.sparse_coder import InputNorm

Function = Literal["relu", "topk", "jumprelu"]


@dataclass(frozen=True)
class Options:
    """What a user may add about a coder that its files do not say.

    Raises:
        GlossaError: ``norm_factor`` is no finite number above 0.
    """

    norm_factor: float | None = None
    """The constant by which inputs were multiplied in training, where the files only say that there was one."""
    listed_norm_factor: float | None = None
    """The same as a registry lists it, which means nothing where the files want none."""
    centre: bool | None = None
    """The subject's activations were mean-centred over their width, or were not."""
    normalise: InputNorm | None = None
    """What was done to every input outside of the library that saved the coder."""
    activation: Function | None = None
    k: int | None = None
    pre_bias: bool | None = None
    """Whether the decoder's bias is subtracted from the input. These three say how files are meant that leave it open."""
    reconstructs: str | None = None
    """The hookpoint whose values it reconstructs, where the files don't say so."""
    hookpoint: str | None = None
    """Where it reads; of a file of many layers also which of them is meant."""

    def __post_init__(self) -> None:
        if self.norm_factor is not None and not (math.isfinite(self.norm_factor) and self.norm_factor > 0):
            raise GlossaError(f"expected a number above 0 for a coder's norm_factor, found {self.norm_factor}")

    def refuse_norm_factor(self, folder: Path) -> None:
        """Refuses a factor for the coder in ``folder``, whose inputs were not scaled by an unknown constant.

        Raises:
            GlossaError: there is a ``norm_factor``.
        """
        if self.norm_factor is not None:
            raise GlossaError(
                f"the inputs of the coder in {folder} were not scaled by a constant that its files leave open, so its "
                "norm_factor would change what it means; take norm_factor out of params.yaml"
            )

    def input_norm(self, own: InputNorm, path: Path) -> InputNorm:
        """Returns what is done to every input of the coder at ``path``, whose files say ``own``.

        Raises:
            GlossaError: it is to be normalised or centred, but is normalised in another way already.
        """
        if self.normalise not in (None, own):
            if own != "none":
                raise GlossaError(
                    f"the files of the coder at {path} say how its inputs are normalised ({own}), but params.yaml says normalise: "
                    f"{self.normalise}; take normalise out of params.yaml"
                )
            own = self.normalise
        if not self.centre:
            return own
        if own != "none":
            raise GlossaError(
                f"the coder at {path} normalises its inputs itself ({own}), which can't be combined with centre: true; "
                "take centre out of params.yaml"
            )
        return "centre"

    def refuse_others(self, taken: tuple[str, ...], path: str) -> None:
        """Refuses ``activation``, ``k`` or ``pre_bias`` for the coder at ``path``, whose files say them, unless among ``taken``.

        Raises:
            GlossaError: one of them is given.
        """
        for name in ("activation", "k", "pre_bias"):
            if getattr(self, name) is not None and name not in taken:
                raise GlossaError(
                    f"the files of the coder at {path} settle how it is meant, so {name} would change it; take {name} out of "
                    "its entry in params.yaml"
                )
