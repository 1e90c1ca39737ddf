"""Which authorities may vouch for a server."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import NamedTuple

from stages import paths
from stages.errors import GlossaError, said

FILES, FOLDERS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), "SSL_CERT_DIR"
"""Variables that name certificates of authorities: a file, or a folder in the second, and folders."""

HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The name by which OpenSSL looks for a certificate in a folder."""


class _Named(NamedTuple):
    place: str
    """Who names it."""
    path: Path


def context(bundle: str | None, where: str) -> ssl.SSLContext | None:
    """Returns the context of connections whose servers are vouched for by authorities that somebody names, None if nobody does.

    ``bundle`` is what runtime.yaml says at ``where``, a file or a folder; if that is None, the environment's ``SSL_CERT_FILE``,
    ``SSL_CERT_DIR`` (folders, with colons between them) and ``REQUESTS_CA_BUNDLE``, all that are set. They stand in the place of the system's.

    Raises:
        GlossaError: one of these is no certificate.
    """
    found = _named(bundle, where)
    if not found:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for place, path in found:
        if path.is_dir():
            if not _is_hashed(path):
                raise _no_certificate(
                    place, path, "none has the name by which OpenSSL looks for it; run openssl rehash on the folder"
                )
            made.load_verify_locations(capath=path)
            continue
        try:
            made.load_verify_locations(cafile=path)
        except OSError as error:  # as is ssl.SSLError
            why = (
                "there is no such file"
                if isinstance(error, FileNotFoundError)
                else f"it can't be read as one ({said(error)})"
            )
            raise _no_certificate(place, path, f"{why}; name another") from None
    return made


def _named(bundle: str | None, where: str) -> list[_Named]:
    if bundle is not None:
        return [_Named(f"{where} of {paths.RUNTIME}", Path(bundle).expanduser())]
    named = [
        _Named(f"the environment variable {name}", Path(os.environ[name])) for name in FILES if os.environ.get(name)
    ]
    folders = [
        _Named(f"the environment variable {FOLDERS}", Path(folder))
        for folder in os.environ.get(FOLDERS, "").split(os.pathsep)
        if folder
    ]
    # OpenSSL leaves out what is not there, and distributions list folders that may not be; one of all has to be.
    return named + (
        [one for one in folders if one.path.is_dir() and _is_hashed(one.path)] or (folders if not named else [])
    )


def _is_hashed(folder: Path) -> bool:
    return any(HASHED.fullmatch(file.name) for file in folder.iterdir())


def _no_certificate(place: str, path: Path, why: str) -> GlossaError:
    return GlossaError(f"expected certificates of authorities (PEM) in {path}, which {place} names, but {why}")
