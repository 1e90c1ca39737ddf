"""From a stage's questions, through files that somebody else answers, to the same results as asking a server."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages import paths
from stages.llm.journal import canonical
from stages.machine import runtime
from stages.scorers import table
from tests.llm import asking, small_models
from tests.llm.asking import done, move_into, run
from tests.llm.scripted_server import Action, Asked, Server, completion, good

JUDGE = {**asking.JUDGE, "system": "turn"}  # which nobody can find out who asks no server
OUT = paths.scores("one", "pattern", "detection")
SCORE = ("score", "one", "pattern", "detection")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def place(tmp_path: Path, finished_workplace: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = move_into(tmp_path / "place", finished_workplace, server.url, monkeypatch)
    entry = {"kind": "detection", "model": {**JUDGE, "logprobs": 5}, "examples_per_prompt": 4, "latents": 6}
    explainers = {"pattern": {"kind": "pattern"}, "llm": {"kind": "default", "model": JUDGE}}
    text = Path("params.yaml").read_text().split("explainers:")[0]
    more = {"explainers": explainers, "scorers": {"detection": entry}}
    Path("params.yaml").write_text(text + "".join(f"{key}: {json.dumps(value)}\n" for key, value in more.items()))
    assert run("explain", "one", "pattern").exit_code == 0
    return folder


def answer(folder: Path, script: Callable[[Asked], Action] = good) -> Path:
    """Does what ``vllm run-batch`` does: answers every line of every file of an export."""
    results = folder / "results.jsonl"
    with results.open("w") as file:
        for path in sorted(folder.glob("requests-*.jsonl")):
            for line in path.read_text().splitlines():
                asked = json.loads(line)
                body = json.loads(script(Asked(asked["custom_id"], asked["body"], 1, {})).body)
                response = {"status_code": 200, "request_id": "r", "body": body}
                value = {"id": "i", "custom_id": asked["custom_id"], "response": response, "error": None}
                file.write(json.dumps(value) + "\n")
    return results


def same(asked: Asked) -> Action:
    """What the server answers to a body: it knows it by its digest."""
    return good(asked._replace(digest=hashlib.sha256(canonical.encode(asked.body)).hexdigest()))


def test_the_way_through_files_leads_to_what_a_server_would_have_answered(server: Server) -> None:
    done(*SCORE)
    expected = {name: (OUT / name).read_bytes() for name in ("scores.parquet", "verdicts.parquet", "meta.json")}
    n = len(server.calls) - 3
    shutil.rmtree(OUT)
    shutil.rmtree(runtime.home())
    said = done("batch", "export", *SCORE, "--out", "batches/one", "--lines", "10")
    assert said.startswith(f"{n} questions are in batches/one, 0 more known already\nNext: ")
    files = sorted(Path("batches/one").iterdir())
    assert [file.name for file in files] == [
        "manifest.json",
        *(f"requests-{i + 1:05}.jsonl" for i in range(-(-n // 10))),
    ]
    said = done("batch", "import", str(answer(Path("batches/one"), same)))
    assert said == f"{n} answers are new ({n} by m), 0 known\nEvery question has an answer, {n} in all\n"
    sent = len(server.calls)
    done(*SCORE)
    assert len(server.calls) == sent
    assert {name: (OUT / name).read_bytes() for name in expected} == expected
    said = done("batch", "export", *SCORE, "--out", "batches/two")
    assert (
        said
        == f"Every question that score one pattern detection can ask now, {n} in all, has an answer; run dvc repro\n"
    )
    assert not Path("batches/two").exists()


def test_what_has_an_answer_is_left_out(server: Server) -> None:
    server.script = lambda asked: Action(403) if len(server.calls) > 23 else good(asked)
    assert run(*SCORE).exit_code == 1
    told = json.loads(done("batch", "export", *SCORE, "--out", "batch", "--json"))
    assert told["folder"] == "batch"
    assert told["known"] >= 15
    everything = told["requests"] + told["known"]
    done("batch", "import", str(answer(Path("batch"))))
    server.script = good
    sent = len(server.calls)
    done(*SCORE)
    assert len(server.calls) == sent
    assert len({verdict["request"] for verdict in table.read_verdicts(OUT).to_pylist()}) == everything


def test_what_can_t_be_read_is_asked_anew_in_the_next_round(server: Server) -> None:
    explain = ("explain", "one", "llm")

    def script(asked: Asked) -> Action:
        return (
            completion(asked, content="Hm.")
            if "could not be used" not in asked.body["messages"][-1]["content"]
            else good(asked)
        )

    first = json.loads(done("batch", "export", *explain, "--out", "1", "--json"))
    done("batch", "import", str(answer(Path("1"), script)))
    second = json.loads(done("batch", "export", *explain, "--out", "2", "--json"))
    assert second == {"requests": first["requests"], "known": first["requests"], "folder": "2"}
    manifest = json.loads(Path("2/manifest.json").read_text())
    assert [file["sample"] for file in manifest["files"]] == [1000]
    done("batch", "import", str(answer(Path("2"), script)))
    assert json.loads(done("batch", "export", *explain, "--out", "3", "--json"))["requests"] == 0
    done(*explain)
    assert server.calls == []


def test_a_part_of_the_results_can_come_first_and_from_another_folder(tmp_path: Path) -> None:
    done("batch", "export", *SCORE, "--out", "batch")
    lines = answer(Path("batch")).read_text().splitlines()
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join([*lines[::-2], "{", lines[0][:50]]))
    result = run("batch", "import", str(part))
    assert result.exit_code == 1
    assert "expected the manifest.json of the export beside" in result.output
    result = run("batch", "import", str(part), "--requests", "batch")
    n = len(lines[::-2])
    assert result.exit_code == 0
    assert result.stdout == (
        f"{n} answers are new ({n} by m), 0 known\n"
        f"No answer yet: {len(lines) - n} of {len(lines)} questions; have them answered, or let dvc repro ask\n"
    )
    assert result.stderr == (
        f"2 lines are damaged and were left out: {part}:{n + 1}: no whole JSON, {part}:{n + 2}: no whole JSON\n"
    )
    told = json.loads(done("batch", "import", "batch/results.jsonl", "--json"))
    assert (told["new"], told["known"], told["missing"], told["damaged"]) == (
        len(lines) - n,
        n,
        0,
        {"n": 0, "examples": []},
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("explain",),
            "expected explain CODER EXPLAINER or score CODER EXPLAINER SCORER, found explain; name one stage",
        ),
        (("cache", "one"), "found cache one; name one stage"),
        (("explain", "won", "llm"), "has no coder won; did you mean"),
        (("score", "one", "llm", "detective"), "has no scorer detective; did you mean detection?"),
        (("explain", "one", "pattern"), "explain one pattern asks no language model, so there is nothing to export"),
        (("score", "one", "llm", "detection"), "run dvc repro"),  # its explanations are not there
    ],
)
def test_what_can_t_be_exported_is_said(arguments: tuple[str, ...], said: str) -> None:
    result = run("batch", "export", *arguments, "--out", "out")
    assert result.exit_code == 1
    assert said in result.output
    assert not list(Path().glob("*out*"))


def test_a_model_in_this_process_needs_no_files(tmp_path: Path) -> None:
    local: dict[str, Any] = {"provider": "transformers", "model": str(small_models.make(tmp_path / "tiny"))}
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace(json.dumps({**JUDGE, "logprobs": 5}), json.dumps(local)))
    result = run("batch", "export", *SCORE, "--out", "out")
    assert result.exit_code == 1
    assert "answers in this process, so there is nothing to export" in result.output
    assert not list(Path().glob("*out*"))


def test_nothing_is_written_over() -> None:
    Path("out").mkdir()
    Path("out/mine").write_text("mine")
    result = run("batch", "export", *SCORE, "--out", "out")
    assert "expected a new or an empty folder at out, but there is something" in result.output
    assert Path("out/mine").read_text() == "mine"
