"""A server of language models: where it is, how hard it may be worked and what it may cost. Part of runtime.yaml."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stages import paths
from stages.errors import GlossaError
from stages.params import Section

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def _url(value: str) -> str:
    if "@" in value:  # a mistake is named without its value, which holds a secret
        raise GlossaError(
            f"{paths.RUNTIME}: a base_url under endpoints should hold no name or password; put the key into an "
            "environment variable and name that in api_key_env"
        )
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment:
        raise PydanticCustomError("url", "should be an address such as https://host/v1, without ? and #")
    return value.rstrip("/")


def _variable(value: str) -> str:
    if not VARIABLE.fullmatch(value):
        raise GlossaError(
            f"{paths.RUNTIME}: an api_key_env under endpoints should be the name of an environment variable in "
            "capitals, such as OPENAI_API_KEY, never the key itself"
        )
    return value


class Price(Section):
    """What a million tokens cost, in dollars."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cached: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Of input that the server had seen before; the same as ``input`` when None."""
    batch: Annotated[float, Field(gt=0, le=1)] = 1
    """What an answer that comes in a batch costs, as a share of these: a half at OpenAI."""


class Budget(Section):
    """The most that an endpoint may ever cost, by the journal's count; no limit when None."""

    calls: Annotated[int, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class Endpoint(Section):
    """An entry of ``endpoints`` in runtime.yaml; params.yaml refers to it by its name."""

    base_url: Annotated[str, AfterValidator(_url)]
    """Up to and with ``/v1``."""

    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None
    """The name of the environment variable that holds the key, never the key."""

    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Calls in flight at most; fewer as long as the server says that they are too many."""

    timeout: Annotated[float, Field(gt=0)] = 600
    """Seconds until an attempt without an answer is given up and made again."""

    patience: Annotated[float, Field(ge=0)] = 3600
    """Seconds that a call is tried for, and the longest Retry-After that is waited for, before the stage stops."""

    insecure: bool = False
    """Whether a host other than this machine may be reached without TLS."""

    prices: dict[str, Price] = Field(default_factory=dict)
    """By model."""

    budget: Budget = Budget()

    @model_validator(mode="after")
    def _encrypted(self) -> Endpoint:
        parts = urlsplit(self.base_url)
        if parts.scheme == "http" and not self.insecure and not _is_loopback(parts.hostname or ""):
            message = "has an address without TLS; use https, or set insecure: true if the network is trusted"
            raise PydanticCustomError("insecure", "{message}", {"message": message})
        return self

    def api_key(self, name: str) -> str | None:
        """Returns the key from the environment, None if this endpoint, called ``name``, needs none.

        Raises:
            GlossaError: the variable is not set.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise GlossaError(
                f"expected the key of the endpoint {name} in the environment variable {self.api_key_env}, "
                "but it is not set; set it where glossa or dvc is started"
            )
        return key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
