"""docs/ray_batch.py: what it makes of an export, and whether what it writes can be imported. The engines themselves need GPUs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stages.llm.batch import answers, questions
from stages.llm.batch.questions import Exported, Writer
from stages.llm.journal.store import Journal
from stages.llm.request import Message, Request
from tests.llm.asking import question
from tests.llm.batch.test_questions import noted


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "docs/ray_batch.py"
    spec = importlib.util.spec_from_file_location("ray_batch", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exported(folder: Path, *requests: Request, **options: Any) -> Exported:
    folder.mkdir()
    writer = Writer(folder)
    for request in requests:
        writer.add(noted(request, **options))
    writer.finish(("explain", "one", "llm"))
    return Exported(folder / questions.MANIFEST)


def engine(row: dict[str, Any], text: str, tokens: int) -> dict[str, Any]:
    """What Ray Data LLM adds to a row, for its columns see ``vLLMOutputData`` in Ray 2.60."""
    return {**row, "generated_text": text, "num_input_tokens": 30, "num_generated_tokens": tokens}


def test_a_question_becomes_what_an_engine_is_asked(script: ModuleType, tmp_path: Path) -> None:
    requests = (question(1), Request((Message("user", "Explain."),), max_tokens=7))
    found = exported(tmp_path / "out", *requests, temperature=0.5, seed=3, top_p=0.9)
    lines = (tmp_path / "out/requests-00001.jsonl").read_text().splitlines()
    first, second = (script.asked({"text": line}) for line in lines)
    assert first["custom_id"] in found.places
    assert first["messages"] == [{"role": m.role, "content": m.content} for m in requests[0].messages]
    sampling = first["sampling_params"]
    assert json.loads(sampling.pop("structured_outputs")["json"]) == requests[0].schema
    assert sampling == {"max_tokens": 50, "temperature": 0.5, "seed": 3, "top_p": 0.9}
    assert second["sampling_params"]["structured_outputs"] is None
    assert second["sampling_params"].keys() == first["sampling_params"].keys() | {"structured_outputs"}


def test_what_an_engine_says_can_be_imported(script: ModuleType, tmp_path: Path) -> None:
    found = exported(tmp_path / "out", question(1), question(2))
    rows = [script.asked({"text": line}) for line in (tmp_path / "out/requests-00001.jsonl").read_text().splitlines()]
    said = [engine(rows[0], '{"a": true, "b": false}', 12), engine(rows[1], '{"a": true, "b"', 50)]
    (tmp_path / "results.jsonl").write_text("\n".join(script.result(row)["line"] for row in said))
    with Journal.at_home() as journal:
        told = answers.bring_in(journal, found, [tmp_path / "results.jsonl"], {})
        finishes = [json.loads(journal[key].response)["choices"][0]["finish_reason"] for key in found.places]
        assert journal.spent("lab") == (2, 30 + 12 + 30 + 50, 0)
    assert (told.new, told.missing, told.models) == (2, 0, {"m": 2})
    assert finishes == ["stop", "length"]


def test_log_probabilities_that_would_be_lost_are_not_asked_for(script: ModuleType, tmp_path: Path) -> None:
    exported(tmp_path / "out", question(1, logprobs=True), logprobs=5)
    with pytest.raises(SystemExit, match="set logprobs: 0 in params"):
        script.asked({"text": (tmp_path / "out/requests-00001.jsonl").read_text()})


def test_what_would_be_lost_otherwise_is_not_asked_for(script: ModuleType, tmp_path: Path) -> None:
    exported(tmp_path / "out", question(1), extra={"chat_template_kwargs": {"enable_thinking": False}})
    with pytest.raises(SystemExit, match="these questions have chat_template_kwargs, which this script does not bring"):
        script.asked({"text": (tmp_path / "out/requests-00001.jsonl").read_text()})
