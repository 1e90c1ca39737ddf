"""A server of chat completions on the loopback that does what a script says and counts what it is sent.

In a test: ``with Server(script) as server``. In a process of its own: ``python -m tests.llm.scripted_server --latency 0.05``
prints its port; ``GET /counts`` then tells how often each body came and how many calls were in flight at most.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Action(NamedTuple):
    """What to do with one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    delay: float = 0.0
    cut: int | None = None
    """Bytes of the response after which the connection breaks."""
    hang: bool = False


class Asked(NamedTuple):
    """One request."""

    digest: str
    body: dict[str, Any]
    n: int
    """How often it came, this time included."""
    headers: dict[str, str]
    path: str = ""
    """With what stands behind its ``?``."""


Script = Callable[[Asked], Action]


def chance(digest: str, salt: str = "") -> float:
    """A number in [0, 1) that belongs to a request."""
    return int(hashlib.sha256((digest + salt).encode()).hexdigest()[:12], 16) / 16**12


def error(status: int, message: str = "", code: str | None = None, **headers: str) -> Action:
    """An error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "code": code, "type": None}}).encode()
    return Action(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that a request asks for."""
    return body.get("response_format", {}).get("json_schema", {}).get("schema")


def verdicts(asked: Asked) -> dict[str, Any]:
    """An object of the form that is asked for, the same every time."""
    schema = schema_of(asked.body) or {"properties": {}}
    values = {}
    for key, part in schema["properties"].items():
        drawn = chance(asked.digest, key)
        if "enum" in part:
            values[key] = part["enum"][int(drawn * len(part["enum"]))]
        elif part["type"] == "integer":
            values[key] = int(10 * drawn)
        else:
            values[key] = drawn < 0.5 if part["type"] == "boolean" else f"fires on {drawn:.3f}"
    return values


def completion(
    asked: Asked,
    content: str | None = None,
    finish: str = "stop",
    tokens: list[dict[str, Any]] | None = None,
    usage: dict[str, Any] | None = None,
    **message: Any,
) -> Action:
    """A chat completion; without ``content`` a good one, its tokens and log-probabilities included if asked for."""
    limit = asked.body.get("max_tokens") or asked.body.get("max_completion_tokens") or 10**6
    if content is None:
        text = f"Waves, {asked.digest[:6]}, seed {asked.body.get('seed')}"
        content = json.dumps(verdicts(asked)) if schema_of(asked.body) else text
    if tokens is None and asked.body.get("logprobs"):
        tokens = spelt(content, asked.body["top_logprobs"])
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    if tokens is not None:
        choice["logprobs"] = {"content": tokens}
    counted = {"prompt_tokens": len(json.dumps(asked.body["messages"])) // 4, "completion_tokens": min(12, limit)}
    return Action(
        body=json.dumps(
            {
                "id": f"chatcmpl-{asked.digest[:12]}",
                "object": "chat.completion",
                "created": 1,
                "model": asked.body["model"],
                "choices": [choice],
                "usage": counted if usage is None else usage,
            }
        ).encode()
    )


def spelt(content: str, tops: int) -> list[dict[str, Any]]:
    """``content`` as tokens of a character each, but for the labels, each 0.8 sure."""
    pieces = content.replace("true", "\0T\0").replace("false", "\0F\0").split("\0")
    tokens = []
    for piece in pieces:
        if piece in ("T", "F"):
            label, other = ("true", "false") if piece == "T" else ("false", "true")
            likely = [(label, -0.2231435513), (other, -1.6094379124), (" ", -9.0), ("x", -10.0), ("y", -11.0)][:tops]
            tokens.append(token(label, -0.2231435513, likely))
        else:
            tokens += [token(character, -0.01, [(character, -0.01)] * tops) for character in piece]
    return tokens


def token(text: str, logprob: float, top: list[tuple[str, float]]) -> dict[str, Any]:
    """One token of ``choices[0].logprobs.content``."""
    return {**_one(text, logprob), "top_logprobs": [_one(*other) for other in top]}


def _one(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def good(asked: Asked) -> Action:
    """Answers as it should."""
    return completion(asked)


def faulty(latency: float = 0.0, busy: float = 0.0, malformed: float = 0.0, spread: float = 0.0) -> Script:
    """A script by shares: of first attempts that get a 429, and of bodies whose answer can't be read."""

    def script(asked: Asked) -> Action:
        delay = latency + spread * chance(asked.digest, f"delay{asked.n}")
        if asked.n == 1 and chance(asked.digest, "busy") < busy:
            return error(429, "too fast", retry_after="0.05")
        if chance(asked.digest, "malformed") < malformed:
            return completion(asked, content='I would say {"a": true')._replace(delay=delay)
        return completion(asked)._replace(delay=delay)

    return script


class Server:
    """The server in a thread of its own, from ``with`` on."""

    def __init__(self, script: Script = good, tls: ssl.SSLContext | None = None):
        self.script, self.tls = script, tls
        self.calls: list[Asked] = []
        self.counts: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Transport] = set()

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Begins to listen."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    @property
    def url(self) -> str:
        """What belongs into ``base_url``."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Server:
        self._listening = self._loop.run_until_complete(self.listen())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._listening.close()
        for transport in list(self._connections):
            transport.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server):
        self.server = server
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.received[:end].decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = int(headers.get("content-length", 0))
            if len(self.received) < end + 4 + size:
                return
            body, self.received = self.received[end + 4 : end + 4 + size], self.received[end + 4 + size :]
            self.answer(first, headers, body)

    def answer(self, first: str, headers: dict[str, str], body: bytes) -> None:
        server = self.server
        if first.startswith("GET /counts"):
            told = {"counts": server.counts, "most_in_flight": server.most_in_flight}
            self.write(Action(body=json.dumps(told).encode()))
            return
        digest = hashlib.sha256(body).hexdigest()
        server.counts[digest] += 1
        asked = Asked(digest, json.loads(body), server.counts[digest], headers, first.split(" ")[1])
        server.calls.append(asked)
        server.in_flight += 1
        server.most_in_flight = max(server.in_flight, server.most_in_flight)
        action = server.script(asked)
        if action.hang:
            return
        asyncio.get_running_loop().call_later(action.delay, self.finish, action)

    def finish(self, action: Action) -> None:
        self.server.in_flight -= 1
        self.write(action)

    def write(self, action: Action) -> None:
        if self.transport.is_closing():
            return
        headers = {"content-type": "application/json", "content-length": str(len(action.body)), **action.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        response = f"HTTP/1.1 {action.status} X\r\n{lines}\r\n".encode() + action.body
        self.transport.write(response if action.cut is None else response[: action.cut])
        if action.cut is not None:
            self.transport.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("latency", "busy", "malformed", "spread"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    listening = await (server := Server(faulty(**vars(parser.parse_args())))).listen()
    print(server.port, flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
