"""Prompts of one's own, for explainers and judges, and the files that take their place wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stages import llm, prompts, registry, scorers
from stages.errors import GlossaError
from stages.explainers import prompt
from stages.llm.request import Answer, Request
from stages.scorers import Context, Item, at_once, intervention, pmi, surprisal
from stages.scorers.table import OWN
from tests.clones import Clone
from tests.explainers.small import Writer, explain, small
from tests.scorers import planted

MINE = """# system
Say what the marked tokens share.

# user
Text 1: " one« two» three"

# explanation
The number two.
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.md").write_text(MINE, encoding="utf-8")
    return tmp_path


def asked(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Request:
    writer = Writer('{"explanation": "x"}')
    explain(monkeypatch, "default", writer, small(["the cat sat"], {" cat": 4.0}, 8.0), **options)
    return writer.requests[0]


def test_an_explainer_asks_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = asked(monkeypatch, prompt="mine.md").messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0].content.startswith("Say what the marked tokens share.\n\nAnswer with")
    assert messages[2].content == '{"explanation": "The number two."}'
    assert [message.role for message in asked(monkeypatch, prompt="mine.md", shots=0).messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"Explain it.", "no heading"),
        (b"Hello\n" + MINE.encode(), "# system, # user, # explanation"),
        (MINE.partition("# explanation")[0].encode(), "# system, # user"),
        (MINE.encode() + b"# user\nmore\n", "# system, # user, # explanation, # user"),
        (MINE.replace("The number two.\n", "").encode(), "# system, # user, # explanation"),
        (MINE.replace("# explanation", "# analysis\nWell.\n\n# explanation").encode(), "# analysis"),
    ],
)
def test_an_explainers_prompt_of_another_form_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, found: str
) -> None:
    (here / "mine.md").write_bytes(content)
    with pytest.raises(
        GlossaError, match=r"expected the prompt mine\.md to begin with # system and go on .*, found "
    ) as error:
        asked(monkeypatch, prompt="mine.md")
    assert found in str(error.value)


def test_no_more_examples_are_asked_for_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        GlossaError, match=r"shots should be at most 1, as the prompt mine\.md has no more worked examples, found 2"
    ):
        asked(monkeypatch, prompt="mine.md", shots=2)
    with pytest.raises(GlossaError, match="shots should be at most 3, as the prompt of default has no more"):
        asked(monkeypatch, shots=4)


class Judge:
    """Says the same to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            self.asked.append(request)
            yield Answer("{" + ", ".join(f'"{key}": true' for key in request.schema["required"]) + "}")


@pytest.mark.parametrize("kind", ["detection", "fuzzing", "intruder", "simulation", "sensitivity"])
def test_a_judge_is_asked_by_it(here: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (here / "judge.md").write_text("Find the intruder. Answer in JSON.", encoding="utf-8")
    scorer = scorers.load("x", {"kind": kind, "model": {"provider": "pattern"}, "prompt": "judge.md"})
    judge = Judge()
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    if kind == "sensitivity":
        (request,) = [scorer._request(Item(planted.latent(7, fires_on=1), "x", OWN))]  # type: ignore[attr-defined]
        assert request.messages[0].content == "Find the intruder. Answer in JSON."
        return
    with suppress(GlossaError):  # of whose answers none is of use
        scorer.score([Item(planted.latent(7, fires_on=1, n=80), "x", OWN)], Context(planted.vocabulary(), 0))
    assert {request.messages[0].content for request in judge.asked} == {"Find the intruder. Answer in JSON."}


@pytest.mark.parametrize("kind", ["detection", "fuzzing", "intruder", "simulation", "sensitivity", "pmi"])
def test_a_judges_prompt_that_lacks_something_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (here / "judge.md").write_text("Judge it.", encoding="utf-8")
    unit = registry.options(registry.SCORERS, kind, "x", scorers.Scorer)
    lacking = "{window} and  {explanation}" if kind == "pmi" else "JSON"
    with pytest.raises(GlossaError, match=r"in the prompt judge\.md, but .* is not there; see docs/llm\.md") as error:
        prompts.read("judge.md", Path(unit.__module__), pmi.HOLDS if kind == "pmi" else ["JSON"])
    assert lacking.split()[-1] in str(error.value)


def test_prompts_of_judges_by_probability(here: Path) -> None:
    (here / "pmi.md").write_text("Read:\n{window}\n\nIt is about: {explanation}\n", encoding="utf-8")
    template = pmi.template("pmi.md")
    assert pmi.prompt(template, "a cat") == "Read:\na cat\n\nIt is about:"
    assert pmi.question(template) == "It is about:"
    (here / "pmi.md").write_text("Read {window} about {explanation}", encoding="utf-8")
    with pytest.raises(GlossaError, match=r"expected \{window\} in the prompt pmi\.md, and a question"):
        pmi.template("pmi.md")

    (here / "surprisal.md").write_text("Fit:\n\nDescription: Cats.\nSentences:\nA cat.\n", encoding="utf-8")
    assert surprisal.prompt("Dogs.", 1, "surprisal.md") == (
        "Fit:\n\nDescription: Cats.\nSentences:\nA cat.\n\nDescription: Dogs.\nSentences:\n"
    )
    (here / "once.md").write_text("Rate.\n\nExplanation: Cats.\nActivations:\n cat\t10\n", encoding="utf-8")
    assert at_once.prompt("Dogs.", "once.md").endswith(" cat\t10\n\nExplanation: Dogs.\nActivations:\n")
    (here / "intervention.md").write_text("# question\nText: {passage}\nIt has much {explanation}\n", encoding="utf-8")
    assert prompts.read("intervention.md", intervention.PROMPT, intervention.HOLDS).startswith("# question")


def test_a_file_that_is_no_prompt(here: Path) -> None:
    def refused(name: str) -> str:
        with pytest.raises(GlossaError) as error:
            prompts.read(name, Path("ours.md"))
        return str(error.value)

    (here / "empty.md").write_bytes(b" \n")
    (here / "latin.md").write_bytes("für".encode("latin-1"))
    (here / "folder.md").mkdir()
    assert (
        refused("none.md")
        == "expected a prompt at none.md, but there is none; correct prompt of its entry in params.yaml"
    )
    assert refused("empty.md").startswith("expected a prompt in empty.md, but it is empty; see docs/")
    assert refused("latin.md") == "expected UTF-8 in the prompt latin.md, but byte 1 is none; convert it"
    assert "is a folder" in refused("folder.md")


def test_stages_depend_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    clone.params["scorers"]["detection"]["prompt"] = "judge.md"
    clone.params["explainers"]["mine"] = {
        "kind": "default",
        "model": {"provider": "openai", "model": "m"},
        "prompt": "mine.md",
    }
    clone.write_params()
    clone.wire()
    written = (clone.folder / "pipelines/one/dvc.yaml").read_text()
    assert written.count("- mine.md") == 1
    assert "- judge.md" in written


def test_ours_have_the_form_that_is_asked_of_others() -> None:
    for kind, module in registry.EXPLAINERS.items():
        unit = registry.options(registry.EXPLAINERS, kind, "x", object)  # type: ignore[type-abstract]
        if ours := getattr(unit, "PROMPT", None):
            prompt.check(ours.read_text("utf-8"), module, unit.THINKS)  # type: ignore[attr-defined]
    assert pmi.question(pmi.template()).endswith(":")
