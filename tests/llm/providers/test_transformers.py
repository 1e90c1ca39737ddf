from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stages import llm, paths
from stages.cli import main
from stages.errors import GlossaError
from stages.llm.forms import labels
from stages.llm.journal.store import Journal
from stages.llm.journal.transcript import recording
from stages.llm.providers import local, transformers
from stages.llm.providers.identity import identity
from stages.llm.providers.transformers import Options
from stages.llm.request import Answer, Message, Request
from stages.machine import runtime
from stages.scorers import table
from tests.llm import small_models
from tests.llm.questions import question


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def judge(folder: Path, **options: Any) -> Options:
    entry = {"provider": "transformers", "model": str(folder), "max_tokens": 6, **options}
    model = llm.load("models.judge", entry)
    assert isinstance(model, Options)
    return model


def record(model: Options, requests: Iterator[Request], out: Path) -> tuple[list[Answer], bytes]:
    """The answers, and the transcript's bytes."""
    out.mkdir()
    with recording(out) as transcript:
        answers = list(model.answer(requests))
        transcript.save(out)
    return answers, (out / "transcript.parquet").read_bytes()


def test_verdicts_come_with_probabilities_and_texts_as_they_are(folder: Path) -> None:
    model = judge(folder, reasks=0)
    answers = list(model.answer(question(number) for number in range(8)))
    for number, answer in enumerate(answers):
        assert answer.model == "tiny"
        if number % 2:
            verdicts = json.loads(answer.content or "")
            assert list(verdicts) == list("abc")
            assert answer.probabilities is not None
            for key, verdict in verdicts.items():
                low, high = answer.probabilities[key]
                assert low == high
                assert (low > 0.5) == verdict
        else:
            assert answer.reason == "the answer was cut off at max_tokens" or (answer.content and not answer.reason)
    assert len({answer.content for answer in answers[1::2]}) > 1


def test_an_answer_is_that_of_the_model_to_the_chat(folder: Path) -> None:
    (answer,) = judge(folder).answer([question(1)])
    model = local.load(str(folder), None, "float32")
    chat = "<|turn|>system\nJudge.<|end|><|turn|>user\nQuestion 1, is it true? <|end|><|turn|>assistant\n"
    verdicts = json.loads(answer.content or "")
    text = '{"a":'
    for key, verdict in verdicts.items():
        both = model.log_probabilities([chat + text] * 2, [" false", " true"])
        false, true = (math.exp(float(found.sum())) for _, found in both)
        assert answer.probabilities is not None
        assert answer.probabilities[key].low == pytest.approx(true / (true + false), abs=1e-4)
        following = {"a": ', "b":', "b": ', "c":', "c": "}"}[key]
        text += f" {json.dumps(verdict)}{following}"
    assert text == answer.content


def test_what_prompts_have_in_common_is_read_once_and_changes_no_verdict(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = local.load(str(folder), None, "float32")
    system = "Is it true? The quick brown fox jumps over the lazy dog. " * 4
    asked = [
        Request(
            (Message("system", system), Message("user", f"Question {n}? {'jumps ' * (n % 5)}")),
            labels.schema(3),
            logprobs=True,
        )
        for n in range(20)
    ]
    n_shared = len(model.encode(f"<|turn|>system\n{system}<|end|><|turn|>user\nQuestion "))
    read: list[int] = []
    forward = model.model.forward

    def counted(input_ids: Any, **options: Any) -> Any:
        read.append(input_ids.numel())
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(model.model, "forward", counted)
    found, tokens = [], []
    for least in (transformers.WORTH_KEEPING, 10_000):
        monkeypatch.setattr(transformers, "WORTH_KEEPING", least)
        monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / str(least)))
        found.append(list(judge(folder).answer(asked)))
        tokens.append(sum(read))
        read.clear()
    together, apart = found
    for one, other in zip(together, apart, strict=True):
        assert one.content == other.content
        assert one.probabilities is not None
        assert other.probabilities is not None
        for key in "abc":
            assert one.probabilities[key].low == pytest.approx(other.probabilities[key].low, abs=1e-4)
    # Each of at least twenty rows is shorter by all but the last of the shared tokens, which are read by themselves once.
    assert tokens[1] - tokens[0] >= 19 * (n_shared - 1)
    assert tokens[0] < tokens[1] / 2


