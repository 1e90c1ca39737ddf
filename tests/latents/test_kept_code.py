"""The code on which what is kept depends: too much may count, never too little."""

from __future__ import annotations

import inspect
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from stages import cache as stage
from stages import registry
from stages.latents import kept
from stages.wiring import reach
from tests.latents.test_kept import is_taken
from tests.test_tokenize import edit

STAGES = Path(reach.FOLDER)


def test_the_code_is_that_which_computes_and_no_other() -> None:
    found = {part.place for part in reach.reached(kept.starts("sparsify"))}
    assert found >= {
        "stages/coders/activations.py:TopK",
        "stages/coders/readers/__init__.py:Options",
        "stages/coders/readers/sparsify.py:read",
        "stages/coders/sparse_coder.py:SparseCoder",
        "stages/corpus/tokens.py:Tokens",
        "stages/latents/batches.py:batches",
        "stages/latents/capture.py:Capture",
        "stages/latents/events.py:Collector",
        "stages/latents/gather.py:gather",
        "stages/latents/merge.py:Shards",
        "stages/latents/runs.py:write",
        "stages/latents/spec.py:round_mantissa",
        "stages/latents/statistics.py:sums",
        "stages/subject/hookpoints.py:activations",
        "stages/subject/load.py:causal_lm",
    }
    files = {place.partition(":")[0] for place in found}
    assert files.isdisjoint(
        f"stages/{file}.py"
        for file in (
            "cache",
            "latents/kept",
            "latents/job",
            "latents/store",
            "coders/neurons",
            "coders/random",
            "sample",
        )
    )
    assert {file for file in files if file.startswith("stages/coders/readers/")} == {
        "stages/coders/readers/__init__.py",
        "stages/coders/readers/files.py",
        "stages/coders/readers/sparsify.py",
    }


@pytest.mark.parametrize("form", [*registry.READERS, *kept.CONTROLS])
def test_every_format_has_code_of_its_own(form: str) -> None:
    (*_, own) = kept.starts(form)
    file = own.replace(".", "/") + ".py"
    assert any(part.place.startswith(f"{file}:") for part in reach.reached(kept.starts(form)))
    assert [other for other in (*registry.READERS, *kept.CONTROLS) if kept.code(other) == kept.code(form)] == [form]


@pytest.fixture(autouse=True)
def nothing_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coders are made up and fit no subject, which changes no activation; what is said of it has tests of its own."""
    monkeypatch.setattr(stage, "_say_doubts", lambda *_: None)


def executed(coder: str) -> set[str]:
    """What runs while a coder is cached, of the rooms that compute: ``stages/coders/activations.py:TopK``."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # modules and bodies of classes, when imported, are none
        if event == "call" and code.co_filename.startswith(str(STAGES)) and is_function:
            file = Path(code.co_filename).relative_to(STAGES.parent).as_posix()
            seen.add(f"{file}:{code.co_qualname.partition('.')[0]}")

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        assert not is_taken(coder)
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
    return {place for place in seen if place.split("/")[1] in ("coders", "corpus", "latents", "outputs.py", "subject")}


NOT_COMPUTING = (
    "stages/latents/job.py",
    "stages/latents/kept.py",
    "stages/latents/workers.py",
    "stages/coders/__init__.py",
)
"""They decide who does what for whom, and what of it is another store."""
OF_DIRECTIONS = ("stages/coders/directions.py", "stages/latents/output.py", "stages/subject/unembedding.py")
"""What latents promote is kept on its own."""


@pytest.mark.parametrize(
    ("entry", "form"),
    [
        ("{path: coders/one, format: sparsify, hookpoint: layers.0}", "sparsify"),
        ("{kind: neurons, hookpoint: layers.0.mlp, k: 3}", "neurons"),
        ("{kind: random, hookpoint: layers.1, latents: 24, k: 4, weights: random}", "random"),
    ],
)
def test_all_that_runs_while_events_are_computed_is_of_that_code(tokenized: Path, entry: str, form: str) -> None:
    edit(tokenized / "params.yaml", "{path: coders/one, hookpoint: layers.0}", entry)
    found = {part.place for part in reach.reached(kept.starts(form))}
    names = {f"{place.partition(':')[0]}:{name}" for place in found for name in place.partition(":")[2].split(", ")}
    ran = executed("one")
    assert "stages/latents/merge.py:merge" in ran
    assert "stages/latents/runs.py:write" in ran, "threads are watched, too"
    assert {place for place in ran - names if not place.startswith((*NOT_COMPUTING, *OF_DIRECTIONS))} <= {
        "stages/coders/readers/sparsify.py:detect",
        "stages/coders/neurons.py:written",
        "stages/latents/capture.py:check_fits",
        "stages/latents/capture.py:dtype_of",
        "stages/latents/capture.py:finished",
        "stages/latents/capture.py:special_sha256",
        "stages/latents/capture.py:target",
        "stages/latents/runs.py:find",
        "stages/latents/runs.py:_hash",
        "stages/latents/spec.py:kept_bits",
        "stages/subject/hookpoints.py:name_of",  # what it returns counts as a value
        "stages/subject/hookpoints.py:width",
        "stages/subject/load.py:pick_device",
    }
