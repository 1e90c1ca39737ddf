"""The Hub's layout in a local folder, which the same library reads without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.corpus import hub
from stages.corpus.document import Document
from stages.errors import GlossaError
from tests.hub_server import Hub, Repository, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(monkeypatch, tmp_path / "hub") as found:
        yield found


@pytest.fixture
def data_set(tmp_path: Path) -> str:
    for split, n in (("train", 5), ("test", 2)):
        rows = [json.dumps({"text": f"{split} {i}", "number": i}) for i in range(n)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    return str(tmp_path)


@pytest.mark.parametrize(("split", "n"), [("train", 5), ("test", 2)])
def test_a_split_is_read_in_order(data_set: str, split: str, n: int) -> None:
    found = list(hub.read(data_set, None, split, "main", "text"))
    assert found == [Document(f"{split}:{i}", f"{split} {i}") for i in range(n)]


@pytest.mark.parametrize(
    ("name", "split", "field", "expected"),
    [
        (None, "validation", "text", "can't be read: Bad split: validation"),
        (None, "train", "txt", "has no field txt; did you mean text?"),
        (None, "train", "number", "row 0 should have a string in number, found int"),
        ("english", "train", "text", "(english) at revision main can't be read: BuilderConfig 'english' not found"),
    ],
)
def test_a_mistake_names_the_data_set(data_set: str, name: str | None, split: str, field: str, expected: str) -> None:
    with pytest.raises(GlossaError) as caught:
        list(hub.read(data_set, name, split, "main", field))
    assert str(caught.value).startswith(f"the data set {data_set}")
    assert expected in str(caught.value)


def test_a_data_set_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(GlossaError, match="the data set nobody/nothing at revision main can't be read"):
        list(hub.read("nobody/nothing", None, "train", "main", "text"))


def test_a_revision_is_pinned_to_its_commit(server: Hub) -> None:
    repository = server.repositories["some/texts"] = Repository()
    first = repository.commit({"train.jsonl": b"1"})
    second = repository.commit({"train.jsonl": b"2"})
    assert hub.pin("some/texts", "main") == second
    assert hub.pin("some/texts", first) == first
    assert server.asked == ["GET /api/datasets/some/texts/revision/main"], "a commit needs no asking"


def test_a_folder_here_has_no_commit(data_set: str) -> None:
    assert hub.pin(data_set, "main") is None


@pytest.mark.parametrize(
    ("path", "revision", "expected"),
    [
        ("some/texts", "v2", "datasets/some/texts has no revision v2; name a branch, a tag or a commit that it has"),
        (
            "some/text",
            "main",
            "has no repository datasets/some/text, or it is private; correct the name, or give a token",
        ),
    ],
)
def test_what_can_not_be_pinned_is_a_mistake(server: Hub, path: str, revision: str, expected: str) -> None:
    server.repositories["some/texts"] = Repository()
    server.repositories["some/texts"].commit({"train.jsonl": b"1"})
    with pytest.raises(GlossaError) as caught:
        hub.pin(path, revision)
    message = str(caught.value)
    assert message.startswith(f"the data set {path} at revision {revision} can't be read: ")
    assert expected in message
    assert "\n" not in message


def test_without_a_network_it_is_said() -> None:
    with pytest.raises(GlossaError, match="HF_HUB_OFFLINE keeps it from being fetched; unset that"):
        hub.pin("some/texts", "main")
