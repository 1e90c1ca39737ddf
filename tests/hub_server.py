"""A server on this machine that serves folders, and takes data sets, as the Hugging Face Hub does, as far as its client library asks."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests import hub_uploads

LARGE = (".safetensors", ".npz", ".pt", ".bin")
"""Files that the Hub keeps in large file storage, named by their sha256."""


@dataclass
class Repository:
    """Commits, and branches that point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    token: str | None = None
    """If it is private."""
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    """Of the commits that were uploaded."""

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        digest = hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()
        self.commits[digest] = files
        self.branches[branch] = digest
        return digest

    def find(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Hub:
    """The server, what it holds, what it was asked for, and the damage that it does."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: bool = False
    """Sends half of every large file, as a proxy does that lost its own connection."""
    flip: bool = False
    """Changes a byte of every large file."""
    status: int | None = None
    """Answers this to everything."""
    writer: str | None = None
    """The token of whoever may write; nobody else may."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files that were uploaded, by their sha256."""

    def add(self, name: str, *folders: Path, inside: str = "") -> Repository:
        """A repository with the files of ``folders``, each below its own name, or all of one at its root."""
        files = {}
        for folder in folders:
            prefix = "" if inside == "." else f"{inside or folder.name}/"
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    files[prefix + file.relative_to(folder).as_posix()] = file.read_bytes()
        self.repositories[name] = Repository()
        self.repositories[name].commit(files)
        return self.repositories[name]


def oid(content: bytes) -> str:
    """The name that Git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    return name.endswith(LARGE)


class Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, code: str = "", message: str = "", says: Any = None) -> None:
        self.says = says or {}
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.0"  # closes every connection, so that no client stays when the server goes

    def log_message(self, format: str, *args: Any) -> None:
        path = urlsplit(self.path).path
        if path != "/api/agent-harnesses":  # which the client library asks for by itself, once a day
            self.hub.asked.append(f"{self.command} {path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        try:
            headers, body = self.answer(unquote(urlsplit(self.path).path))
            status = 200
        except Refusal as refusal:
            status, headers, body = refusal.status, refusal.headers, b"{}"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers or self.command == "GET":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def answer(self, path: str) -> tuple[dict[str, str], bytes]:
        if self.hub.status is not None:
            raise Refusal(self.hub.status)
        api = re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/(.+?))?/?", path)
        if api:
            repository = self.repository(api[1])
            revision, _, inside = (api[3] or "main").partition("/") if api[2] == "tree" else (api[3] or "main", "", "")
            commit = self.commit(repository, revision)
            if api[2] == "tree":
                return self.tree(repository.commits[commit], inside)
            siblings = [{"rfilename": name} for name in repository.commits[commit]]
            info = {"id": api[1], "modelId": api[1], "sha": commit, "siblings": siblings, "private": False, "tags": []}
            return {"Content-Type": "application/json"}, json.dumps(info).encode()
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if file:
            return self.file(file[1], file[2], file[3])
        raise Refusal(404)

    def do_POST(self) -> None:
        self._taken(hub_uploads.post)

    def do_PUT(self) -> None:
        self._taken(hub_uploads.put)

    def _taken(self, take: Any) -> None:
        try:
            content = self._content()
            if self.hub.status is not None:
                raise Refusal(self.hub.status)
            status, headers, body = 200, {"Content-Type": "application/json"}, json.dumps(take(self, content)).encode()
        except Refusal as refusal:
            status, headers, body = refusal.status, refusal.headers, json.dumps(refusal.says).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(parts)

    def repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given == "stale":
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        if repository is None or (repository.token and given != repository.token):
            raise Refusal(401 if not given else 404, "RepoNotFound", "Repository not found")
        return repository

    def commit(self, repository: Repository, revision: str) -> str:
        commit = repository.find(revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", "Invalid rev id")
        return commit

    def tree(self, files: dict[str, bytes], inside: str) -> tuple[dict[str, str], bytes]:
        entries = []
        for name, content in files.items():
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": oid(content)}
            if is_large(name):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
            entries.append(entry)
        found = [entry for entry in entries if entry["path"].startswith(inside)]
        return {"Content-Type": "application/json"}, json.dumps(found).encode()

    def file(self, name: str, revision: str, path: str) -> tuple[dict[str, str], bytes]:
        repository = self.repository(name)
        commit = self.commit(repository, revision)
        if repository.gated:
            raise Refusal(403, "GatedRepo", "Access to this model is restricted")
        if path not in repository.commits[commit]:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        content = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{oid(content)}"', "Content-Length": str(len(content))}
        if is_large(path):
            headers |= {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
            if self.command == "GET" and self.hub.cut:
                content = content[: len(content) // 2]
            if self.command == "GET" and self.hub.flip:
                content = bytes([content[0] ^ 1]) + content[1:]
        if self.command == "GET":
            del headers["Content-Length"]  # of what is sent, not of the file
        return headers, content


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """Runs a hub and points the client library to it, with an empty cache and no token."""
    from huggingface_hub import constants

    class Bound(Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        Bound.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", Bound.hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{Bound.hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        if loaded := sys.modules.get("transformers.utils.hub"):
            monkeypatch.setattr(loaded, "_hf_api", None)  # it would ask the hub of an earlier test, again and again
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        try:
            yield Bound.hub
        finally:
            server.shutdown()
            thread.join()
