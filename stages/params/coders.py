"""``coders``: the sparse coders whose latents are explained, by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from stages.params.base import Section

Weights = Literal["trained", "random"] | None
"""Which weights of the subject a coder reads, if not those that ``subject.weights`` names."""


class Coder(Section):
    """A sparse coder that somebody saved."""

    path: str
    """A folder or a file, ``hub://owner/repository/folder@revision``, or ``saelens://release/sae_id``."""
    format: str | None = None
    """In which it is saved, by the names of docs/coders.md; found out unless it is said. The code that reads other formats can't
    change a coder whose format is said, so its activations need not be made anew when that does."""
    hookpoint: str | None = None
    """Where it reads the subject, unless its files say so."""
    reconstructs: str | None = None
    """The hookpoint whose values it reconstructs, unless its files say so; those it reads, of an autoencoder."""
    norm_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The constant by which its inputs were multiplied in training, where the files only say that there was one."""
    centre: bool | None = None
    """Whether it was trained on activations that were mean-centred over their width, where its files leave that open."""
    normalise: Literal["none", "constant_norm", "layer_norm"] | None = None
    """What was done to every input in training, where the files don't say it: scaled to the norm √d_in, or standardised."""
    activation: Literal["relu", "topk", "jumprelu"] | None = None
    """Its activation function, where the files are nothing but weights; with ``topk`` goes ``k``."""
    k: Annotated[int, Field(ge=1)] | None = None
    pre_bias: bool | None = None
    """Whether the decoder's bias is subtracted from its input, where the files are nothing but weights."""
    weights: Weights = None


class Neurons(Section):
    """A control: the neurons of an MLP, of which the ``k`` largest count on every token."""

    kind: Literal["neurons"]
    hookpoint: str
    k: Annotated[int, Field(ge=1)]
    weights: Weights = None


class RandomCoder(Section):
    """A control: a TopK coder whose directions are drawn at random."""

    kind: Literal["random"]
    hookpoint: str
    latents: Annotated[int, Field(ge=1)]
    k: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Beside the seed of params.yaml."""
    weights: Weights = None


def _kind_of_coder(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("kind", "saved")
    return "random" if isinstance(value, RandomCoder) else "neurons" if isinstance(value, Neurons) else "saved"


AnyCoder = Annotated[
    Annotated[Coder, Tag("saved")] | Annotated[Neurons, Tag("neurons")] | Annotated[RandomCoder, Tag("random")],
    Discriminator(_kind_of_coder),
]