def test_the_shared_beginning_is_that_of_all() -> None:
    assert transformers._shared([[1, 2, 3, 9], [1, 2, 4], [1, 2, 3]]) == [1, 2]
    assert transformers._shared([[1, 2], [1, 2, 3]]) == [1, 2]
    assert transformers._shared([[1], [2]]) == []
    assert transformers._shared([[1, 2, 3]]) == transformers._shared([]) == []


def test_nothing_is_made_twice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = judge(folder)
    first = record(model, (question(number % 10) for number in range(30)), tmp_path / "one")
    assert first[0] == first[0][:10] * 3
    with Journal.at_home() as journal:
        assert len(journal) < 10 + 5 * 2 + 1
    monkeypatch.setattr(local, "load", lambda *_: pytest.fail("the model is loaded though nothing has to be made"))
    assert record(judge(folder), (question(number % 10) for number in range(30)), tmp_path / "two") == first


def test_what_is_known_is_answered_without_the_libraries_that_load_a_model(folder: Path) -> None:
    answers = [answer.content for answer in judge(folder).answer(map(question, range(4)))]
    code = (
        "import json, sys\n"
        "from stages import llm\n"
        "from tests.llm.questions import question\n"
        f"model = llm.load('models.judge', {judge(folder).model_dump()!r})\n"
        "said = [answer.content for answer in model.answer(map(question, range(4)))]\n"
        "print(json.dumps([said, sorted({'torch', 'transformers', 'tokenizers'} & {*sys.modules})]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [answers, []]


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOSSA_BATCH_TOKENS", "400")
    monkeypatch.setattr(transformers, "AT_ONCE", 16)
    local.load.cache_clear()
    whole = record(judge(folder, temperature=0.7), map(question, range(40)), tmp_path / "whole")
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "another"))
    add, interruptions = Journal.add, 0

    def interrupted(self: Journal, calls: Any, source: str) -> int:
        nonlocal interruptions
        add(self, calls, source)
        interruptions += 1
        raise KeyboardInterrupt

    for _ in range(6):
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "add", interrupted)
            with pytest.raises(KeyboardInterrupt):
                list(judge(folder, temperature=0.7).answer(map(question, range(40))))
    assert interruptions == 6
    with Journal.at_home() as journal:
        assert 6 <= len(journal) < 60
    assert record(judge(folder, temperature=0.7), map(question, range(40)), tmp_path / "resumed") == whole


