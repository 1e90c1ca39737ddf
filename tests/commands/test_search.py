import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.embeddings.embedder import Embedder
from tests.similarity.planted import KINDS, change, explain


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["search", *arguments])


def found(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_nearest_explanations_first(planted: Path) -> None:
    shown = found("number of word", "--nearest", "12")
    assert [entry["explanation"] for entry in shown] == ["number of the word"] * 11 + [shown[11]["explanation"]]
    assert [(entry["coder"], entry["latent"]) for entry in shown[:6]] == [("one", 4 * i + 2) for i in range(6)]
    assert {entry["coder"] for entry in shown[6:11]} == {"two"}
    cosines = [entry["cosine"] for entry in shown]
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[0] > 0.8
    assert shown[0]["explainer"] == "pattern"


def test_the_same_text_has_the_cosine_1(planted: Path) -> None:
    assert found(KINDS[1])[0]["cosine"] == pytest.approx(1, abs=1e-5)


def test_one_coder_or_explainer_only(planted: Path) -> None:
    assert {entry["coder"] for entry in found("cat", "--coder", "two", "--nearest", "50")} == {"two"}
    assert len(found("cat", "--coder", "two", "--nearest", "50")) == 23
    change("  pattern: {kind: pattern}", "  pattern: {kind: pattern}\n  other: {kind: pattern}")
    for coder in ("one", "two"):
        explain(coder, {3: "the dog"}, "other")
    shown = found("cat", "--explainer", "other")
    assert [(entry["coder"], entry["latent"], entry["explanation"]) for entry in shown] == [
        ("one", 3, "the dog"),
        ("two", 3, "the dog"),
    ]
    assert "other: the dog" in run("cat", "--explainer", "other").stdout


def test_people_read_lines(planted: Path) -> None:
    explain("one", {3: "a dog\n\x1b[31m"})
    explain("two", {})
    result = run("a dog")
    assert result.stdout.endswith("  one 3  a dog ⟨U+001B⟩[31m\n")
    assert "\x1b" not in result.stdout


def test_nothing_explained_is_nothing_found(planted: Path) -> None:
    for coder in ("one", "two"):
        explain(coder, {3: None})
    change("embedder: ", "embedder: nowhere")
    assert run("a dog").stdout == "no latent is explained\n"
    assert found("a dog") == []


def test_what_compare_stored_is_not_embedded_again(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(main, ["compare"]).exit_code == 0
    monkeypatch.setenv("GLOSSA_HOME", str(planted / "fresh"))
    embedded = []
    stream = Embedder.stream
    monkeypatch.setattr(Embedder, "stream", lambda self, texts: embedded.extend(texts) or stream(self, texts))
    before = found("a cat")
    assert embedded == ["a cat"]
    explain("one", {3: "the word"})
    assert found("the word")[0]["explanation"] == "the word"
    assert embedded == ["a cat", "the word", "the word"], "the query, and what was explained since"
    assert before[0]["cosine"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--coder", "ono"), "params.yaml has no coder ono; did you mean one?"),
        (("x", "--explainer", "patern"), "params.yaml has no explainer patern; did you mean pattern?"),
        (("  ",), "the text to search for should not be empty"),
    ],
)
def test_mistakes_are_one_sentence(planted: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
