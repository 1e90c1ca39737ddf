"""llama.cpp's llama-server, which does all that is asked of it, with a model that says nothing of sense."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages import paths
from stages.explainers import table as explanations
from stages.llm import load
from stages.llm.forms import probabilities
from stages.llm.providers.openai import Options
from stages.llm.request import Message, Request
from stages.llm.server import session
from stages.scorers import table as scores
from tests.llm import tiny_chat
from tests.llm.asking import question, runtime_yaml
from tests.llm.real_servers import contents, finish, free_port, furnish, glossa, running

BINARY = os.environ.get("LLAMA_SERVER")
MODEL = {"provider": "openai", "endpoint": "lab", "model": "tiny", "max_tokens": 1000}

pytestmark = pytest.mark.skipif(
    not BINARY, reason="LLAMA_SERVER names no llama-server; tests/llm/build_llama_server.sh builds one"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("llama")
    model = tiny_chat.write_gguf(folder, place / "tiny.gguf")
    port = free_port()
    slots = ["-np", "2", "-c", str(2 * tiny_chat.CONTEXT), "-t", "1"]
    command = [str(BINARY), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "--alias", "tiny", *slots]
    with running(command, port, place / "log") as url:
        yield url


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asking(**options: Any) -> Options:
    found = load("model", {**MODEL, **options})
    assert isinstance(found, Options)
    return found


def test_the_probe_finds_out_what_it_does(url: str) -> None:
    runtime_yaml(url, concurrency=1)
    found = session.find_out(asking(logprobs=5))
    assert {name: value for name, value in found._asdict().items() if name not in ("came", "unread")} == {
        "schema": True,
        "logprobs": 5,
        "usage": True,
        "limit": True,
        "seed": None,
        "repeats": True,
        "system": True,
    }
    assert session.find_out(asking(temperature=1.0, seed=1)).seed is True


def test_it_writes_what_transformers_writes(url: str, folder: Path) -> None:
    """The same weights and the same chat template: the GGUF file is right, and so is what is sent."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    runtime_yaml(url)
    texts = ["b", "c", "The sea rose.", "def f(x):"]
    requests = [Request((Message("user", text),), max_tokens=20) for text in texts]
    found = [answer.content for answer in asking(structured="none", reasks=0).answer(requests)]
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in texts:
        chat = [{"role": "user", "content": text}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        written = model.generate(**ids, max_new_tokens=20, do_sample=False)[0, ids["input_ids"].shape[1] :]
        said = tokenizer.decode(written, skip_special_tokens=True).strip()
        expected.append(said if said and len(written) < 20 else None)
    assert found == expected
    assert any(found)


def test_verdicts_keep_to_the_schema_and_labels_that_are_not_reported_have_bounds(url: str) -> None:
    """Under a grammar llama.cpp reports what the model would have said without it, often another token than was taken."""
    runtime_yaml(url)
    answers = list(asking(logprobs=20).answer(question(number, n=3, logprobs=True) for number in range(20)))
    assert all(answer.reason is None for answer in answers)
    for answer in answers:
        verdicts = json.loads(answer.content or "")
        assert [type(value) for value in verdicts.values()] == [bool] * 3
        assert answer.probabilities is not None
        for key, bounds in answer.probabilities.items():
            assert 0 <= bounds.low < bounds.high <= 1
            assert bounds.high == 1 if verdicts[key] else bounds.low == 0
            assert probabilities.value(bounds) is None


def test_the_pipeline_explains_and_judges(url: str, finished_workplace: Path, place: Path) -> None:
    model = {**MODEL, "temperature": 1.0, "seed": 1}
    furnish(finished_workplace, place, url, model, {**MODEL, "logprobs": 20})
    glossa("explain", "one", "written")
    out = paths.explanations("one", "written")
    table, meta = explanations.read(out)
    rows = table.to_pylist()
    assert meta["explained"] > len(rows) / 2
    calls = {row["key"]: row for row in pq.read_table(out / "transcript.parquet").to_pylist()}
    for row in rows:
        response = json.loads(calls[row["request"]]["response"])
        assert response["usage"]["prompt_tokens"] > 500
        if row["explanation"] is not None:
            said = json.loads(response["choices"][0]["message"]["content"])["explanation"]
            assert row["explanation"] == " ".join(said.split())[:500]
    glossa("score", "one", "written", "detection")
    judged = paths.scores("one", "written", "detection")
    verdicts = scores.read_verdicts(judged)
    assert verdicts["predicted"].null_count == 0
    found, meta = scores.read(judged)
    assert meta["models_answered"] == ["tiny"]
    assert sum(meta["probabilities"].values()) == len(verdicts)
    own = found.filter(np.array(found["explanation"].to_pylist()) == scores.OWN)
    assert len(own) == 2
    assert all(0 <= score <= 1 for score in own["score"].to_pylist())
    before = contents(out, judged)
    spent = glossa("journal", "--json")
    glossa("explain", "one", "written")
    glossa("score", "one", "written", "detection")
    assert contents(out, judged) == before
    assert glossa("journal", "--json") == spent
    finish()
    page = (paths.REPORT / "one.html").read_text()
    assert any(html.escape(row["explanation"]) in page for row in rows if row["explanation"])
