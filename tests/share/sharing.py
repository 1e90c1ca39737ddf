"""A producer, consumers and colleagues, each with git and DVC of their own, between them a bare repository and a remote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from tests.clones import ROOT
from tests.llm.scripted_server import Server
from tests.provenance import small
from tests.repositories import Repository

LLM = "data/explanations/one/llm"
CODERS = list(small.PARAMS["coders"])
SCORES = [f"score {coder} {explainer} detection" for coder in CODERS for explainer in small.EXPLAINERS]


class Published(NamedTuple):
    """A project that was pushed, code to a bare repository and data to a folder, under the tag v1.0.0."""

    producer: Repository
    bare: Path
    store: Path

    @classmethod
    def at(cls, place: Path) -> Published:
        """The one that lies there."""
        return cls(Repository(place / "producer"), place / "bare.git", place / "store")


def set_up(place: Path, built: Path) -> Published:
    """Publishes a project that has run in ``place``."""
    shutil.copytree(built, place / "producer")
    for name in ("tmp", "site"):
        shutil.rmtree(place / "producer/.dvc" / name)
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, place / "producer" / name)
    found = Published.at(place)
    producer = found.producer
    producer.run("git", "init", "-q", "-b", "main")
    producer.run("dvc", "remote", "add", "-q", "-d", "store", str(place / "store"))
    producer.commit("First run")
    producer.run("git", "clone", "-q", "--bare", ".", str(found.bare))
    producer.run("git", "remote", "add", "origin", str(found.bare))
    publish(producer, "v1.0.0")
    return found


def publish(producer: Repository, tag: str) -> None:
    producer.run("dvc", "push")
    producer.run("git", "tag", tag)
    producer.run("git", "push", "-q", "origin", "main", tag)


def serve(repository: Repository, server: Server) -> None:
    endpoints = {"lab": {"base_url": server.url, "concurrency": 8}}
    (repository.folder / "runtime.yaml").write_text(json.dumps({"device": "cpu", "endpoints": endpoints}))


def change(repository: Repository, value: object, *keys: str) -> None:
    """Sets a value of params.yaml."""
    file = repository.folder / "params.yaml"
    params = section = json.loads(file.read_text())
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    file.write_text(json.dumps(params, indent=1))


def locked(repository: Repository) -> dict[str, str]:
    """The outputs in DVC's lock files, and their hashes; without fingerprints.json, which is in git and follows params.yaml."""
    outs = (out for stage in stages_locked(repository).values() for out in stage["outs"])
    return {out["path"]: out["md5"] for out in outs if out["path"] != "fingerprints.json"}


def stages_locked(repository: Repository) -> dict[str, Any]:
    """The entries of DVC's lock files by what DVC calls the stages."""
    found: dict[str, Any] = dict(YAML(typ="safe").load(repository.folder / "dvc.lock")["stages"])
    for file in sorted(repository.folder.glob("pipelines/*/dvc.lock")):
        pipeline = file.relative_to(repository.folder).with_suffix(".yaml").as_posix()
        found |= {f"{pipeline}:{name}": entry for name, entry in YAML(typ="safe").load(file)["stages"].items()}
    return found


def audited(repository: Repository, code: int = 0) -> dict[str, dict[str, Any]]:
    """What an audit that finds nothing wrong says of every check; one that finds nothing at all ends with the ``code`` 2."""
    said = repository.run("glossa", "audit", "--json", code=code)
    told = json.loads(said[said.index("{") :])  # behind the bars
    assert told["sound"] == (code == 0)
    return {check["name"]: check for check in told["checks"]}
