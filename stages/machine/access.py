"""What an endpoint's server is sent beside questions, and through which proxy: entries of runtime.yaml with what the environment holds filled in."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from stages import paths
from stages.errors import GlossaError

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
FILLED = re.compile(r"\$(?:\$|\{([^}]*)\}|([A-Za-z0-9_]*))")
"""``$NAME`` or ``${NAME}`` in a value; ``$$`` is a dollar."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110)."""

SECRET = re.compile(
    r"(?:^|[-_.])(?:api)?(?:auth|authorization|cookie|credential|key|password|secret|sig|token)$", re.IGNORECASE
)
"""The name of a header or of a part of a query whose value is a secret."""

OURS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say how a question is sent, which is not for others to say."""


class Proxy(NamedTuple):
    """A proxy."""

    address: str
    login: str | None
    """What it is sent as ``Proxy-Authorization``."""


class Access(NamedTuple):
    """What is sent with every question to an endpoint, whatever it is."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    proxy: Proxy | None
    secrets: tuple[str, ...]
    """What of all this came from the environment, and what it is sent as."""


def filled(text: str, where: str) -> tuple[str, list[str]]:
    """Returns ``text``, which stands at ``where`` in runtime.yaml, with the values of the variables that it names, and these values.

    Raises:
        GlossaError: a variable is not set.
    """
    values: list[str] = []

    def fill(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name = found[1] or found[2]
        value = os.environ.get(name, "").strip()
        if not value:
            raise GlossaError(
                f"expected a value for {where} of {paths.RUNTIME} in the environment variable {name}, but it is not set; set it where "
                "glossa or dvc is started"
            )
        values.append(value)
        return value

    return FILLED.sub(fill, text), values


def names_variables(text: str) -> bool:
    """Whether a value takes something from the environment."""
    return any(found[0] != "$$" for found in FILLED.finditer(text))


def check_value(name: str, value: str, where: str) -> None:
    """Checks what runtime.yaml says of a header or a part of a query; ``where`` it does.

    Raises:
        GlossaError: it names no variable in a way that is known, or holds a secret itself, which is not shown.
    """
    for found in FILLED.finditer(value):
        if found[0] != "$$" and not VARIABLE.fullmatch(found[1] or found[2] or ""):
            raise GlossaError(
                f"{paths.RUNTIME}: {where} should name an environment variable in capitals behind a dollar, such as $LAB_KEY, or spell a "
                "dollar as $$"
            )
    if SECRET.search(name) and not names_variables(value):
        raise GlossaError(
            f"{paths.RUNTIME}: {where} should come from an environment variable, as it looks like a secret, and files are shared; put it "
            f"into one and name that, such as {name}: $LAB_KEY"
        )


def check_header(name: str, where: str) -> None:
    """Checks the name of a header; raises GlossaError if it can't be sent."""
    if not TOKEN.fullmatch(name) or name.lower() in OURS or name.lower().startswith("proxy-"):
        raise GlossaError(
            f"{paths.RUNTIME}: {where} should be a header that servers or gateways read, but {name!r} is "
            f"{'none' if not TOKEN.fullmatch(name) else 'one that says how questions are sent'}; leave it out"
        )


def header(value: str, where: str) -> str:
    """Returns the value of a header; raises GlossaError, without showing it, if it has characters that none can have."""
    if not value.isascii() or not value.isprintable():
        raise GlossaError(
            f"expected printable ASCII in {where} of {paths.RUNTIME}, as that is sent as a header, but there is something else; mend it, or "
            "the environment variable that it names"
        )
    return value


def proxy(text: str, where: str) -> tuple[Proxy, list[str]]:
    """Returns the proxy that ``text``, which stands at ``where`` in runtime.yaml, names, and what of it is secret.

    Raises:
        GlossaError: a variable is not set, or the address is none.
    """
    address, secrets = filled(text, where)
    parts = proxy_parts(address)
    if parts is None:
        raise GlossaError(
            f"expected the address of a proxy in {where} of {paths.RUNTIME}, such as http://proxy.example.org:3128, but it is none; mend it, "
            "or the environment variable that it names"
        )
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return Proxy(plain, None), secrets
    name, password = unquote(parts.username), unquote(parts.password or "")
    login = base64.b64encode(f"{name}:{password}".encode()).decode()
    return Proxy(plain, f"Basic {login}"), [*secrets, parts.password or "", password, login]


def proxy_parts(address: str) -> SplitResult | None:
    """Returns the parts of a proxy's address, None if it is none."""
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_one and parts.path in ("", "/") and not parts.query and not parts.fragment else None
