"""From explanations to verdicts, batch files and the audit with a judge whose chat template has no turn of the system."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import params
from stages.llm.journal import canonical, transcript
from stages.machine import runtime
from stages.provenance import replayed
from stages.provenance.project import Project
from stages.provenance.project import Result as Output
from stages.scorers import detection, table
from tests.llm.asking import JUDGE, done, move_into, run
from tests.llm.refusing import has_system, refusing
from tests.llm.scripted_server import Action, Asked, Server, good

EXPLAIN, SCORE = ("explain", "one", "llm"), ("score", "one", "llm", "detection")
EXPLAINED, SCORED = Output("one", "llm"), Output("one", "llm", "detection")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(refusing("vllm")) as server:
        yield server


@pytest.fixture(autouse=True)
def place(tmp_path: Path, finished_workplace: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = move_into(tmp_path / "place", finished_workplace, server.url, monkeypatch)
    write()
    return folder


def write(**options: Any) -> None:
    """Writes params.yaml with a model that explains and judges."""
    model = {**JUDGE, **options}
    text = Path("params.yaml").read_text().split("explainers:")[0]
    explainers = {"llm": {"kind": "default", "model": model}}
    scorers = {"detection": {"kind": "detection", "model": model, "examples_per_prompt": 4, "latents": 4}}
    Path("params.yaml").write_text(f"{text}explainers: {json.dumps(explainers)}\nscorers: {json.dumps(scorers)}\n")


def contents(output: Output) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in output.folder.iterdir()}


def requests(output: Output) -> list[dict[str, Any]]:
    return [json.loads(one) for one in pq.read_table(output.folder / transcript.NAME)["request"].to_pylist()]


def failures() -> dict[str, list[str]]:
    """What an audit of both stages has to say against them."""
    project = Project(params.load(), 20)
    found: dict[str, list[str]] = {}
    for output in (EXPLAINED, SCORED):
        for check in replayed.of_result(project, output):
            assert check.checked or check.name != "prompts"
            found.setdefault(check.name, []).extend(failure.said for failure in check.failures)
    return found


def test_it_explains_and_judges_and_asks_nothing_twice(server: Server) -> None:
    done(*EXPLAIN)
    done(*SCORE)
    for output in (EXPLAINED, SCORED):
        asked = requests(output)
        assert asked
        assert {turn["role"] for body in asked for turn in body["messages"]} <= {"user", "assistant"}
    (turn,) = requests(SCORED)[0]["messages"]
    assert turn["content"].startswith((Path(detection.__file__).parent / "detection.md").read_text()[:100])
    assert "Examples:" in turn["content"]
    assert table.read_verdicts(SCORED.folder)["predicted"].null_count == 0
    refused = sum(map(has_system, server.calls))
    assert refused == 1
    sent, before = len(server.calls), (contents(EXPLAINED), contents(SCORED))
    done(*EXPLAIN)
    done(*SCORE)
    assert len(server.calls) == sent
    assert (contents(EXPLAINED), contents(SCORED)) == before


def test_on_another_machine_the_transcripts_are_enough(server: Server) -> None:
    done(*EXPLAIN)
    before, sent = contents(EXPLAINED), len(server.calls)
    shutil.rmtree(runtime.home())
    done("journal", "import", "data")
    done(*EXPLAIN)
    assert contents(EXPLAINED) == before
    assert len(server.calls) == sent


def test_an_audit_renders_what_was_asked_and_tells_what_was_not(server: Server) -> None:
    done(*EXPLAIN)
    done(*SCORE)
    shutil.rmtree(runtime.home())  # what was found out about the server has no part in it
    Path("runtime.yaml").unlink()
    assert not any(failures().values())
    path = EXPLAINED.folder / transcript.NAME
    rows = pq.read_table(path)
    at = rows.schema.get_field_index("request")
    changed = [text.replace("language model", "model") for text in rows["request"].to_pylist()]
    keys = [canonical.key("lab", text.encode(), 0) for text in changed]
    rows = rows.set_column(at, rows.schema.field(at), [changed]).set_column(0, rows.schema.field(0), [keys])
    pq.write_table(rows, path)
    said = failures()["prompts"]
    assert said
    assert all("turn 1 of" in one and "would be sent with" not in one for one in said)


def answer(folder: Path, server: Server) -> Path:
    """Does what ``vllm run-batch`` does: a line that is refused has the status of the refusal."""
    results = folder / "results.jsonl"
    with results.open("w") as file:
        for path in sorted(folder.glob("requests-*.jsonl")):
            for line in path.read_text().splitlines():
                asked = json.loads(line)
                digest = hashlib.sha256(canonical.encode(asked["body"])).hexdigest()
                came = server.script(Asked(digest, asked["body"], 1, {}))
                response = {"status_code": came.status, "request_id": "r", "body": json.loads(came.body)}
                file.write(json.dumps({"custom_id": asked["custom_id"], "response": response, "error": None}) + "\n")
    return results


def test_files_hold_the_shape_that_was_set_found_out_or_asked_before(server: Server) -> None:
    result = run("batch", "export", *EXPLAIN, "--out", "batch")
    assert result.exit_code == 1
    assert "nobody has found out what its server takes; set system: turn, or system: user" in result.output
    assert not Path("batch").exists()
    assert server.calls == []
    write(system="user")
    n = json.loads(done("batch", "export", *EXPLAIN, "--out", "batch", "--json"))["requests"]
    lines = [json.loads(line) for line in Path("batch/requests-00001.jsonl").read_text().splitlines()]
    assert len(lines) == n > 0
    assert {line["body"]["messages"][0]["role"] for line in lines} == {"user"}
    said = done("batch", "import", str(answer(Path("batch"), server)))
    assert said.endswith(f"Every question has an answer, {n} in all\n")
    done(*EXPLAIN)
    write()  # what was answered is taken as it was asked
    done(*EXPLAIN)
    assert server.calls == []
    write(max_tokens=60)  # and nothing of this
    assert run("batch", "export", *EXPLAIN, "--out", "other").exit_code == 1


def test_what_a_probe_has_found_out_holds_for_files_and_the_estimate(server: Server) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(f"{text}models: {json.dumps({'judge': JUDGE})}\n")
    done("probe", "judge")
    sent = len(server.calls)
    done("batch", "export", *EXPLAIN, "--out", "batch")
    (line, *_) = Path("batch/requests-00001.jsonl").read_text().splitlines()
    assert json.loads(line)["body"]["messages"][0]["role"] == "user"
    assert len(server.calls) == sent


def test_a_server_that_takes_it_gets_it(server: Server) -> None:
    server.script = good
    done(*EXPLAIN)
    assert all(body["messages"][0]["role"] == "system" for body in requests(EXPLAINED))
    assert not any(check.failures for check in replayed.of_result(Project(params.load(), 20), EXPLAINED))


def test_a_refusal_in_the_middle_of_a_stage_keeps_what_was_answered(server: Server) -> None:
    def script(asked: Asked) -> Action:
        return good(asked) if len(server.calls) < 8 else refusing("vllm")(asked)

    server.script = script
    result = run(*EXPLAIN)
    assert result.exit_code == 1
    assert "400 (System role not supported)" in result.output
    assert "Traceback" not in result.output
