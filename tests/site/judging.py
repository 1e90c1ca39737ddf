"""Verdicts and transcripts for the furnished folder; answers are hostile, and some are none."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from stages import outputs, paths
from stages.explainers import table as explanations
from stages.explainers.table import Explanation
from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.journal.transcript import recording
from stages.scorers import table as scores
from tests.results.furnished import HOSTILE

SYSTEM = "You judge.\n\nBe brief."
LONE = '{"choices": [{"message": {"content": "half \\ud800 pair __proto__"}}], "model": "m"}'
USAGE = {"prompt_tokens": 100, "completion_tokens": 7}


def call(question: str, response: str) -> Call:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    request = canonical.encode({"messages": messages, "model": "asked"})
    return Call(canonical.key("lab", request, 0), "lab", canonical.CHAT, 0, 200, request, response.encode())


def answer(content: str, **more: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": content}}], "model": "answered", **more})


CALLS = [
    call("latent 2, own", answer(HOSTILE, usage=USAGE)),
    call("latent 2, shuffled\nline \u2028 two", "<html>down</html>"),
    call("latent 7", LONE),
    call("asked, and not used", answer("", usage={"prompt_tokens": "many"})),
]
KEYS = [one.key for one in CALLS]


def verdicts() -> pa.Table:
    """Latent 2 by its own and another's explanation, latent 7 by its own."""
    nothing = dict.fromkeys(scores.verdicts_schema().names)

    def row(explanation: str, latent: int, window: int, key: str, **more: Any) -> dict[str, Any]:
        return {**nothing, "explanation": explanation, "latent": latent, "window": window, "request": key, **more}

    test, silent = (
        {"role": "test", "active": True, "decile": 1},
        {"role": "negative", "kind": "random", "active": False},
    )
    return pa.Table.from_pylist(
        [
            row("own", 2, 4, KEYS[0], **test, predicted=True, value=0.98765432),
            row("own", 2, 28, KEYS[0], **silent, decile=0, predicted=None, reason="no answer </script>"),
            row("own", 7, 16, KEYS[2], **test, predicted=False, value=0.1, text="written\n\u202etext"),
            row("shuffled", 2, 4, KEYS[1], **test, predicted=False),
            row("shuffled", 2, 28, "a key that was never asked", **silent, decile=0, predicted=True),
        ],
        scores.verdicts_schema(),
    )


def judge() -> None:
    """Writes verdicts of the detection of ``llm`` on ``one``, and predictions of its embedding; transcripts of that and of ``llm``."""
    folder = paths.scores("one", "llm", "detection")
    table, meta = scores.read(folder)
    measures = scores.read_measures(folder)
    with recording(folder) as recorder:
        for one in CALLS:
            recorder.record(one)
        with scores.writing(folder, recorder) as (writer, into):
            writer.add(verdicts(), table, measures)
            into |= {k: v for k, v in meta.items() if k not in ("schema", "version")}
    predictions = verdicts().set_column(
        9, "values", pa.array([[0.12345, None, 3.0, 0.0], None, [1.0] * 4, None, None], pa.list_(pa.float32()))
    )
    outputs.write_table(paths.scores("one", "llm", "embedding") / "verdicts.parquet", predictions)
    folder = paths.explanations("one", "llm")
    with recording(folder) as recorder:
        asked = call("explain 2", answer("dogs", usage=USAGE))
        recorder.record(asked)
        evidence = {"__proto__": ["</script>", 0.5, None], "analysis": "a\nb\x00"}
        found = [Explanation(2, HOSTILE, None, evidence, asked.key), Explanation(7, "dogs", None, {})]
        explanations.write(folder, found, {}, recorder)
