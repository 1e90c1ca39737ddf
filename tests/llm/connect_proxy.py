"""An HTTP proxy on the loopback, which notes what it sees: of TLS only whom it connects to."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress


class Proxy:
    """The proxy in threads of its own, from ``with`` on."""

    def __init__(self, login: str | None = None, status: int = 200):
        """``login`` is the ``name:password`` that it wants; ``status``, if not 200, is all that it answers."""
        self.heads: list[str] = []
        self._login, self._status = login, status
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listening]

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(2**16)):
                return
            head += more
        self.heads.append(head.decode())
        wanted = self._login and f"Basic {base64.b64encode(self._login.encode()).decode()}"
        status = 407 if wanted and wanted not in head.decode() else self._status
        method, target, _ = head.decode().split(" ", 2)
        if status != 200:
            connection.sendall(f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n".encode())
            return
        host, port = (target if method == "CONNECT" else target.split("/")[2]).rsplit(":", 1)
        other = socket.create_connection((host, int(port)))
        self._sockets.append(other)
        if method == "CONNECT":
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            other.sendall(head)
        threading.Thread(target=_pass_on, args=(connection, other), daemon=True).start()
        _pass_on(other, connection)


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(2**16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
