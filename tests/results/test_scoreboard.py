from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from stages import params, paths
from stages.results.scoreboard import Row, lines, records, rows
from tests.results.furnished import furnish


@pytest.fixture
def p(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return params.load()


def test_a_row_for_every_score_stage_by_scorer_and_coder(p: params.Params) -> None:
    found = rows(p)
    assert [(row.scorer, row.coder, row.explainer) for row in found] == [
        *(("detection", coder, explainer) for coder in ("one", "two") for explainer in ("pattern", "llm")),
        *(("embedding", coder, explainer) for coder in ("one", "two") for explainer in ("pattern", "llm")),
        *(("intruder", coder, "latent") for coder in ("one", "two")),
    ]
    assert found[0] == Row(
        "detection", "one", "pattern", "balanced accuracy", 0.8, pytest.approx(0.7), pytest.approx(0.9), 0.5, 1, 1
    )
    assert found[-1][3:9] == ("accuracy", 0.75, 0.75, 0.75, 0.2, 1)


def test_the_table(p: params.Params) -> None:
    shutil.rmtree(paths.scores("two", "llm", "detection"))
    assert [click.unstyle(line) for line in lines(rows(p))] == [
        "detection, balanced accuracy",
        "  coder  explainer        score   95 % interval  floor  latents  unscored",
        "  one    pattern          0.800  0.700 to 0.900  0.500        1         1",
        "         llm              0.800  0.700 to 0.900  0.500        1         1",
        "  two    pattern          0.900  0.800 to 1.000  0.500        1         1",
        "         llm        not run yet",
        "",
        "embedding, AUROC",
        "  one    pattern          0.600  0.500 to 0.700  0.500        1         1",
        "         llm              0.600  0.500 to 0.700  0.500        1         1",
        "  two    pattern          0.600  0.500 to 0.700  0.500        1         1",
        "         llm              0.600  0.500 to 0.700  0.500        1         1",
        "",
        "intruder, accuracy",
        "  one    -                0.750  0.750 to 0.750  0.200        1         1",
        "  two    -                0.750  0.750 to 0.750  0.200        1         1",
    ]


def row(scorer: str = "detection", coder: str = "one", explainer: str = "llm", **more: object) -> Row:
    found = Row(scorer, coder, explainer, "balanced accuracy", 0.7, 0.6, 0.8, 0.5, 30)
    return found._replace(**more)  # type: ignore[arg-type]


def test_a_score_is_green_whose_interval_lies_above_its_floor() -> None:
    _, _, above, touching, unknown = lines([row(), row(coder="two", low=0.5), row(coder="three", floor=None)])
    assert above.startswith("\x1b[32m")
    assert "\x1b" not in touching + unknown
    assert unknown.split() == ["three", "llm", "0.700", "0.600", "to", "0.800", "-", "30"]


def test_what_no_row_has_is_no_column() -> None:
    title, head, line = map(click.unstyle, lines([row(explainer="latent", score=None, low=None, high=None, latents=0)]))
    assert (title, head.split(), line.split()) == (
        "detection, balanced accuracy", ["coder", "score", "95", "%", "interval", "floor", "latents"], ["one", "-", "-", "0.500", "0"],
    )  # fmt: skip


def test_a_long_table_is_cut_where_nobody_asked_for_it() -> None:
    found = [row(coder=f"c{number}") for number in range(50)]
    shown = list(lines(found, 40))
    assert len(shown) == 43
    assert shown[-1] == "… and 10 rows more: glossa scores"
    assert len(list(lines(found))) == 52


def test_nothing_is_no_table() -> None:
    assert list(lines([])) == []


def test_rows_as_json_takes_them(p: params.Params) -> None:
    first = records(rows(p))[0]
    assert (first["coder"], first["score"], first["floor"], first["unscored"]) == ("one", 0.8, 0.5, 1)
