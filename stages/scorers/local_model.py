"""The judge of scorers that need the probabilities of given texts: a language model in this process."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from stages import registry


def _in_this_process(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("provider") in registry.PROVIDERS and value["provider"] != "transformers":
        raise PydanticCustomError(
            "provider",
            "should be a model with provider: transformers, as this kind needs the probabilities of given texts, which chat "
            "servers do not tell",
        )
    return value


LocalModel = Annotated[dict[str, Any], AfterValidator(_in_this_process)]
