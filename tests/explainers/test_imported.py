"""Explanations that others made, read from what they wrote; the formats that glossa itself exports come back as they went."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from stages import explainers, params, paths
from stages.cells import cell
from stages.cli import main
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers import source, table, written
from stages.exports import delphi
from stages.text.sanitise import line
from tests.dataset.conftest import shared
from tests.results.furnished import HOSTILE

__all__ = ["shared"]

ENTRY = {"kind": "imported", "format": "delphi", "path": "theirs", "coders": {"one": "layers.0"}}


@pytest.fixture
def place(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which all has run, with an empty folder for what others wrote; latents 2 and 7 of 10 are kept."""
    for name in ("data", "params.yaml"):
        (tmp_path / name).symlink_to(shared / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    return tmp_path


def wrote(name: str, value: Any) -> str:
    """Writes a file of theirs as JSON, or as it is if it is bytes, and returns its sha256."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    Path("theirs", name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def imported(coder: str = "one", **options: Any) -> tuple[list[tuple[int, str | None, str | None]], list[dict], dict]:
    """(latent, text, reason) and the evidence of every latent, and what the meta says."""
    unit = explainers.load("theirs", {**ENTRY, **options})
    sample = Examples.open(paths.examples(coder))
    found = list(unit.explain(unit.prepare(sample, params.load(), coder), None))
    rows = [(one.latent, one.text, one.reason) for one in found]
    return rows, [one.evidence for one in found], unit.facts(params.load(), coder, sample)


def refused(**options: Any) -> str:
    with pytest.raises(GlossaError) as error:
        imported(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_delphi_wrote_is_read_with_its_hash(place: Path) -> None:
    sha256 = wrote("layers.0_latent2.txt", "Animals, \n of one kind")
    wrote("layers.0_latent7.txt", source.UNPARSED)
    wrote("layers.0_latent9.txt", "not sampled")
    wrote("layers.1_latent7.txt", "of another coder")
    rows, evidence, facts = imported()
    assert rows == [(2, "Animals, of one kind", None), (7, None, "delphi could not read the model's answer")]
    assert evidence[0] == {"format": "delphi", "file": "theirs/layers.0_latent2.txt", "sha256": sha256}
    told = facts["imported"]
    assert (told["explanations"], told["not_sampled"], told["made_by"]) == (3, 1, "not known")
    wrote("layers.0_latent9.txt", "edited")
    assert imported()[2]["imported"]["sha256"] != told["sha256"]


def test_what_is_missing_has_a_reason(place: Path) -> None:
    wrote("layers.0_latent3.txt", "another")
    wrote("layers.0_latent7.txt", " \n")
    none = "theirs has none of it"
    assert imported()[0] == [(2, None, none), (7, None, "the imported explanation is empty")]
    rows, _, facts = imported("two")
    assert rows == [(latent, None, "none were imported of this coder") for latent in (2, 7)]
    assert facts == {}


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_file_of_all_latents_is_read(form: str, place: Path) -> None:
    rows = [{"latent": 7, "explanation": 'dogs, "all"\u2028of them'}, {"latent": 0, "explanation": "zero"}]
    if form == "csv":
        with Path("theirs/x").open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, ["explanation", "latent"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        named = {str(row["latent"]): row["explanation"] for row in rows}
        text = json.dumps(named) if form == "json" else "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        wrote("x", text.encode())
    found, evidence, facts = imported(format=form, coders={"one": "x"})
    assert found == [(2, None, "theirs has none of it"), (7, 'dogs, "all" of them', None)]
    assert evidence[1]["sha256"] == hashlib.sha256(Path("theirs/x").read_bytes()).hexdigest()
    assert facts["imported"]["not_sampled"] == 1


def test_what_glossa_exports_comes_back(place: Path) -> None:
    p = params.load()
    assert table.texts(paths.explanations("one", "llm")) == {2: HOSTILE, 7: "dogs"}
    delphi.write(p, place / "delphi")
    rows, _, _ = imported(path="delphi/one-llm/explanations")
    assert rows == [(2, line(HOSTILE), None), (7, "dogs", None)]


@given(st.dictionaries(st.integers(0, 9), st.text(max_size=20), min_size=1))
def test_any_text_survives_as_json(texts: dict[int, str]) -> None:
    content = json.dumps({str(latent): text for latent, text in texts.items()})
    pairs = {int(latent): text for _, latent, text in source._object(content, Path("x"))}
    assert pairs == texts


JSONL = {"format": "jsonl", "coders": {"one": "x"}}

BAD = [
    ({}, {}, "expected files layers.0_latent<number>.txt in theirs, but there are none: it has none of any"),
    ({"layers.1_latent2.txt": "a"}, {}, "it has those of layers.1; correct"),
    (
        {"layers.0_latent2.txt": {"a": 1}},
        {},
        r"expected an explanation as text in theirs/layers.0_latent2.txt, found \['a'\]",
    ),
    ({"layers.0_latent2.txt": b"no json"}, {}, "expected JSON in theirs/layers.0_latent2.txt, found 'no json'"),
    ({"layers.0_latent2.txt": b'"\xff"'}, {}, "expected UTF-8 in theirs/layers.0_latent2.txt, but byte 1"),
    ({"layers.0_latent12.txt": "a"}, {}, "latents 0 to 9 of one in theirs, but layers.0 has one of latent 12"),
    ({}, {"path": "nowhere"}, "expected a folder of explanations at nowhere"),
    (
        {},
        {"format": "csv", "coders": {"one": "x.csv"}},
        "expected a file of explanations at theirs/x.csv, but there is none",
    ),
    ({"x": [1]}, {"format": "json", "coders": {"one": "x"}}, "expected a JSON object {latent: explanation}"),
    ({"x": {"a": "b"}}, {"format": "json", "coders": {"one": "x"}}, "should name a latent, .* found 'a'"),
    ({"x": {"-1": "b"}}, {"format": "json", "coders": {"one": "x"}}, "should name a latent, .* found '-1'"),
    ({"x": b'{"1": "a", "1": "b"}'}, {"format": "json", "coders": {"one": "x"}}, "has latent 1 again"),
    ({"x": {}}, {"format": "json", "coders": {"one": "x"}}, "expected explanations in theirs/x, but there are none"),
    (
        {"x": {"latent": 1}},
        {"format": "jsonl", "coders": {"one": "x"}},
        r"x, line 1, should have latent and explanation",
    ),
    ({"x": b'{"latent": 1, "explanation": 3}'}, {"format": "jsonl", "coders": {"one": "x"}}, "found 3"),
    ({"x": b'{"latent": true, "explanation": ""}'}, {"format": "jsonl", "coders": {"one": "x"}}, "found True"),
    ({"x": b"{"}, {"format": "jsonl", "coders": {"one": "x"}}, "expected JSON in line 1 of theirs/x"),
    ({"x": b"latent,text\n1,a\n"}, {"format": "csv", "coders": {"one": "x"}}, "should have latent and explanation"),
    ({"x": b'latent,explanation\n1,"a\n'}, {"format": "csv", "coders": {"one": "x"}}, "expected CSV in theirs/x"),
    (
        {"x": b'{"latent": 1, "explanation": ' + b"[" * 200 + b"]" * 200 + b"}"},
        JSONL,
        "in line 1 of .*: it is nested too deeply",
    ),
    (
        {"x": b"[" * 100_000},
        {"format": "json", "coders": {"one": "x"}},
        "theirs/x, found '\\[.*: it is nested too deeply; correct",
    ),
    ({"layers.0_latent2.txt": b"[" * 100_000}, {}, "latent2.txt, found '\\[.*: it is nested too deeply; correct"),
    (
        {"x": b'{"latent": ' + b"9" * 5000 + b', "explanation": "a"}'},
        JSONL,
        "a number in it has more than 4,300 digits",
    ),
    ({"x": b'{"latent": ' + b"9" * 99 + b', "explanation": "a"}'}, JSONL, "should name a latent, .* found 9{59}…;"),
    (
        {"x": b"latent,explanation\n" + b"9" * 5000 + b",a\n"},
        {"format": "csv", "coders": {"one": "x"}},
        "x, line 2, should name a latent, .* found '9{58}…;",
    ),
    ({"x": b"latent,explanation\n1," + b"a" * 140_000}, {"format": "csv", "coders": {"one": "x"}}, "field larger than"),
    ({}, {"coders": {"three": "x"}}, "names the coder three"),
    ({}, {"coders": {"one": "x", "two": "x"}}, "should give the same to no two coders"),
    ({}, {"coders": {}}, "should not be empty"),
    ({}, {"format": "xml"}, "format"),
]


@pytest.mark.parametrize(("files", "options", "said"), BAD)
def test_what_can_not_be_read_is_one_sentence(files: dict, options: dict, said: str, place: Path) -> None:
    for name, value in files.items():
        wrote(name, value)
    assert re.search(said, refused(**options))


def test_what_is_no_file_is_one_sentence(place: Path) -> None:
    Path("theirs/x").mkdir()
    assert refused(**JSONL).endswith("but that is a folder; correct the explainer's coders")
    Path("theirs/layers.0_latent2.txt").symlink_to("/dev/null")
    assert "expected a file of explanations at theirs/layers.0_latent2.txt, but that is a device" in refused()
    Path("theirs/layers.0_latent2.txt").unlink()
    os.mkfifo("theirs/layers.0_latent3.txt")  # of a latent that nobody asks for, hashed with the others
    assert "expected a file of explanations at theirs/layers.0_latent3.txt, but that is a pipe" in refused()
    os.mkfifo("theirs/pipe")
    assert "but that is a pipe" in refused(format="jsonl", coders={"one": "pipe"})
    assert "but that is outside" in refused(format="csv", coders={"one": "../params.yaml"})


def test_no_link_leads_out(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x").write_text("{}")
    Path("theirs/x").symlink_to(outside / "x")
    Path("theirs/layers.0_latent2.txt").symlink_to(outside / "x")
    Path("linked").symlink_to(outside)
    Path("rows.jsonl").symlink_to(outside / "x")
    for options in (JSONL, {}, {**JSONL, "path": "linked"}):
        assert f"but a link leads from there out of {place}" in refused(**options)
    with pytest.raises(GlossaError, match=f"but a link leads from there out of {place}"):
        written.read("rows.jsonl", "one", "", ["one"])


def test_what_a_spreadsheet_would_compute_comes_back_from_csv(place: Path) -> None:
    texts = {2: "=1+1", 7: "'-x"}
    rows = [["latent", "explanation"], *([latent, cell(text)] for latent, text in texts.items())]
    with Path("theirs/x").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert source.read("csv", "theirs", "x").texts == texts


def test_the_folder_above_is_told_from_the_right_one(place: Path) -> None:
    Path("theirs/explanations").mkdir()
    assert "name theirs/explanations, which it holds, as path" in refused()


def test_the_stage_writes_it_with_what_it_was_read_from(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("tokens", "examples"):
        (tmp_path / "data" / name).symlink_to(finished_workplace / "data" / name)
    monkeypatch.chdir(tmp_path)
    text = (finished_workplace / "params.yaml").read_text()
    Path("params.yaml").write_text(f"{text}  theirs: {json.dumps(ENTRY)}\n")
    Path("theirs").mkdir()
    kept = Examples.open(paths.examples("one")).kept
    wrote(f"layers.0_latent{kept[0]}.txt", "The first")
    result = CliRunner().invoke(main, ["explain", "one", "theirs"])
    assert result.exit_code == 0, result.output
    assert f"1 of {len(kept)} latents explained" in result.output
    found, meta = table.read(paths.explanations("one", "theirs"))
    assert table.texts(paths.explanations("one", "theirs")) == {kept[0]: "The first"}
    assert meta["unexplained"] == {"theirs has none of it": len(kept) - 1}
    assert meta["imported"]["explanations"] == 1
    assert found["request"].null_count == len(kept)
