"""OpenAI's batch service on the loopback, as far as docs/batch.md asks it: files, and batches that are completed at once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.llm.scripted_server import Asked, good


class Service(BaseHTTPRequestHandler):
    files: dict[str, bytes]
    batches: dict[str, dict[str, Any]]
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            head = f"Content-Type: {self.headers['Content-Type']}\n\n".encode()
            parts = {
                part.get_param("name", header="Content-Disposition"): part
                for part in message_from_bytes(head + content).walk()
            }
            assert parts["purpose"].get_payload() == "batch"
            payload = parts["file"].get_payload(decode=True)
            assert isinstance(payload, bytes)
            self._say({"id": self._keep(payload), "object": "file"})
        else:
            asked = json.loads(content)
            assert (self.path, asked["endpoint"], asked["completion_window"]) == (
                "/v1/batches",
                "/v1/chat/completions",
                "24h",
            )
            name = f"batch_{len(self.batches)}"
            output = self._keep(b"".join(map(_answered, self.files[asked["input_file_id"]].splitlines())))
            self.batches[name] = {
                "id": name,
                "object": "batch",
                "status": "completed",
                "output_file_id": output,
                "error_file_id": None,
            }
            self._say(self.batches[name])

    def do_GET(self) -> None:
        if found := re.fullmatch(r"/v1/files/(\w+)/content", self.path):
            self._send(self.files[found[1]])
        else:
            self._say(self.batches[self.path.rpartition("/")[2]])

    def _keep(self, content: bytes) -> str:
        name = f"file_{len(self.files)}"
        self.files[name] = content
        return name

    def _say(self, value: dict[str, Any]) -> None:
        self._send(json.dumps(value).encode())

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _answered(line: bytes) -> bytes:
    asked = json.loads(line)
    body = json.loads(good(Asked(asked["custom_id"], asked["body"], 1, {})).body)
    response = {"status_code": 200, "request_id": "r", "body": body}
    return (
        json.dumps({"id": "i", "custom_id": asked["custom_id"], "response": response, "error": None}).encode() + b"\n"
    )


@contextmanager
def serving() -> Iterator[str]:
    """Yields the address of one, up to ``/v1``."""

    class Bound(Service):
        files: dict[str, bytes] = {}  # noqa: RUF012 - of this one
        batches: dict[str, dict[str, Any]] = {}  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
