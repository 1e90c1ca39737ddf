"""What the examples of a finished folder were taken from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stages import params, paths
from stages.errors import GlossaError
from stages.examples import origin


@pytest.fixture
def place(finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished_workplace, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def test_the_subject_and_the_coder_are_those_of_the_examples(at_finished: Path) -> None:
    found = origin.load(params.load(), "two")
    assert found.coder.hookpoint == "layers.1"
    assert found.beginning == [0]
    assert found.subject.limit == 64


@pytest.mark.parametrize(("what", "wrong"), [("subject", "a" * 64), ("coder", "b" * 64)])
def test_another_subject_or_coder_is_one_sentence(place: Path, what: str, wrong: str) -> None:
    path = paths.examples("one") / "meta.json"
    meta = json.loads(path.read_text())
    meta[what]["sha256"] = wrong
    path.write_text(json.dumps(meta))
    with pytest.raises(
        GlossaError,
        match=rf"^the examples in data/examples/one should have been taken from the {what} .* theirs {wrong[:12]}",
    ):
        origin.load(params.load(), "one")
