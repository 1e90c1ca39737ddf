"""``subject`` and ``cache``: the language model under study, and how activations are stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from stages.params.base import Section


def _check_precision(value: Any) -> Any:
    if value in ("exact", "bf16") or (type(value) is int and 1 <= value <= 23):
        return value
    raise PydanticCustomError("precision", "should be exact, bf16 or the number of mantissa bits kept, 1 to 23")


class Subject(Section):
    """The language model under study."""

    model: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    weights: Literal["trained", "random"] = "trained"
    quantization: Literal["none", "8bit", "4bit"] = "none"


class Cache(Section):
    """In what type the coders compute, and how exactly activations are stored."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Activations of a coder that computes in bfloat16 are stored exactly at a third of the size."""

    precision: Annotated[Literal["exact", "bf16"] | int, BeforeValidator(_check_precision)] = "exact"
    """``exact``, ``bf16`` or the number of mantissa bits kept."""
