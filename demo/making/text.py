"""Gathers the demo's text from published packages: what its coders are trained on, and what the demo reads.

Documents are held out by a hash of their name, so the coders have seen nothing of what the demo reads.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PASSAGE = 2400
"""Characters of a passage, about: a speech or a chapter is cut into such pieces at the ends of paragraphs or sentences."""


class Passage(NamedTuple):
    """A piece of a document."""

    source: str
    document: str
    text: str


def fetch(command: list[str], folder: Path) -> tarfile.TarFile:
    """Has ``command`` download an archive into ``folder`` and opens it."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    return tarfile.open(archive)


def files(archive: tarfile.TarFile, pattern: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of the files that match ``pattern``, in order of their names."""
    for member in sorted(archive.getmembers(), key=lambda member: member.name):
        if member.isfile() and re.search(pattern, member.name):
            content = archive.extractfile(member)
            assert content is not None
            yield member.name, content.read().decode("utf-8")


def glosses(archive: tarfile.TarFile, pattern: str) -> Iterator[tuple[str, str]]:
    """Yields WordNet's entries as ``word, word: what it means; "an example"``, a document for every forty of one file."""
    for name, text in files(archive, pattern):
        entries = []
        for line in text.splitlines():
            if line.startswith("  "):  # the licence
                continue
            fields, gloss = line.split(" | ", 1)
            parts = fields.split(" ")
            words = [word.split("(")[0].replace("_", " ") for word in parts[4 : 4 + 2 * int(parts[3], 16) : 2]]
            entries.append(f"{', '.join(words)}: {gloss.strip()}")
        random.Random(0).shuffle(entries)
        for start in range(0, len(entries), 40):
            yield f"{name}-{start}", "\n".join(entries[start : start + 40])


def passages(text: str) -> Iterator[str]:
    """Cuts ``text`` into pieces of about ``PASSAGE`` characters, each of whole paragraphs or, where those are long, sentences."""
    piece = ""
    for part in re.split(r"(?<=\n)(?=\n)|(?<=[.!?] )(?=[A-Z])", text):
        piece += part
        if len(piece) >= PASSAGE:
            yield piece.strip()
            piece = ""
    if len(piece.strip()) > PASSAGE // 4:
        yield piece.strip()


def held_out(document: str) -> bool:
    """Whether a document belongs to the demo's text: one in ten does."""
    return hashlib.sha256(document.encode()).digest()[0] < 26


def read(source: str, p: dict[str, Any]) -> list[Passage]:
    """Returns the passages of a source."""
    with tempfile.TemporaryDirectory() as folder:
        archive = fetch(p["get"], Path(folder))
        documents = (glosses if p.get("glosses") else files)(archive, p["files"])
        found = [Passage(source, name, piece) for name, text in documents for piece in passages(text)]
    print(f"{source}: {len(found):,} passages", file=sys.stderr)
    return found


def some(found: list[Passage], characters: int, generator: random.Random) -> list[Passage]:
    """Returns random passages that come to ``characters``."""
    generator.shuffle(found)
    taken, length = [], 0
    for passage in found:
        if length >= characters:
            break
        taken.append(passage)
        length += len(passage.text)
    return taken


def main() -> None:
    """Writes scratch/train.jsonl and ../corpus.jsonl."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    generator = random.Random(params["seed"])
    train, demo = [], []
    for source, p in params["text"].items():
        found = read(source, p)
        train += some([passage for passage in found if not held_out(passage.document)], p["train"], generator)
        demo += some([passage for passage in found if held_out(passage.document)], p["demo"], generator)
    Path("scratch").mkdir(exist_ok=True)
    for path, chosen in ((Path("scratch/train.jsonl"), train), (Path("../corpus.jsonl"), demo)):
        generator.shuffle(chosen)
        rows = [json.dumps({"text": p.text, "source": p.source}, ensure_ascii=False) for p in chosen]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(f"{path}: {len(chosen):,} passages, {sum(len(p.text) for p in chosen):,} characters", file=sys.stderr)


if __name__ == "__main__":
    main()
