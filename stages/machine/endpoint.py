"""A server of language models: where it is, how hard it may be worked and what it may cost. Part of runtime.yaml."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stages import paths
from stages.errors import GlossaError
from stages.machine import access, trust
from stages.machine.access import VARIABLE, Access
from stages.params import Section


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
        raise PydanticCustomError(
            "url",
            "should be an address such as https://host/v1, without ? and #; what stands behind a ? belongs into query",
        )
    return value.rstrip("/")


def _text(value: Any) -> Any:
    """What YAML takes for a date or a number and is none, such as a version of an interface."""
    return str(value) if isinstance(value, datetime.date) or type(value) is int else value


def _proxy(value: str) -> str:
    if access.names_variables(value):
        access.check_value("proxy", value, "a proxy under endpoints")
        return value
    if "@" in value:
        raise GlossaError(
            f"{paths.RUNTIME}: a proxy under endpoints should hold no name or password; put the whole address into an environment "
            "variable and name that, such as proxy: $LAB_PROXY"
        )
    if access.proxy_parts(value) is None:
        raise PydanticCustomError("proxy", "should be the address of an HTTP proxy, such as http://host:3128")
    return value


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

    headers: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    """Sent with every question. In values ``$NAME`` stands for an environment variable, as it has to where the name looks like a secret's."""

    query: dict[str, Annotated[str, BeforeValidator(_text)]] = Field(default_factory=dict)
    """Behind the address of every question, such as Azure's ``api-version``; values as those of headers."""

    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    """Address of the HTTP proxy that the server is reached through, or ``$NAME`` of a variable that holds it. The environment's own
    variables of proxies, such as ``HTTPS_PROXY``, are not followed."""

    ca_bundle: str | None = None
    """File, or folder, with the certificates of the authorities that vouch for the server, in the place of those of the environment
    or the system."""

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
        if parts.scheme == "http" and not self.insecure:
            message = None
            if not _is_loopback(parts.hostname or ""):
                message = "has an address without TLS; use https, or set insecure: true if the network is trusted"
            elif self.proxy is not None:
                message = (
                    "has an address without TLS, so its proxy sees all; use https, or set insecure: true if it may"
                )
            if message:
                raise PydanticCustomError("insecure", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _sendable(self) -> Endpoint:
        for name, value in self.headers.items():
            access.check_header(name, "a name in headers of an endpoint")
            access.check_value(name, value, f"the header {name} of an endpoint")
            if name.lower() == "authorization" and self.api_key_env is not None:
                message = (
                    "has a header authorization, which is how the key of api_key_env is sent; leave one of them out"
                )
                raise PydanticCustomError("authorization", "{message}", {"message": message})
        for name, value in self.query.items():
            access.check_value(name, value, f"{name} in the query of an endpoint")
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

    def filled(self, name: str) -> Access:
        """Returns what is sent with every question to this endpoint, called ``name``.

        Raises:
            GlossaError: a variable is not set, or holds what can't be sent.
        """
        secrets: list[str] = []

        def value(kind: str, key: str, text: str) -> str:
            found, values = access.filled(text, f"endpoints.{name}.{kind}.{key}")
            secrets.extend(values)
            return found

        headers = {
            key: access.header(value("headers", key, text), f"endpoints.{name}.headers.{key}")
            for key, text in self.headers.items()
        }
        if (key := self.api_key(name)) is not None:
            headers["Authorization"] = f"Bearer {key}"
            secrets.append(key)
        query = {key: value("query", key, text) for key, text in self.query.items()}
        proxy = None
        if self.proxy is not None:
            proxy, values = access.proxy(self.proxy, f"endpoints.{name}.proxy")
            secrets.extend(values)
        return Access(headers, query, proxy, tuple(secrets))

    def trusted(self, name: str) -> ssl.SSLContext | None:
        """Returns the context of connections to this endpoint, called ``name``; None for that of the system.

        Raises:
            GlossaError: what names the authorities names no certificates.
        """
        if urlsplit(self.base_url).scheme != "https" and self.proxy is None:
            return None
        return trust.context(self.ca_bundle, f"endpoints.{name}.ca_bundle")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
