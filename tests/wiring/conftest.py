"""A project in which every stage has run once, watched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.clones import ROOT
from tests.wiring.workbench import STAGES, Workbench, opened


class Finished(NamedTuple):
    """A workbench in whose folder everything has run, and what was seen on the way."""

    bench: Workbench
    seen: dict[tuple[str, ...], dict[str, Any]]
    """By the words of a stage: ``lines`` that it executed, by file, and ``files`` that it opened."""


@pytest.fixture(scope="package")
def finished(
    tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]
) -> Finished:
    folder = tmp_path_factory.mktemp("bench") / "project"
    folder.mkdir()
    others = [tuple("two" if word == "one" else word for word in words) for words in STAGES if "one" in words]
    ends = [words for words in STAGES if len(words) == 1 and words != ("tokenize",)]
    bench = opened(folder, subject_folder, make_coder)
    seen = {}
    for words in [*(words for words in STAGES if words not in ends), *others, *ends]:
        found = bench.run(ROOT, words, folder, watch=words in STAGES)
        assert found["ok"], (words, found["said"], (folder / "log").read_text())
        if words in STAGES:
            seen[words] = found
    return Finished(bench, seen)
