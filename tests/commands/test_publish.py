"""The data set on a hub of this machine, by the client library itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasets import load_dataset
from ruamel.yaml import YAML

from stages import paths
from stages.cli import main
from tests.dataset.conftest import shared
from tests.folders import tree
from tests.hub_server import Hub

__all__ = ["shared"]

NAME = "lab/explanations"
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # which the client library's uploads give


@pytest.fixture(autouse=True)
def place(shared: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.writer = "hf_writer"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["publish", "hf", *arguments])


def published(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    """The files of the data set but for what the Hub itself puts there."""
    repository = hub.repositories[NAME]
    commit = repository.find(revision)
    assert commit
    return {name: content for name, content in repository.commits[commit].items() if name != ".gitattributes"}


def front(card: bytes) -> Any:
    return YAML(typ="safe").load(card.decode().split("---\n")[1])


def test_all_of_it_lies_there_afterwards_in_one_commit(hub: Hub) -> None:
    said = run(NAME, "--tag", "v1.0.0", "--message", "First")
    assert said.exit_code == 0, said.output
    repository = hub.repositories[NAME]
    commit = repository.branches["main"]
    files = published(hub)
    assert files == tree(paths.DATASET)
    assert repository.messages == ["First"]
    assert repository.tags == {"v1.0.0": commit}
    assert repository.token is None
    assert (
        said.stdout
        == (  # the hub's bars of progress, where it takes long, are in the other
            f"publish: {len(files)} files at {hub.url}/datasets/{NAME}, commit {commit[:12]}, tag v1.0.0\n"
            "publish: the card states no licence, so nobody may use the data; choose one with --license\n"
        )
    )


def test_what_an_earlier_version_had_goes_and_files_of_others_stay(hub: Hub) -> None:
    assert run(NAME).exit_code == 0
    repository = hub.repositories[NAME]
    now = repository.commits[repository.branches["main"]]
    repository.commit({**now, "examples/three.parquet": b"of a coder that is no more", "notes.md": b"by hand"})
    assert run(NAME).exit_code == 0
    assert published(hub).keys() == tree(paths.DATASET).keys() | {"notes.md"}


def test_a_licence_and_what_is_left_out_are_in_card_and_description(hub: Hub, tmp_path: Path) -> None:
    said = run(NAME, "--license", "cc-by-4.0", "--without", "examples", "--without", "verdicts")
    assert said.exit_code == 0, said.output
    assert "states no licence" not in said.output
    files = published(hub)
    assert not [name for name in files if name.startswith(("examples/", "verdicts/"))]
    head = front(files["README.md"])
    assert (head["license"], "license_name" in head) == ("cc-by-4.0", False)
    assert {"examples", "verdicts"}.isdisjoint(config["config_name"] for config in head["configs"])
    body = files["README.md"].decode()
    assert "No licence is stated" not in body
    assert "cc-by-4.0, for what whoever published these data may license" in body
    assert "## Left out\n\n`examples` and `verdicts`: not part of what was published here.\n" in body
    described = json.loads(files["croissant.json"])
    assert {one["@id"]: one["sha256"] for one in described["distribution"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name.endswith(".parquet")
    }
    assert all(one["@id"].partition("/")[0] not in ("examples", "verdicts") for one in described["recordSet"])
    for name, content in files.items():
        (tmp_path / "got" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "got" / name).write_bytes(content)
    found = load_dataset(str(tmp_path / "got"), "scores", split="train", cache_dir=str(tmp_path / "cache"))
    assert set(found["coder"]) == {"one", "two"}


def test_a_private_one(hub: Hub) -> None:
    assert run(NAME, "--private").exit_code == 0
    assert hub.repositories[NAME].token == "hf_writer"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("hf_reader", "lets nobody write there with the token in use (403); give one that may write for lab in HF_TOKEN or by hf auth login"),
        (None, "lets nobody write there with the token in use (401)"),
    ],
)  # fmt: skip
def test_who_may_not_write_is_told_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None, expected: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    said = run(NAME)
    assert said.exit_code == 1
    assert expected in said.output
    assert said.output.count("\n") == 1
    assert "Traceback" not in said.output


def test_a_tag_that_is_taken_is_told(hub: Hub) -> None:
    assert run(NAME, "--tag", "v1").exit_code == 0
    said = run(NAME, "--tag", "v1")
    assert said.exit_code == 1
    assert "it has that tag already, or was changed meanwhile (409)" in said.output


def test_a_hub_that_is_down_is_one_sentence(hub: Hub) -> None:
    hub.status = 503
    said = run(NAME)
    assert said.exit_code == 1
    assert "answered 503; try again later" in said.output


def test_a_name_without_an_owner_is_refused(hub: Hub) -> None:
    assert (
        run("explanations").output == "Error: the data set should be named OWNER/NAME, found explanations; name it so\n"
    )
    assert hub.asked == []


def test_there_has_to_be_a_data_set(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(NAME).output == (
        "Error: expected the data set in results/dataset, but there is no README.md; run dvc repro, or dvc pull results/dataset\n"
    )
