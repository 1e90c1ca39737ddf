"""Whatever may be left out of params.yaml may be left out: DVC then demands nothing that is not there, and what docs show is taken."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages import explainers, params, paths, scorers
from stages.commands.wire import files
from stages.errors import GlossaError
from stages.wiring import fingerprints

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


FULL = read((ROOT / "tests/toy/params.yaml").read_text())
"""A params.yaml that says nearly all that can be said."""


def places(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key, and those inside of it."""
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def without(gone: set[tuple[str, ...]]) -> dict[str, Any]:
    """``FULL`` without these keys."""
    found = copy.deepcopy(FULL)
    for *above, key in gone:
        inside: Any = found
        for name in above:
            inside = inside.get(name, {})
        inside.pop(key, None)
    return found


def demanded(stages: Mapping[str, Any]) -> set[str]:
    """The keys of fingerprints.json that DVC looks for, as it fills in names."""
    found = set()
    for stage in stages.values():
        names: list[dict[str, str]] = [{}]
        for name, values in stage.get("matrix", {}).items():
            names = [{**one, name: value} for one in names for value in values]
        for of_file in stage.get("params", []):
            for keys in of_file.values():
                for key in keys:
                    found |= {re.sub(r"\$\{item\.(\w+)\}", lambda name, one=one: one[name[1]], key) for one in names}
    return found


def check(values: Mapping[str, Any], folder: Path) -> None:
    """What DVC is told is all there."""
    (folder / "params.yaml").write_text(json.dumps(values))
    p = params.load(folder / "params.yaml")
    known = set(fingerprints.current(p))
    for path, text in files(p).items():
        stages = read(text)["stages"]
        assert demanded(stages) <= known
        for stage in stages.values():
            for of_file in stage.get("params", []):
                assert set(of_file) == {paths.FINGERPRINTS.as_posix()}, (
                    f"{path} demands a key of a file that people write"
                )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@settings(max_examples=25)
@given(st.sets(st.sampled_from(sorted(places(FULL))), max_size=12))
def test_any_keys_may_be_left_out_that_need_not_be_there(folder: Path, gone: set[tuple[str, ...]]) -> None:
    left = without(gone)
    (folder / "params.yaml").write_text(json.dumps(left))
    try:
        params.load(folder / "params.yaml")
    except GlossaError:  # one of them is needed, which is said at once: all the others may go
        needed = {place for place in gone if not is_optional(place, folder)}
        left = without(gone - needed)
    check(left, folder)


def is_optional(place: tuple[str, ...], folder: Path) -> bool:
    (folder / "params.yaml").write_text(json.dumps(without({place})))
    try:
        params.load(folder / "params.yaml")
    except GlossaError:
        return False
    return True


def test_nothing_more_is_needed_than_what_has_no_default(folder: Path) -> None:
    sections = {place for place in places(FULL) if len(place) == 1}
    needed = {key for (key,) in sections if not is_optional((key,), folder)}
    assert needed == {"corpus", "subject", "coders", "sampling", "explainers", "models"}  # scorers name models
    check(without(sections - {(key,) for key in needed - {"models"}}), folder)


def snippets(page: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Blocks of YAML that say something of params.yaml, as they stand."""
    for block in re.findall(r"(?:^(?:    .*)?\n)+", page.read_text(), re.MULTILINE):
        for text in re.split(r"^    # runtime\.yaml.*\n", block, flags=re.MULTILINE):
            try:
                found = read(re.sub(r"^    ", "", text, flags=re.MULTILINE))
            except YAMLError:
                continue
            if isinstance(found, dict) and found.keys() <= set(params.Params.model_fields) and all(found.values()):
                yield text, found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_docs_show_of_params_is_taken(page: Path, folder: Path) -> None:
    for text, found in snippets(page):
        models = dict.fromkeys(re.findall(r"(?:model|judge): (\w+)", text), FULL["models"]["pattern"])
        named = {"models": {**FULL["models"], **models, **found.get("models", {})}}
        parts = {key: {**FULL[key], **found[key]} for key in ("sampling", "compare", "report") if key in found}
        (folder / "params.yaml").write_text(json.dumps({**FULL, **found, **parts, **named}))
        p = params.load(folder / "params.yaml")
        for room, section in ((explainers, p.explainers), (scorers, p.scorers)):
            for name, entry in section.items():
                room.load(name, entry)


def test_docs_do_show_some() -> None:
    assert sum(1 for page in PAGES for _ in snippets(page)) > 10
