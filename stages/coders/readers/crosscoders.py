"""What readers of crosscoders share, whose latents read several places of one model at once."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from torch import Tensor

from stages.coders.readers import Options
from stages.coders.sparse_coder import InputNorm
from stages.errors import GlossaError
from stages.subject.hookpoints import PLUS, split


def places(path: Path, named: list[str] | int, options: Options) -> list[str]:
    """Returns the places of a crosscoder, which its files have ``named``, or only counted.

    Raises:
        GlossaError: nobody names them, or as many as there are.
    """
    n = named if isinstance(named, int) else len(named)
    found = split(options.hookpoint) if options.hookpoint else named
    if isinstance(found, int):
        raise GlossaError(
            f"the crosscoder in {path} reads {n} places at once, which its files don't name: of layers of one model say hookpoint: "
            f"{PLUS.join(['layers.1', 'layers.2'][: min(n, 2)])}{' …' if n > 2 else ''} in its entry in params.yaml; of several models, as in model "
            "diffing, it can't be read, as its latents are of all of them and the subject is one"
        )
    if len(found) != n:
        raise GlossaError(
            f"the crosscoder in {path} reads {n} places at once, but params.yaml names {len(found)} ({options.hookpoint}); name as many, with a "
            "+ between them"
        )
    return found


def refuse(path: Path, n: int) -> NoReturn:
    """Raises GlossaError for the crosscoder at ``path``, whose files don't say how its latents fire."""
    raise GlossaError(
        f"{path} is a crosscoder, whose encoder reads {n} places at once, in files that say neither which nor how it fires; it can be read as "
        "saved by PyTorchModelHubMixin (config.json, model.safetensors), and one of several models, as in model diffing, not at all"
    )


def side_by_side(encoder: Tensor) -> Tensor:
    """Returns an encoder [places, width, latents] as one of what all places give side by side, [latents, places · width]."""
    return encoder.flatten(0, 1).T.contiguous()


def in_a_row(decoder: Tensor) -> Tensor:
    """Returns a decoder [places, latents, width] as one to all places side by side, [latents, places · width]."""
    return decoder.transpose(0, 1).flatten(1).contiguous()


def no_norm(options: Options, path: Path) -> InputNorm:
    """Returns ``none``; raises GlossaError if params.yaml says that inputs are normalised or centred, which would mix places."""
    if options.input_norm("none", path) != "none":
        raise GlossaError(
            f"the crosscoder in {path} reads several places, whose values centre and normalise would mix; take them out of params.yaml"
        )
    return "none"
