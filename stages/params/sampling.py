"""``sampling``: which latents are explained, and from which windows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from stages import registry
from stages.params.base import Section, only_known


def _read_choice(value: Any) -> Any:
    """``latents`` may be written as ``all``, ``{first: N}``, ``{random: N}`` or a list of latents."""
    if value == "all":
        return {"how": "all"}
    if isinstance(value, list) and value and all(type(latent) is int and latent >= 0 for latent in value):
        return {"how": "list", "latents": tuple(value)}
    if isinstance(value, dict) and len(value) == 1:
        (how, n) = next(iter(value.items()))
        if how in ("first", "random") and type(n) is int and n >= 1:
            return {"how": how, "n": n}
    forms = {"forms": "all, {first: N}, {random: N} with N at least 1, or a list of latents, whole numbers from 0 up"}
    raise PydanticCustomError("choice", "should be {forms}", forms)


class Choice(Section):
    """Which latents are explained."""

    how: Literal["all", "first", "random", "list"]
    n: Annotated[int, Field(ge=1)] | None = None
    latents: tuple[Annotated[int, Field(ge=0)], ...] = ()


RANDOM = {"random": 100}
"""The negatives that scorers are given unless params.yaml says how many random ones: the paper's."""


def _known_kinds(value: Any) -> Any:
    return only_known(value, registry.NEGATIVES)


def _asked_for(value: dict[str, int]) -> dict[str, int]:
    """Leaves out kinds of which there are 0, so that it is the same whether they are written, or known at all."""
    return {kind: value[kind] for kind in registry.NEGATIVES if value.get(kind)}


Negatives = Annotated[dict[str, Annotated[int, Field(ge=0)]], BeforeValidator(_known_kinds), AfterValidator(_asked_for)]
"""``{kind: n}``: how many windows without the latent are taken, by the way they are found (``registry.NEGATIVES``); only kinds of
which there are more than 0."""


def _with_random(value: Any) -> Any:
    return RANDOM | value if isinstance(value, dict) else value


class Train(Section):
    """The windows shown to an explainer."""

    strategy: Literal["quantile", "random", "top", "mix"] = "quantile"
    n: Annotated[int, Field(ge=1)] = 40
    negatives: Negatives = Field(default_factory=dict)


class Validation(Section):
    """The windows among which an explainer may choose between its explanations; spread over the deciles."""

    n: Annotated[int, Field(ge=0)] = 0
    negatives: Negatives = Field(default_factory=dict)


class Test(Section):
    """The windows held out for the scorers."""

    per_decile: Annotated[int, Field(ge=1)] = 10
    negatives: Annotated[Negatives, BeforeValidator(_with_random)] = Field(default_factory=RANDOM.copy)


class Sampling(Section):
    """Which latents are explained, and from which windows."""

    latents: Annotated[Choice, BeforeValidator(_read_choice)]
    min_activations: Annotated[int, Field(ge=1)] = 200
    window: Annotated[int, Field(ge=4)] = 32
    centre: Annotated[int, Field(ge=0)] | None = None
    """The column of a window at which its strongest token stands; by default rows are cut into blocks."""
    skip_first: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """How many first columns of every row are no text, so that activations there don't count; ``auto`` is 1 where rows begin with no
    special token, because a model puts there what it attends to when it attends to nothing, and 0 elsewhere."""
    across_documents: bool = True
    """Whether a window may hold the end of a document and the beginning of another."""
    train: Train = Train()
    validation: Validation = Validation()
    test: Test = Test()
    embedder: str = "all-MiniLM-L6-v2"
    """By whose sentence embeddings semantic negatives are found."""
