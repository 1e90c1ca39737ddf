"""Questions as files that others answer: JSON Lines in the form of OpenAI's Batch API, which ``vllm run-batch`` reads as well.

Every line holds a question's very bytes, and the journal's key as ``custom_id``. manifest.json, beside the files, says what a key
is made of beside the question: to whom and as which sample it is asked, for which reason all lines of a file agree in these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from stages.errors import GlossaError
from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.rehearsal import Noted
from stages.outputs import dumps, write_text

SCHEMA, VERSION = "glossa/batch", 1
MANIFEST = "manifest.json"

MOST_LINES, MOST_BYTES = 50_000, 200_000_000
"""Of a file, as OpenAI's Batch API has it."""

HEAD, TAIL = b'{"custom_id":"', b'","method":"POST","url":"/v1/chat/completions","body":'
KEY = slice(len(HEAD), len(HEAD) + 64)
BODY = slice(KEY.stop + len(TAIL), -2)


class Writer:
    """Writes questions into files of a new folder, each within both limits."""

    def __init__(self, folder: Path, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES):
        self._folder, self._most_lines, self._most_bytes = folder, most_lines, most_bytes
        self._files: list[dict[str, Any]] = []
        self._open: dict[tuple[str, str, int], _Part] = {}
        self.requests = 0

    def add(self, noted: Noted) -> None:
        """Adds one question.

        Raises:
            GlossaError: it alone is larger than a file may be.
        """
        line = HEAD + noted.key.encode() + TAIL + noted.question.body + b"}\n"
        if len(line) > self._most_bytes:
            raise GlossaError(
                f"a question of {len(line):,} bytes is larger than a file of {self._most_bytes:,} bytes; show fewer or shorter "
                "examples, or allow larger files"
            )
        name = (noted.options.endpoint, noted.options.model, noted.question.number)
        part = self._open.get(name)
        if part is None or part.lines == self._most_lines or part.size + len(line) > self._most_bytes:
            self._close(name)
            number = len(self._files) + len(self._open) + 1
            part = self._open[name] = _Part(self._folder / f"requests-{number:05}.jsonl")
        part.write(line)
        self.requests += 1

    def finish(self, stage: tuple[str, ...]) -> None:
        """Closes the files and says, in the manifest, what they hold."""
        for name in list(self._open):
            self._close(name)
        files = sorted(self._files, key=lambda file: file["name"])
        content = {
            "schema": SCHEMA,
            "version": VERSION,
            "stage": " ".join(stage),
            "requests": self.requests,
            "files": files,
        }
        write_text(self._folder / MANIFEST, dumps(content))

    def _close(self, name: tuple[str, str, int]) -> None:
        part = self._open.pop(name, None)
        if part is not None:
            endpoint, model, sample = name
            self._files.append({"endpoint": endpoint, "model": model, "sample": sample, **part.close()})


class _Part:
    """A file that is being written."""

    def __init__(self, path: Path):
        self.path, self.lines, self.size = path, 0, 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("xb")

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._digest.update(line)
        self.lines += 1
        self.size += len(line)

    def close(self) -> dict[str, Any]:
        self._file.close()
        return {"name": self.path.name, "requests": self.lines, "bytes": self.size, "sha256": self._digest.hexdigest()}


class Place(NamedTuple):
    """Where a question stands."""

    file: int
    start: int
    end: int


class Exported:
    """A folder of questions, by their keys."""

    def __init__(self, manifest: Path):
        """Reads all files.

        Raises:
            GlossaError: there is no manifest of a version that this code knows, or a file is not as it was written.
        """
        self.folder = manifest.parent
        self.files = _read_manifest(manifest)
        self.places: dict[str, Place] = {}
        for number, file in enumerate(self.files):
            digest, start = hashlib.sha256(), 0
            for line in lines(self.folder / file["name"]):
                digest.update(line)
                self.places[line[KEY].decode(errors="replace")] = Place(number, start, start + len(line))
                start += len(line)
            if digest.hexdigest() != file["sha256"]:
                raise GlossaError(
                    f"expected {self.folder / file['name']} as it was exported, but it is another; export it again into a new folder"
                )

    def call(self, key: str, response: bytes, status: int) -> Call:
        """Returns the call that ``response`` makes of the question ``key``."""
        place = self.places[key]
        file = self.files[place.file]
        with (self.folder / file["name"]).open("rb") as stream:
            stream.seek(place.start)
            line = stream.read(place.end - place.start)
        return Call(key, file["endpoint"], canonical.CHAT, file["sample"], status, line[BODY], response)

    def model(self, key: str) -> str:
        """Returns the model that the question ``key`` is for."""
        return self.files[self.places[key].file]["model"]


def lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file; raises GlossaError if it can't be read."""
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise GlossaError(
            f"expected lines of JSON in {path}, but it can't be read: {error.strerror}; name another file"
        ) from None


def _read_manifest(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
        is_ours = (content["schema"], content["version"]) == (SCHEMA, VERSION)
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise GlossaError(
            f"expected the {MANIFEST} of an export in {path.parent}, version {VERSION}, but there is none; name the folder that "
            "glossa batch export wrote with --requests"
        )
    return content["files"]
