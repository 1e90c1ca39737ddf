"""What is foretold is what comes: the same calls, and no more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stages import paths
from stages.cli import main
from stages.estimate import forecast
from stages.estimate.pending import Pending
from stages.examples.table import Examples
from stages.wiring.coder import address
from tests.llm import small_models
from tests.llm.asking import JUDGE, runtime_yaml
from tests.llm.scripted_server import Action, Asked, Server, completion, good

PRICES = {"m": {"input": 2.0, "output": 8.0, "batch": 0.5}}
WRITER = {**JUDGE, "model": "w", "max_tokens": 70}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def status(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What DVC says of the pipeline: to be changed; by default that nothing of the models' stages has run."""
    found: dict[str, Any] = {}
    for coder in ("one", "two"):
        found[address(coder, "explain@llm")] = [{"changed outs": {"x": "new"}}, {"changed deps": {"x": "new"}}]
        for explainer in ("llm", "pattern"):
            found[address(coder, f"score@{explainer}-detection")] = found[address(coder, "explain@llm")]
    monkeypatch.setattr(Pending, "from_dvc", lambda p: Pending(p, found))
    return found


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory, finished_workplace: Path) -> Path:
    """A folder in which ``pattern`` has explained as well; to be copied."""
    folder = tmp_path_factory.mktemp("explained") / "place"
    shutil.copytree(finished_workplace, folder)
    with chdir(folder):
        write_params()
        for coder in ("one", "two"):
            assert run("explain", coder, "pattern").exit_code == 0
    return folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, explained: Path, server: Server, status: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(explained, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    runtime_yaml(server.url, concurrency=8, prices=PRICES)


def write_params(judge: dict[str, Any] = JUDGE, latents: int | None = 6) -> None:
    """By default few latents are scored, which takes less time."""
    text = Path("params.yaml").read_text().split("explainers:")[0]
    detection = {"kind": "detection", "model": judge, "examples_per_prompt": 4, "latents": latents}
    explainers = {"pattern": {"kind": "pattern"}, "llm": {"kind": "default", "model": WRITER}}
    more = {"explainers": explainers, "scorers": {"detection": detection}}
    Path("params.yaml").write_text(text + "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items()))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def foretold() -> dict[str, dict[str, Any]]:
    """{stage: its line}, and the total."""
    result = run("estimate", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len({line["stage"] for line in found["stages"]}) == len(found["stages"])
    return {**{line["stage"]: line for line in found["stages"]}, "all": found["total"]}


def is_probe(asked: Asked) -> bool:
    return "lighthouse" in str(asked.body) or "about the sea" in str(asked.body)


def sent_by(server: Server, *stage: str) -> int:
    """How many calls a stage makes; not those that try the server."""
    server.calls.clear()
    result = run(*stage)
    assert result.exit_code == 0, result.output
    return sum(not is_probe(call) for call in server.calls)


def test_every_call_of_every_stage_is_foretold_exactly(server: Server) -> None:
    write_params(latents=None)
    said = foretold()
    assert list(said) == [
        "explain one llm",
        "explain two llm",
        "score one pattern detection",
        "score one llm detection",
        "score two pattern detection",
        "score two llm detection",
        "all",
    ]
    assert server.calls == []
    total = 0
    for name in list(said)[:-1]:
        line = said[name]
        assert line["basis"] == "examples"
        # Explanations that a model has yet to make are assumed, and every one of them different.
        if "pattern" in name or "explain" in name:
            assert line["assumed"] == 0
        else:
            assert line["assumed"] == line["to_send"]
        assert sent_by(server, *name.split()) == line["to_send"] == line["calls"] - line["known"] > 0
        total += line["to_send"]
    assert said["all"]["to_send"] == total
    again = foretold()["all"]
    assert (again["calls"], again["known"], again["to_send"]) == (said["all"]["calls"], said["all"]["calls"], 0)
    assert (again["tokens_in"], again["dollars"]) == (0, 0)


def test_what_a_second_explainer_will_say_is_assumed_to_be_something_else(status: dict[str, Any]) -> None:
    text = Path("params.yaml").read_text()
    both = {
        "llm": {"kind": "default", "model": WRITER},
        "other": {"kind": "default", "model": {**WRITER, "temperature": 1}},
    }
    detection = {"kind": "detection", "model": JUDGE, "examples_per_prompt": 4, "latents": 5}
    more = f"explainers: {json.dumps(both)}\nscorers: {json.dumps({'detection': detection})}\n"
    Path("params.yaml").write_text(text.split("explainers:")[0] + more)
    for words in ("explain@other", "score@other-detection"):
        status[address("one", words)] = status[address("one", "explain@llm")]
    said = foretold()
    for explainer in both:
        line = said[f"score one {explainer} detection"]
        assert (line["known"], line["to_send"]) == (0, line["calls"])
        assert line["calls"] > 0


def test_calls_of_a_latent_are_those_of_the_design() -> None:
    write_params(latents=None)
    said = foretold()
    examples = Examples.open(paths.examples("one"))
    kept = examples.meta["kept"]
    assert said["explain one llm"]["calls"] == kept
    windows = [len(latent.test) + len(latent.negative) for latent in examples]
    expected = 2 * sum(-(-n // 4) for n in windows)  # four to a question, with the own and with another's explanation
    assert said["score one llm detection"]["calls"] == expected


def test_a_part_that_is_known_is_not_counted_twice(server: Server) -> None:
    total = foretold()["score one pattern detection"]["calls"]
    server.script = lambda asked: Action(403) if len(server.calls) > 30 else good(asked)
    assert run("score", "one", "pattern", "detection").exit_code == 1
    server.script = good
    line = foretold()["score one pattern detection"]
    assert line["calls"] == total
    assert 0 < line["known"] < total
    assert sent_by(server, "score", "one", "pattern", "detection") == line["to_send"]


def test_a_question_of_two_stages_is_sent_by_the_first(server: Server, status: dict[str, Any]) -> None:
    text = Path("params.yaml").read_text()
    detection = {"kind": "detection", "model": JUDGE, "examples_per_prompt": 4}
    more = {"detection": {**detection, "latents": 5}, "more": {**detection, "latents": 8}}
    Path("params.yaml").write_text(f"{text.split('scorers:')[0]}scorers: {json.dumps(more)}\n")
    status[address("one", "score@pattern-more")] = status[address("one", "score@pattern-detection")]
    said = foretold()
    first, second = said["score one pattern detection"], said["score one pattern more"]
    assert first["known"] == 0
    assert 0 < first["calls"] == second["known"] < second["calls"]  # the eight are those five and three more
    sent_by(server, "score", "one", "pattern", "detection")
    assert sent_by(server, "score", "one", "pattern", "more") == second["to_send"]


def test_answers_that_could_not_be_read_are_asked_for_again(server: Server) -> None:
    readable: list[str] = []

    def script(asked: Asked) -> Action:  # a stage of whose first 20 answers none can be read would end
        if not is_probe(asked) and not readable:
            readable.append(str(asked.body))
        return good(asked) if is_probe(asked) or str(asked.body) in readable else completion(asked, content="Hm.")

    server.script = script
    write_params({**JUDGE, "reasks": 1})
    first = foretold()["score one pattern detection"]
    assert sent_by(server, "score", "one", "pattern", "detection") == 2 * first["to_send"] - 1
    said = foretold()["score one pattern detection"]
    assert (said["calls"], said["to_send"]) == (2 * first["calls"] - 1, 0)
    write_params({**JUDGE, "reasks": 2})
    assert foretold()["score one pattern detection"]["to_send"] == first["calls"] - 1


def test_what_is_up_to_date_asks_nothing(status: dict[str, Any]) -> None:
    status.clear()
    said = foretold()
    assert {line["basis"] for name, line in said.items() if name != "all"} == {"up to date"}
    assert said["all"]["calls"] == 0
    assert run("estimate").stdout == "6 stages that name a language model are up to date.\n"
    status[address("one", "score@llm-detection")] = [{"changed deps": {}}]
    assert "5 stages that name a language model are up to date." in run("estimate").stdout


def test_without_a_language_model_nothing_is_asked() -> None:
    Path("params.yaml").write_text(
        Path("params.yaml").read_text().split("explainers:")[0] + "explainers: {p: {kind: pattern}}\n"
    )
    assert (
        run("estimate").stdout == "No explainer or scorer of params.yaml names a language model, so nothing is asked.\n"
    )


@pytest.mark.parametrize("is_there", [True, False])
def test_without_examples_the_params_tell(server: Server, status: dict[str, Any], is_there: bool) -> None:
    sampling = {
        "latents": {"first": 20},
        "min_activations": 5,
        "window": 8,
        "train": {"n": 6},
        "test": {"per_decile": 1, "negatives": {"random": 10}},
    }
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        text.split("sampling:")[0]
        + f"sampling: {json.dumps(sampling)}\n"
        + "explainers:"
        + text.split("explainers:")[1]
    )
    if is_there:
        status[address("one", "sample")] = [{"changed deps": {"params.yaml": "modified"}}]
    else:
        shutil.rmtree("data")
    said = foretold()
    assert {line["basis"] for name, line in said.items() if "one" in name} == {"params"}
    assert said["explain one llm"]["calls"] == 20
    assert said["score one llm detection"]["calls"] == 2 * 6 * -(-20 // 4)
    assert server.calls == []
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace('{"first": 20}', "all"))
    said = foretold()
    assert said["explain one llm"]["per_latent"]
    assert said["score one pattern detection"]["calls"] == 2 * -(-20 // 4)
    assert said["score one llm detection"]["per_latent"]
    result = run("estimate").stdout
    assert "per latent: of one latent" in result
    assert "params: calculated from made-up examples" in result


def test_a_scorer_of_few_latents_asks_of_few(server: Server) -> None:
    write_params(latents=3)
    said = foretold()["score one pattern detection"]
    assert sent_by(server, "score", "one", "pattern", "detection") == said["to_send"]
    shutil.rmtree("data/examples/one")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("latents: all", "latents: {random: 9}"))
    said = foretold()
    assert (
        said["score one pattern detection"]["calls"] == said["score one llm detection"]["calls"] == 2 * 3 * -(-20 // 4)
    )


def test_of_many_latents_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(latents=None)
    exact = foretold()
    monkeypatch.setattr(forecast, "LATENTS", 7)
    said = foretold()
    for name in ("explain one llm", "score one pattern detection", "score one llm detection"):
        assert said[name]["basis"] == "sample"
        assert said[name]["calls"] == pytest.approx(exact[name]["calls"], rel=0.05)
        assert said[name]["tokens_in"] == pytest.approx(exact[name]["tokens_in"], rel=0.1)
    assert "sample: calculated from the questions of some of the latents" in run("estimate").stdout


def test_latents_that_the_comparison_explains_anew_are_foretold(server: Server, status: dict[str, Any]) -> None:
    with Path("params.yaml").open("a") as file:
        file.write("compare: {ceiling: 5}\n")
    assert foretold()["compare one llm"]["to_send"] == 2 * 5
    for coder in ("one", "two"):
        assert run("explain", coder, "llm").exit_code == 0
        del status[address(coder, "explain@llm")]
    status["compare"] = [{"changed deps": {}}]
    said = foretold()
    assert (said["compare one llm"]["basis"], said["compare two llm"]["known"]) == ("examples", 0)
    assert sent_by(server, "compare") == said["compare one llm"]["to_send"] + said["compare two llm"]["to_send"] == 20
    assert foretold()["compare one llm"]["to_send"] == 0
    del status["compare"]
    assert foretold()["compare one llm"]["basis"] == "up to date"


def test_tokens_and_dollars_are_those_of_the_very_questions() -> None:
    said = foretold()
    line = said["score one pattern detection"]
    assert line["tokens_out_most"] == 50 * line["to_send"]
    assert line["tokens_out"] == pytest.approx((6 * 4 + 1) * line["to_send"], rel=0.1)
    assert line["dollars"] == pytest.approx((line["tokens_in"] * 2 + line["tokens_out"] * 8) / 1e6)
    assert line["dollars_most"] == pytest.approx((line["tokens_in"] * 2 + line["tokens_out_most"] * 8) / 1e6)
    assert line["dollars_batch"] == line["dollars"] / 2
    assert said["explain one llm"]["dollars"] is None  # nobody said what the model w costs
    assert said["explain one llm"]["tokens_out"] == 70 * said["explain one llm"]["to_send"]
    assert said["all"]["dollars"] is None
    result = run("estimate").stdout
    assert "?: runtime.yaml has no price of that model" in result
    assert "tokens in, w, m: rough, 4 bytes a token; English takes 3 to 5" in result


def test_without_known_answers_a_token_has_4_bytes(server: Server) -> None:
    line = foretold()["score one pattern detection"]
    run("score", "one", "pattern", "detection")
    bodies = [call.body["messages"] for call in server.calls if "Examples:" in call.body["messages"][-1]["content"]]
    length = sum(len(message["content"].encode()) + 20 for messages in bodies for message in messages)
    assert line["tokens_in"] == pytest.approx(length / 4, abs=1)


def test_what_known_answers_tell_replaces_assumptions(server: Server) -> None:
    def script(asked: Asked) -> Action:
        return (
            good(asked)
            if is_probe(asked)
            else completion(asked, usage={"prompt_tokens": 1000, "completion_tokens": 20})
        )

    server.script = script
    assert run("score", "one", "pattern", "detection").exit_code == 0
    known = foretold()["score one pattern detection"]
    line = foretold()["score two pattern detection"]
    a_call = line["tokens_in"] / line["to_send"]
    assert a_call == pytest.approx(1000, rel=0.1)
    assert known["known"] == known["calls"]
    assert "tokens in, m: as the server counted those of known answers" in run("estimate").stdout


def test_a_tokenizer_that_lies_here_counts(tmp_path: Path) -> None:
    folder = small_models.make(tmp_path / "tiny")
    write_params({"provider": "transformers", "model": str(folder)})
    line = foretold()["score one pattern detection"]
    assert (line["dollars"], line["dollars_most"]) == (0, 0)
    from transformers import AutoTokenizer

    bytes_a_token = len(b"The lazy dog") / len(AutoTokenizer.from_pretrained(folder)("The lazy dog")["input_ids"])
    rough = foretold()["score one llm detection"]["tokens_in"] / foretold()["score one llm detection"]["to_send"]
    assert bytes_a_token > 1
    assert rough == pytest.approx(line["tokens_in"] / line["to_send"], rel=0.3)
    assert "by its tokenizer, on " in run("estimate").stdout


def test_budgets_are_held_against_what_is_foretold(server: Server) -> None:
    runtime_yaml(server.url, budget={"calls": 100_000, "tokens": 10}, prices={**PRICES, "w": PRICES["m"]})
    said = foretold()["all"]
    result = run("estimate").stdout
    assert (
        f"budget of lab: 100,000 of 100,000 calls left, and these calls take at most {said['to_send']:,.6g}\n" in result
    )
    assert "budget of lab: 10 of 10 tokens left" in result
    assert "it may not be enough" in result


def test_the_table(server: Server) -> None:
    runtime_yaml(server.url, prices={**PRICES, "w": PRICES["m"]})
    said = foretold()
    lines = run("estimate").stdout.splitlines()
    assert lines[0].split() == [
        "calls",
        "known",
        "to",
        "send",
        "tokens",
        "in",
        "tokens",
        "out",
        "dollars",
        "at",
        "most",
        "from",
    ]
    assert lines[1].startswith("explain one llm")
    assert lines[7].startswith("all ")
    assert len({line.find(f"{said[name]['calls']:,}") >= 0 for line, name in zip(lines[1:8], said, strict=True)}) == 1
    assert max(map(len, lines[:8])) <= 110
    assert lines[8].startswith("In batches: ")
    assert "*: questions that hold what a model has yet to say; two lines are assumed of it" in lines


def test_a_scorer_that_can_t_be_foretold_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.errors import GlossaError
    from stages.scorers import detection

    def fail(*_: Any) -> None:
        raise GlossaError("it needs the activations, which are not here")

    monkeypatch.setattr(detection.Options, "judge", fail)
    result = run("estimate")
    assert result.exit_code == 0
    assert "score one llm detection: can't be told: it needs the activations, which are not here" in result.output
