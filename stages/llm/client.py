"""The wire: one attempt to get one answer. Nothing else here knows of sockets.

The transport is the ``openai`` package's own, over aiohttp; it carries bytes that we wrote and gives back the bytes that came. What
the package would put on top of it builds every request anew, which takes as long as to send it (0.3 ms each), and its models of what
is sent and received take more than all else together. What is hashed has to be what is sent, in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import aiohttp
import httpx2
from openai import DefaultAioHttpClient

from stages import __version__
from stages.llm.canonical import CHAT
from stages.llm.faults import AttemptError
from stages.llm.received import text
from stages.llm.redact import Redactor
from stages.llm.reply import shown
from stages.machine.endpoint import Endpoint

MOST_BYTES = 16 * 2**20
"""Bytes of an answer at most."""

CONNECT_SECONDS = 30.0


class Received(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A connection pool to one endpoint; make it and use it in one event loop."""

    def __init__(self, endpoint: Endpoint, api_key: str | None, most_bytes: int = MOST_BYTES):
        self._timeout = endpoint.timeout
        self._url = httpx2.URL(endpoint.base_url + CHAT)
        self._turn = asyncio.Lock()
        self._redacted = Redactor(api_key)

        async def cap(response: httpx2.Response) -> None:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _UnaskedError("compressed bytes, which nobody asked for")
            response.stream = _Capped(response.stream, most_bytes)

        # An explicit number: with None aiohttp falls back to 100 connections. Idle ones are closed before the server does
        # it (uvicorn after 5 s), perhaps just as they are used again. Redirects could carry prompts elsewhere, and so
        # could a proxy that the environment names.
        most = endpoint.concurrency
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=4)
        self._http = DefaultAioHttpClient(
            limits=limits, follow_redirects=False, trust_env=False, event_hooks={"response": [cap]}
        )
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"glossa/{__version__}",
        }
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._headers = httpx2.Headers(headers)
        connect = min(CONNECT_SECONDS, endpoint.timeout)
        self._extensions = {"timeout": httpx2.Timeout(endpoint.timeout, connect=connect).as_dict()}

    async def close(self) -> None:
        """Closes the connections."""
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
            raise _broken(error) from None
        await self._take_turns()
        # A server may repeat the key, above all when it complains of it.
        return Received(response.status_code, response.headers, self._redacted(text(response.content)).encode())

    async def _take_turns(self) -> None:
        """Lets those whose answers came together go on one by one, each until its next request is written.

        Otherwise all would do their work before the first one writes, and their next answers would come together again:
        against a server that takes 50 ms for each of 32 calls, that costs a sixth of them.
        """
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._turn.release)  # a request is written in the next round of the loop


class _UnaskedError(httpx2.ReadError):
    """The body is no answer: too large, or compressed and so perhaps too large."""


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, stream: object, most: int):
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise _UnaskedError(f"more than {self._most:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _broken(error: Exception) -> AttemptError:
    # The transport turns several of aiohttp's errors into one that says "timeout"; what happened is behind it.
    origin = error.__cause__
    if isinstance(error, _UnaskedError):
        return AttemptError("garbled", f"an answer of {error}")
    if isinstance(origin, aiohttp.ClientConnectorError):
        why = shown(origin.strerror or origin.os_error)
        return AttemptError("down", f"no connection ({why})", billed=False)
    if isinstance(origin, TimeoutError):
        return AttemptError("down", "no answer in time")
    if isinstance(error, httpx2.ReadError):
        return AttemptError("down", "the answer broke off")
    if isinstance(error, httpx2.TransportError | OSError):
        return AttemptError("down", "the connection broke before an answer came")
    return AttemptError("garbled", "an answer that is no HTTP")
