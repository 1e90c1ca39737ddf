"""The lower end of every chain: the store, the coder, the subject and the corpus of a coder's examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages import gguf, paths
from stages.corpus.tokens import sha256_of
from stages.errors import GlossaError, said
from stages.outputs import file_sha256
from stages.params import Coder
from stages.provenance import lock
from stages.provenance.check import DAMAGE
from stages.provenance.files import GONE, OTHER_HASH
from stages.provenance.node import Node
from stages.provenance.project import Project

CHEAP = 2**27
"""Bytes that are hashed while somebody waits: a fifth of a second's work."""


def locked(project: Project, node: Node, path: Path) -> None:
    """Adds whether an output is what its stage wrote, by the hash in its lock file."""
    stage = project.maker(path)
    if stage is None:
        node.add("lock", path.as_posix(), "differs", "says of no stage that it wrote it; run dvc repro")
        return
    md5 = next(one.md5 for one in project.lock[stage].outs if one.path == path.as_posix())
    if md5 is None:
        node.add("lock", stage, "unchecked", OTHER_HASH)
    elif not path.exists():
        node.add("md5", md5, "unchecked", GONE)
    elif (size := size_of(path)) > CHEAP:
        node.add("md5", md5, "unchecked", f"{size / 2**20:,.0f} MB; glossa audit hashes them")
    else:
        same, by = project.disk.md5(path.as_posix()) == md5, lock.place(stage)
        node.expect("md5", md5, same, by, f"{by}: other bytes")


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def store(project: Project, coder: str, meta: dict[str, Any]) -> Node:
    """The activations that a coder's examples were taken from, and what those were made from."""
    path = paths.latents(coder)
    node = Node("activations", path.as_posix(), stage=project.maker(path))
    node.add("hookpoint", meta["hookpoint"])
    node.add("activations", meta["n_events"])
    locked(project, node, path)
    if path.is_dir():
        # Read as JSON, as opening a Zarr group takes longer than all else.
        try:
            made = json.loads((path / "zarr.json").read_bytes())["attributes"]
            sizes = {name: (path / name).stat().st_size for name in made["files"]}
            node.expect("files", len(sizes), sizes == made["files"], "their lengths", "lengths are other than noted")
            for part in ("coder", "subject", "tokens_sha256"):
                value = made[part]["sha256"] if isinstance(made[part], dict) else made[part]
                node.expect(
                    f"from {part.removesuffix('_sha256')}", value, made[part] == meta[part], "as the examples say"
                )
        except DAMAGE as error:
            node.add("files", "", "differs", f"can't be read: {said(error, whole=True)}")
    node.sources = [_coder(project, coder, meta["coder"]), _subject(project, meta["subject"]), _corpus(project, meta)]
    return node


def _coder(project: Project, name: str, identity: dict[str, Any]) -> Node:
    node = Node("sparse coder", name)
    entry = project.p.coders[name]
    for key, value in identity.items():
        if key not in ("sha256", "weights_sha256") and isinstance(value, str | int | float | bool):
            node.add(key, value)
    node.add("sha256", identity["sha256"])
    weights = identity.get("weights_sha256")
    if weights and isinstance(entry, Coder):
        place = Path(entry.path)
        files = sorted(file for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file())
        if not files:
            node.add("weights_sha256", weights, "unchecked", "its files are not here")
        elif sum(file.stat().st_size for file in files) > CHEAP:
            node.add("weights_sha256", weights, "unchecked", "large files; glossa audit hashes them")
        else:
            found = next((file for file in files if file_sha256(file) == weights), None)
            node.expect("weights_sha256", weights, found is not None, f"{found}", f"no file in {place} has it")
    return node


def _subject(project: Project, identity: dict[str, Any]) -> Node:
    node = Node("subject", identity["model"])
    for key, value in identity.items():
        if key not in ("model", "files", "gguf", "sha256"):
            node.add(key, value)
    node.add("sha256", identity["sha256"])
    if "gguf" in identity:
        try:
            file = gguf.find(project.p.subject.model)
        except GlossaError as error:
            node.add("gguf", identity["gguf"], "unchecked", str(error))
        else:
            is_same = file is not None and gguf.sha256(file) == identity["gguf"]
            node.expect(
                "gguf", identity["gguf"], is_same, "sha256 of the file", f"{project.p.subject.model} has another"
            )
    for name, sha256 in identity.get("files", {}).items():
        file = Path(identity["model"]) / name
        if not file.is_file():
            node.add(name, sha256, "unchecked", "is not here")
        elif file.stat().st_size > CHEAP:
            node.add(name, sha256, "unchecked", f"{file.stat().st_size / 2**20:,.0f} MB; glossa audit hashes them")
        else:
            node.expect(name, sha256, file_sha256(file) == sha256, "sha256 of the file", "the file has another sha256")
    return node


def _corpus(project: Project, meta: dict[str, Any]) -> Node:
    node = Node("corpus", paths.TOKENS.as_posix(), stage=project.maker(paths.TOKENS))
    for key, value in project.p.corpus.model_dump().items():
        if isinstance(value, str | int):
            node.add(key, value)
    locked(project, node, paths.TOKENS)
    sha256 = meta["tokens_sha256"]
    try:
        tokens = project.tokens
        node.add("tokenizer", json.dumps(tokens.meta["tokenizer"], sort_keys=True))
        if tokens.rows * tokens.context_length * 4 > CHEAP:
            same, by = tokens.sha256 == sha256, "meta.json; glossa audit hashes the tokens"
        else:
            same, by = sha256_of(tokens.matrix) == sha256, "sha256 of the tokens"
        node.expect("tokens_sha256", sha256, same, by, "the tokens here have another")
    except DAMAGE as error:
        node.add("tokens_sha256", sha256, "unchecked", said(error, whole=True))
    return node
