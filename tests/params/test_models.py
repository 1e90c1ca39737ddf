"""A model that is the subject itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages import params, plan
from stages.errors import GlossaError
from stages.params import Subject
from stages.params.models import described, other_than
from stages.wiring import fingerprints
from tests.conftest import PARAMS

HERE = Path("params.yaml")
SUBJECT = Subject(model="a/subject", revision="c0", dtype="bfloat16")
ITSELF = {"provider": "transformers", "model": "a/subject", "revision": "c0", "dtype": "bfloat16"}
ENTRIES = """\
models:
  own: {provider: subject, max_tokens: 7}
  other: {provider: transformers, model: a/judge}
scorers:
  pmi: {kind: pmi, model: own}
  surprisal: {kind: surprisal, model: {provider: subject}}
  intervention: {kind: intervention, model: other}
  second: {kind: surprisal, model: other}
  detection: {kind: detection, model: other}
"""


@pytest.fixture
def p(tmp_path: Path) -> params.Params:
    return load(tmp_path, PARAMS)


def load(folder: Path, text: str) -> params.Params:
    file = folder / "params.yaml"
    file.write_text(f"{text}{ENTRIES}")
    return params.load(file)


def test_the_subject_stands_in_its_place_with_its_own_options() -> None:
    entry = {"provider": "subject", "max_tokens": 7}
    assert described(entry, SUBJECT, "models.own", HERE) == {**ITSELF, "max_tokens": 7}
    assert described({"provider": "openai", "model": "x"}, SUBJECT, "models.own", HERE) == {
        "provider": "openai",
        "model": "x",
    }
    plain = described({"provider": "subject"}, Subject(model="folder"), "models.own", HERE)
    assert plain == {"provider": "transformers", "model": "folder", "dtype": "float32"}, "as one would write it"


def test_it_is_found_by_name_and_in_an_entry(p: params.Params) -> None:
    own = {"provider": "transformers", "model": "subject", "dtype": "float32"}
    assert p.scorers["pmi"]["model"] == p.models["own"] == {**own, "max_tokens": 7}
    assert p.scorers["surprisal"]["model"] == own


def test_another_subject_changes_the_fingerprint_of_what_it_judges(tmp_path: Path, p: params.Params) -> None:
    before = fingerprints.current(p)
    after = fingerprints.current(load(tmp_path, PARAMS.replace("{model: subject}", "{model: subject, revision: abc}")))
    changed = {key.rpartition(".")[2] for key in fingerprints.changes(before, after) if ".score." in key}
    assert changed == {"pmi", "surprisal", "intervention"}, "the last runs the subject, whoever judges"
    typed = fingerprints.current(load(tmp_path, PARAMS.replace("{model: subject}", "{model: subject, dtype: float16}")))
    assert "coders.one.score.pmi" in fingerprints.changes(before, typed)
    assert "coders.one.score.detection" not in fingerprints.changes(before, typed)


@pytest.mark.parametrize(
    ("entry", "subject", "expected"),
    [
        ({"model": "x"}, {}, "models.own should leave model to the section subject, whose model provider: subject is, found 'x'; take it out"),
        ({"dtype": "float16"}, {}, "models.own should leave dtype to the section subject"),
        ({}, {"weights": "random"}, "models.own should be a model that was trained, but provider: subject is the subject, whose weights are random"),
        ({}, {"quantization": "4bit"}, "but provider: subject is the subject, whose quantization is 4bit; name one with provider: transformers"),
    ],
)  # fmt: skip
def test_what_it_can_not_be(entry: dict[str, Any], subject: dict[str, Any], expected: str) -> None:
    with pytest.raises(GlossaError) as caught:
        described({"provider": "subject", **entry}, Subject(model="a/subject", **subject), "models.own", HERE)
    assert str(caught.value).startswith("params.yaml: models.own ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "subject", "expected"),
    [
        (ITSELF, {}, None),
        ({"provider": "openai", "model": "x"}, {}, None),
        ({"provider": "pattern"}, {}, None),
        ({**ITSELF, "model": "a/judge"}, {}, "a/judge"),
        ({**ITSELF, "revision": "c1"}, {}, "a/subject at c1"),
        ({**ITSELF, "dtype": "float32"}, {}, "a/subject in float32"),
        (ITSELF, {"weights": "random"}, "a/subject as it was trained"),
        (ITSELF, {"quantization": "8bit"}, "a/subject as it was trained"),
    ],
)
def test_who_is_another_model_than_the_subject(
    entry: dict[str, Any], subject: dict[str, Any], expected: str | None
) -> None:
    assert other_than(SUBJECT.model_copy(update=subject), entry) == expected


def test_judges_by_probability_that_are_not_the_subject(p: params.Params) -> None:
    assert plan.foreign_judges(p) == {"a/judge": ["intervention", "second"]}
