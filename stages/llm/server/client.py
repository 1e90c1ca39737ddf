"""The wire: one attempt to get one answer. Nothing else here knows of sockets.

The transport is the ``openai`` package's own, over aiohttp; it carries bytes that we wrote and gives back the bytes that came. What
the package would put on top of it builds every request anew, which takes as long as to send it (0.3 ms each), and its models of what
is sent and received take more than all else together. What is hashed has to be what is sent, in any case.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import aiohttp
import httpx2
from openai import DefaultAioHttpClient

from stages import __version__
from stages.llm.journal.canonical import CHAT
from stages.llm.received import text
from stages.llm.server import broken
from stages.llm.server.broken import UnaskedError
from stages.llm.server.faults import AttemptError
from stages.llm.server.redact import Redactor
from stages.machine.access import Access
from stages.machine.endpoint import Endpoint

MOST_BYTES = 16 * 2**20
"""Bytes of an answer at most."""

CONNECT_SECONDS = 30.0

LOGGER = logging.getLogger("httpx2")
"""Where the transport writes the address of every request, what stands behind its ? included."""


class Received(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A connection pool to one endpoint; make it and use it in one event loop."""

    def __init__(
        self, endpoint: Endpoint, access: Access, trusted: ssl.SSLContext | None = None, most_bytes: int = MOST_BYTES
    ):
        """``trusted`` says which authorities may vouch for the server, those of the system when None."""
        self._timeout = endpoint.timeout
        self._url = httpx2.URL(endpoint.base_url + CHAT).copy_merge_params(access.query)
        self._turn = asyncio.Lock()
        self._redacted = Redactor(access.secrets)
        self._is_unsure = self._url.scheme == "http" and access.proxy is None

        async def cap(response: httpx2.Response) -> None:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise UnaskedError("compressed bytes, which nobody asked for")
            response.stream = _Capped(response.stream, most_bytes)

        # An explicit number: with None aiohttp falls back to 100 connections. Idle ones are closed before the server does
        # it (uvicorn after 5 s), perhaps just as they are used again. Redirects could carry prompts, and the key,
        # elsewhere, and so could a proxy that the environment names.
        proxy = None
        if access.proxy is not None:
            login = {"Proxy-Authorization": access.proxy.login} if access.proxy.login else {}
            proxy = httpx2.Proxy(access.proxy.address, headers=login)
        most = endpoint.concurrency
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=4)
        self._http = DefaultAioHttpClient(
            limits=limits,
            follow_redirects=False,
            trust_env=False,
            proxy=proxy,
            verify=trusted or True,
            event_hooks={"response": [cap]},
        )
        self._headers = httpx2.Headers({"User-Agent": f"glossa/{__version__}"})
        self._headers.update(access.headers)
        self._headers.update({"Accept-Encoding": "identity", "Content-Type": "application/json"})
        connect = min(CONNECT_SECONDS, endpoint.timeout)
        self._extensions = {"timeout": httpx2.Timeout(endpoint.timeout, connect=connect).as_dict()}
        LOGGER.addFilter(self._without_secrets)

    async def close(self) -> None:
        """Closes the connections."""
        LOGGER.removeFilter(self._without_secrets)
        await self._http.aclose()

    async def send(self, body: bytes) -> Received:
        """Sends one request and returns what came back, whatever its status.

        Raises:
            AttemptError: nothing did, or not all of it.
        """
        request = httpx2.Request(
            "POST", self._url, headers=self._headers, content=body, extensions=self._extensions.copy()
        )
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._http.send(request)
        except TimeoutError:
            raise AttemptError("down", f"no answer within {self._timeout:g} s") from None
        except (httpx2.RequestError, aiohttp.ClientError, OSError) as error:
            fault = broken.fault(error)
            if fault.billed and not isinstance(error, httpx2.ReadError) and await self._wants_tls():
                fault = broken.wants_tls()
            raise fault from None
        if response.status_code == 400 and self._is_unsure and b"HTTPS" in response.content:  # as nginx and Go say it
            raise broken.wants_tls()
        self._is_unsure = False
        await self._take_turns()
        # A server may repeat a secret, above all when it complains of it.
        return Received(response.status_code, response.headers, self._redacted(text(response.content)).encode())

    async def _wants_tls(self) -> bool:
        """Whether the server, which has never answered, speaks TLS though the address does not say so; looked at once."""
        is_unsure, self._is_unsure = self._is_unsure, False
        return is_unsure and await broken.speaks_tls(self._url)

    def _without_secrets(self, record: logging.LogRecord) -> bool:
        """Takes secrets out of what is logged."""
        record.msg, record.args = self._redacted(record.getMessage()), ()
        return True

    async def _take_turns(self) -> None:
        """Lets those whose answers came together go on one by one, each until its next request is written.

        Otherwise all would do their work before the first one writes, and their next answers would come together again:
        against a server that takes 50 ms for each of 32 calls, that costs a sixth of them.
        """
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._turn.release)  # a request is written in the next round of the loop


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, stream: object, most: int):
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise UnaskedError(f"more than {self._most:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
