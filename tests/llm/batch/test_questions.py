from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from stages.errors import GlossaError
from stages.llm.batch import questions
from stages.llm.batch.questions import Exported, Writer
from stages.llm.journal import canonical
from stages.llm.rehearsal import Noted
from stages.llm.request import SAMPLES, Request
from stages.llm.server.exchange import Question, exchange
from tests.llm.asking import judge, question


def noted(request: Request, again: int = 0, **options: Any) -> Noted:
    model = judge(**options)
    asked = next(exchange(model, request))
    if again:
        body, number = model.body(request, again, "the answer is empty"), request.sample + SAMPLES * again
        asked = Question(body, number, asked.max_tokens)
    return Noted(model, request, asked, canonical.key(model.endpoint, asked.body, asked.number), None)


def written(folder: Path, asked: list[Noted], **limits: int) -> dict[str, Any]:
    """The manifest of an export of these questions."""
    folder.mkdir()
    writer = Writer(folder, **limits)
    for one in asked:
        writer.add(one)
    writer.finish(("explain", "one", "llm"))
    return json.loads((folder / questions.MANIFEST).read_text())


def test_a_line_is_a_request_of_openais_batch_api_with_the_very_bytes_of_the_question(tmp_path: Path) -> None:
    asked = [noted(question(number)) for number in range(3)]
    manifest = written(tmp_path / "out", asked)
    data = (tmp_path / "out/requests-00001.jsonl").read_bytes()
    for one, line in zip(asked, data.splitlines(), strict=True):
        value = json.loads(line)
        assert list(value) == ["custom_id", "method", "url", "body"]
        assert (value["custom_id"], value["method"], value["url"]) == (one.key, "POST", "/v1/chat/completions")
        assert value["body"] == json.loads(one.question.body)
        assert one.question.body in line
    assert manifest == {
        "schema": "glossa/batch",
        "version": 1,
        "stage": "explain one llm",
        "requests": 3,
        "files": [
            {
                "name": "requests-00001.jsonl",
                "endpoint": "lab",
                "model": "m",
                "sample": 0,
                "requests": 3,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        ],
    }


def test_files_keep_to_both_limits(tmp_path: Path) -> None:
    asked = [noted(question(number)) for number in range(10, 30)]
    size = len(questions.HEAD + questions.TAIL + asked[0].question.body) + 64 + 2
    by_lines = written(tmp_path / "lines", asked, most_lines=7)
    assert [file["requests"] for file in by_lines["files"]] == [7, 7, 6]
    by_bytes = written(tmp_path / "bytes", asked, most_bytes=6 * size + 5)
    assert [file["requests"] for file in by_bytes["files"]] == [6, 6, 6, 2]
    exactly = written(tmp_path / "exactly", asked, most_lines=10, most_bytes=10 * size)
    assert [file["bytes"] for file in exactly["files"]] == [10 * size] * 2
    for folder, manifest in (("lines", by_lines), ("bytes", by_bytes), ("exactly", exactly)):
        assert [file["bytes"] for file in manifest["files"]] == [
            (tmp_path / folder / file["name"]).stat().st_size for file in manifest["files"]
        ]
        assert len(Exported(tmp_path / folder / questions.MANIFEST).places) == 20
    with pytest.raises(GlossaError, match="larger than a file of 100 bytes"):
        written(tmp_path / "tiny", asked, most_bytes=100)


def test_a_file_is_for_one_model_and_one_sample(tmp_path: Path) -> None:
    asked = [
        noted(question(1)),
        noted(question(2), model="n"),
        noted(question(1, sample=1)),
        noted(question(3)),
        noted(question(4), endpoint="home"),
        noted(question(5), again=1),
    ]
    manifest = written(tmp_path / "out", asked)
    assert [(file["endpoint"], file["model"], file["sample"], file["requests"]) for file in manifest["files"]] == [
        ("lab", "m", 0, 2),
        ("lab", "n", 0, 1),
        ("lab", "m", 1, 1),
        ("home", "m", 0, 1),
        ("lab", "m", SAMPLES, 1),
    ]
    exported = Exported(tmp_path / "out" / questions.MANIFEST)
    for one in asked:
        call = exported.call(one.key, b"{}", 200)
        assert (call.key, call.endpoint, call.sample) == (one.key, one.options.endpoint, one.question.number)
        assert call.request == one.question.body
        assert exported.model(one.key) == one.options.model


def test_an_export_that_was_changed_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "out", [noted(question(1))])
    file = tmp_path / "out/requests-00001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"Question 1", b"Question 9"))
    with pytest.raises(GlossaError, match=r"requests-00001\.jsonl as it was exported, but it is another"):
        Exported(tmp_path / "out" / questions.MANIFEST)
    file.unlink()
    with pytest.raises(GlossaError, match="No such file or directory"):
        Exported(tmp_path / "out" / questions.MANIFEST)


@pytest.mark.parametrize("manifest", [None, "{", "[]", "{}", '{"schema": "glossa/batch", "version": 2}'])
def test_a_folder_that_is_no_export_is_refused(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / questions.MANIFEST).write_text(manifest)
    with pytest.raises(GlossaError, match=r"expected the manifest\.json of an export"):
        Exported(tmp_path / questions.MANIFEST)
