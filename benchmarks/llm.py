"""How fast the LLM client is, journal, transcript and all: ``python -m benchmarks.llm``.

A server in a process of its own answers every call after 50 ms with five likeliest tokens for each of twelve; requests are of 4.5 kB
and answers of about 5 kB. Three things are measured:

- the share of Little's law (concurrency / latency) that is reached at concurrency 32,
- calls per second of client CPU at concurrency 256, which says how many calls one core can serve, however busy the machine,
- how memory grows over a long run (``--calls 200000`` for the full length).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEER_CALLS_PER_SECOND = 23
"""EleutherAI/delphi 3c2e139 as shipped, against a server with the same latency."""

LATENCY = 0.05
TOKENS = 12


class Answering(asyncio.Protocol):
    """Answers every request with the same bytes after ``LATENCY``."""

    response = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Reads requests."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            start = head.find(b"content-length: ") + 16
            size = int(head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else None])
            if len(self.received) < end + 4 + size:
                return
            self.received = self.received[end + 4 + size :]
            asyncio.get_running_loop().call_later(LATENCY, self.write)

    def write(self) -> None:
        """Answers one."""
        if not self.transport.is_closing():
            self.transport.write(self.response)


def answer() -> bytes:
    """A chat completion of the usual size, as HTTP."""
    content = '{"a": true, "b": false}'
    spelt = ['{"', "a", '":', " true", ', "', "b", '":', " false", "}", "", "", ""]
    top = [
        {"token": t, "logprob": -1.234567 - n, "bytes": [*t.encode()]}
        for n, t in enumerate((" true", " false", " x", "1", "no"))
    ]
    tokens = [{"token": t, "logprob": -0.012345, "bytes": [*t.encode()], "top_logprobs": top} for t in spelt]
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": content},
                "logprobs": {"content": tokens},
            }
        ],
        "usage": {"prompt_tokens": 1100, "total_tokens": 1112, "completion_tokens": TOKENS},
    }
    text = json.dumps(body, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(text) + text


async def serve() -> None:
    Answering.response = answer()
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def served() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.llm", "--serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def ask(url: str, concurrency: int, n: int) -> dict[str, float]:
    """Asks ``n`` questions in this process; returns rate, CPU seconds of a call and megabytes of memory.

    Rate and CPU are those of the last three quarters, without imports, probe and slow start.
    """
    import pyarrow.parquet  # noqa: F401 not a cost of the calls

    from stages.llm import load
    from stages.llm.forms.labels import schema
    from stages.llm.journal.transcript import recording
    from stages.llm.request import Message, Request

    runtime = {"endpoints": {"lab": {"base_url": url, "concurrency": concurrency, "budget": {"calls": 10**9}}}}
    Path("runtime.yaml").write_text(json.dumps(runtime))
    judge = load("judge", {"provider": "openai", "endpoint": "lab", "model": "m", "logprobs": 5, "max_tokens": 100})
    system = Message("system", "You are given an explanation and examples. " * 70)
    user = "The latent fires on words that name a fruit, above all where they are the subject of a sentence. " * 13

    def requests() -> Iterator[Request]:
        for number in range(n):
            yield Request((system, Message("user", f"{user}{number}")), schema(2), logprobs=True)

    with recording(Path("out")):
        for number, found in enumerate(judge.answer(requests())):
            assert found.content == '{"a": true, "b": false}', found
            assert found.probabilities
            if number == n // 4:
                began, cpu, early = time.perf_counter(), time.process_time(), megabytes()
        calls = n - n // 4
        return {
            "rate": calls / (time.perf_counter() - began),
            "cpu": (time.process_time() - cpu) / calls,
            "early": early,
            "late": megabytes(),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def megabytes() -> float:
    """Resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def sockets(url: str, concurrency: int, n: int) -> float:
    """Returns the calls per second of a client that does nothing but send and receive."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 4500\r\n\r\n" + b"x" * 4500
    left = iter(range(n))

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(concurrency)))
    return n / (time.perf_counter() - began)


def measure(url: str, concurrency: int, n: int) -> dict[str, float]:
    """``ask`` in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GLOSSA_HOME": f"{folder}/home", "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-m", "benchmarks.llm", "--ask", url, str(concurrency), str(n)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="calls of the long run [20,000]")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    if arguments.ask:
        url, concurrency, n = arguments.ask
        print(json.dumps(ask(url, int(concurrency), int(n))))
        return
    with served() as url:
        bare = asyncio.run(sockets(url, 32, 4_000))
        law = measure(url, 32, 4_000)
        wide = measure(url, 256, 6_000)
        long = measure(url, 256, arguments.calls)
    little = 32 / LATENCY
    per_core = 1 / wide["cpu"]
    rows = [
        ("calls/s at concurrency 32, 50 ms", law["rate"], f"{law['rate'] / little:.0%} of Little's law ({little:.0f})"),
        (
            "… of bare sockets, for comparison",
            bare,
            f"{bare / little:.0%}; more than that the machine does not give now",
        ),
        ("calls/s of one core at concurrency 32", 1 / law["cpu"], f"{law['cpu'] * 1e6:,.0f} µs a call"),
        ("calls/s of one core at concurrency 256", per_core, f"{wide['cpu'] * 1e6:,.0f} µs a call"),
        ("… of delphi as shipped", PEER_CALLS_PER_SECOND, f"a {per_core / PEER_CALLS_PER_SECOND:.0f}th"),
        (f"MB after {arguments.calls // 4:,} calls", long["early"], f"at most {long['peak']:,.0f}"),
        (f"MB after {arguments.calls:,} calls", long["late"], f"{long['late'] - long['early']:+,.1f}"),
    ]
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, value, note in rows:
        print(f"{name:<40} {value:>8,.0f}   {note}")


if __name__ == "__main__":
    main()
