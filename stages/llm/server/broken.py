"""Why a connection brought no answer: a fault that passes, or one of certificates, of TLS or of a proxy, which no waiting mends."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import httpx2

from stages.llm.reply import shown
from stages.llm.server.faults import AttemptError

LOOK_SECONDS = 1.0
"""How long it is looked whether a server speaks TLS."""

NAMES = frozenset({62, 63, 64})
"""OpenSSL's codes of a certificate that is for another host name or address."""

DATES = frozenset({9, 10})
"""Those of one that is not valid yet, or not any more."""

ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""What a connection that breaks off raises, as it may at any time."""

NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")
"""OpenSSL's names for bytes of something else than TLS."""


class UnaskedError(httpx2.ReadError):
    """The body is no answer: too large, or compressed and so perhaps too large."""


def fault(error: Exception) -> AttemptError:
    """Returns what an attempt came to that ended with an error of the transport."""
    # It turns several of aiohttp's errors into one that says "timeout"; what happened is behind it.
    origin = error.__cause__
    if isinstance(error, UnaskedError):
        return AttemptError("garbled", f"an answer of {error}")
    if isinstance(origin, aiohttp.ClientConnectorCertificateError):
        return _certificate(origin.certificate_error)
    if isinstance(origin, aiohttp.ClientConnectorSSLError) and not isinstance(origin.os_error, ENDED):
        return _tls(origin.os_error)
    if isinstance(origin, aiohttp.ClientHttpProxyError):
        return _proxy(origin.status)
    if isinstance(origin, aiohttp.ClientConnectorError):
        why = shown(origin.strerror or origin.os_error)
        whom = " to the proxy" if isinstance(origin, aiohttp.ClientProxyConnectionError) else ""
        return AttemptError("down", f"no connection{whom} ({why})", billed=False)
    if isinstance(origin, TimeoutError):
        return AttemptError("down", "no answer in time")
    if isinstance(error, httpx2.ReadError):
        return AttemptError("down", "the answer broke off")
    if isinstance(error, httpx2.TransportError | OSError):
        return AttemptError("down", "the connection broke before an answer came")
    return AttemptError("garbled", "an answer that is no HTTP")


def wants_tls() -> AttemptError:
    """The fault of an address without TLS where a server speaks it."""
    return AttemptError(
        "fatal",
        "no answer without TLS, which the server speaks; write https:// in base_url in runtime.yaml",
        billed=False,
    )


async def speaks_tls(url: httpx2.URL) -> bool:
    """Whether a server begins to speak TLS at an address without it; nothing is sent to it then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            _, writer = await asyncio.open_connection(url.host, url.port or 80, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


def _certificate(error: Exception) -> AttemptError:
    code, why = (
        getattr(error, "verify_code", None),
        shown(getattr(error, "verify_message", "") or str(error)).rstrip("."),
    )
    if code in NAMES:
        said = f"a certificate for another name ({why}); write in base_url in runtime.yaml a name that it is for"
    elif code in DATES:
        said = f"a certificate that is not valid today ({why}); have it renewed, or set the clock of this machine"
    else:
        said = (
            f"a certificate of an authority that is not trusted here ({why}); name the file with that authority's certificate as "
            "ca_bundle of the endpoint in runtime.yaml, or in the environment variable SSL_CERT_FILE"
        )
    return AttemptError("fatal", said, billed=False)


def _tls(error: OSError) -> AttemptError:
    reason = str(getattr(error, "reason", "") or "")
    if reason in NO_TLS:
        said = "no TLS, which https:// in base_url in runtime.yaml asks for; write http:// there, with insecure: true if the network is trusted"
    else:
        said = f"no agreement on TLS ({shown(reason or str(error))}); see what the server wants, such as another version or a certificate"
    return AttemptError("fatal", said, billed=False)


def _proxy(status: int) -> AttemptError:
    if status >= 500:
        return AttemptError("down", f"no connection, as the proxy can't reach the server ({status})", billed=False)
    hint = (
        "give it its name and password in the variable that proxy names"
        if status == 407
        else "use another, or none: see proxy"
    )
    return AttemptError(
        "fatal",
        f"no connection, as the proxy refuses it ({status}); {hint} of the endpoint in runtime.yaml",
        billed=False,
    )