def test_a_transcript_can_be_imported_and_read_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, _ = record(judge(folder), map(question, range(6)), tmp_path / "one")
    rows = pq.read_table(tmp_path / "one/transcript.parquet").to_pylist()
    assert {row["endpoint"] for row in rows} == {f"transformers:{identity(str(folder), None, 'float32')}"}
    for row in rows:
        usage = json.loads(row["response"])["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "another"))
    result = CliRunner().invoke(main, ["journal", "import", "one"])
    assert result.output == f"{len({row['key'] for row in rows})} answers are new, 0 known, from 1 transcript\n"
    monkeypatch.setattr(local, "load", lambda *_: pytest.fail("the model is loaded though nothing has to be made"))
    assert list(judge(folder).answer(map(question, range(6)))) == answers


def test_the_key_stands_for_all_that_decides_an_answer(folder: Path, tmp_path: Path) -> None:
    def key(model: Options, request: Request) -> str:
        return model._key(next(transformers.exchange(model, request)))

    same = [judge(folder), judge(folder, temperature=0.0), judge(folder, seed=7), judge(folder, reasks=0)]
    same.append(judge(Path(shutil.copytree(folder, tmp_path / "elsewhere/tiny"))))
    assert len({key(model, question(0)) for model in same}) == 1
    assert key(judge(folder), question(1)) == key(judge(folder, max_tokens=7), question(1))  # verdicts have no limit
    other = small_models.make(tmp_path / "other/tiny", seed=1)
    different = [
        key(judge(folder), question(0)),
        key(judge(folder), question(2)),
        key(judge(folder), question(0, schema=labels.schema(1))),
        key(judge(folder), question(0, sample=1)),
        key(judge(folder, max_tokens=7), question(0)),
        key(judge(folder, temperature=0.5), question(0)),
        key(judge(folder, temperature=0.5, seed=1), question(0)),
        key(judge(folder, dtype="bfloat16"), question(0)),
        key(judge(folder, template={"shout": True}), question(0)),
        key(judge(other), question(0)),
    ]
    assert len(set(different)) == len(different)


def test_above_temperature_0_samples_and_seeds_differ_and_repeat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(seed: int) -> list[str | None]:
        requests = [question(0, sample=sample, max_tokens=12) for sample in range(3)]
        calls = [answer.key for answer in judge(folder, temperature=1.0, seed=seed, reasks=0).answer(requests)]
        with Journal.at_home() as journal:
            return [json.loads(journal[key or ""].response)["choices"][0]["message"]["content"] for key in calls]

    first, other = said(0), said(1)
    assert len({*first, *other}) == 6
    monkeypatch.setenv("GLOSSA_HOME", "another")
    assert said(0) == first


def test_what_can_not_be_read_is_asked_for_again_with_the_reason(folder: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"why": {"type": "string"}},
        "required": ["why"],
        "additionalProperties": False,
    }
    (answer,) = judge(folder, reasks=1, max_tokens=40).answer([question(1, schema=schema)])
    assert answer.content is None
    with Journal.at_home() as journal:
        last = json.loads(journal[answer.key or ""].request)["messages"][-1]["content"]
        assert len(journal) == 2
    assert "An earlier answer could not be used: the answer" in last
    assert "Now give the JSON object that was asked for" in last


def test_a_question_that_is_too_long_is_said_before_anything_is_made(folder: Path) -> None:
    with pytest.raises(GlossaError, match="reads at most 1,024 tokens, but a prompt with its answer has"):
        list(judge(folder, max_tokens=1000).answer([question(0)]))
    with Journal.at_home() as journal:
        assert len(journal) == 0


def test_log_probabilities_of_texts_are_at_hand(folder: Path) -> None:
    ((tokens, found),) = judge(folder).log_probabilities(["The quick brown fox"], [" jumps over"])
    assert len(tokens) == len(found)
    assert (found < 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 3}, "models.judge.temperature should be less than or equal to 2"),
        ({"endpoint": "lab"}, "models.judge has no key 'endpoint'"),
        ({"dtype": "int8"}, "models.judge.dtype should be"),
    ],
)
def test_a_wrong_option_is_named(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(GlossaError) as caught:
        judge(folder, **options)
    assert said in str(caught.value)


def test_a_score_stage_judges_with_it(
    folder: Path, tmp_path: Path, finished_workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_workplace, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    entry = {"kind": "detection", "model": {"provider": "transformers", "model": str(folder)}, "latents": 3}
    with Path("params.yaml").open("a") as file:
        file.write(f"scorers:\n  detection: {json.dumps(entry)}\n")
    assert runtime.load().batch_tokens is None
    for arguments in (["explain", "one", "pattern"], ["score", "one", "pattern", "detection"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    out = paths.scores("one", "pattern", "detection")
    verdicts = table.read_verdicts(out).to_pylist()
    assert verdicts
    for verdict in verdicts:
        assert verdict["predicted"] == (verdict["value"] > 0.5)
    _, meta = table.read(out)
    assert meta["models_answered"] == ["tiny"]
    assert meta["probabilities"] == {"exact": len(verdicts)}
