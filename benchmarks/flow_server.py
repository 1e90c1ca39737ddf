"""A server for `flow.py`: speaks as much of OpenAI's chat completions as a judge needs, and answers at once."""

from __future__ import annotations

import asyncio
import json

from flow_made import said


class Answering(asyncio.Protocol):
    """Answers every request as the judge of `flow_made` would."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Reads requests, and answers those that are whole."""
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            lines = self.received[:end].lower().split(b"\r\n")
            size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
            if len(self.received) < end + 4 + size:
                return
            body, self.received = self.received[end + 4 : end + 4 + size], self.received[end + 4 + size :]
            self.transport.write(answer(json.loads(body)))


def answer(body: dict) -> bytes:
    """A chat completion, as HTTP."""
    form = body.get("response_format", {}).get("json_schema", {}).get("schema")
    content = said(form, body["messages"][-1]["content"])
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912}
    text = json.dumps(
        {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion",
            "created": 1_750_000_000,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        },
        separators=(",", ":"),
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(text) + text


async def serve() -> None:
    """Serves until it is killed; prints its port."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
