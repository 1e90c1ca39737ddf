"""Which tests are quick, which share a worker, and which begin first: hooks of pytest, told by what a test uses and not by a mark on each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

MODELS = frozenset({"subject_folder", "model_folder", "browser"})
"""Fixtures that make a model or start a browser, as those of whoever asks for a project or a page do."""
SLOW = re.compile(
    r"\b(subprocess|multiprocessing|Popen|fork|transformers|sentence_transformers|dvc\.repo|ray|playwright|moto)\b"
    r"|tests\.(chromium|clones|families|nursery|provenance|repositories)\b|tests\.llm\.(real_servers|small_models|tiny_chat)\b"
)
"""What stands in a file whose tests start processes, load a model or clone the repository."""
LONG = (
    "coders/readers/test_malformed.py", "coders/readers/test_saelens.py", "coders/test_beginnings.py", "coders/test_check",
    "coders/test_directions.py", "coders/test_readings.py", "examples/test_sample.py", "latents/test_merge.py", "latents/test_vector.py",
    "llm/test_access.py", "llm/test_any_bytes.py", "llm/test_budget.py", "llm/test_faults.py", "llm/test_openai.py", "llm/test_probe.py",
    "llm/test_transcript.py", "machine/test_shelf.py", "publish/", "scorers/test_degenerate.py", "subject/", "test_vector.py",
    "wiring/test_optional.py",
)  # fmt: skip
"""Files and folders of tests that take long all the same: many cases, or whole reports."""

TOGETHER = {"tests/wiring/test_edits.py": "watched", "tests/wiring/test_reach.py": "watched"}
"""Files that share what takes long to make, and so a worker; any other file is a group of its own."""
FIRST = (
    "tests/test_end_to_end.py",
    "watched",
    "tests/wiring/test_reruns.py",
    "tests/share/test_producer.py",
    "tests/share/test_colleague.py",
    "tests/test_benchmark_pipeline.py",
    "tests/test_ray.py",
    "tests/llm/test_crashes.py",
)
"""Groups that take longest; they begin first, so that no worker ends long after the others."""
MOST_WORKERS = 8
"""Beyond, workers import and collect for longer than they test."""


@cache
def _are_units(file: Path) -> bool:
    is_long = file.relative_to(Path(__file__).parent).as_posix().startswith(LONG)
    return not is_long and not SLOW.search(file.read_text("utf-8"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only quick tests are asked for, files without any are not even imported."""
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if is_test and config.option.markexpr == "quick" and not _are_units(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before others look at marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests, and sorts them where workers share them."""
    for item in items:
        if _are_units(item.path) and not MODELS & set(getattr(item, "fixturenames", ())):
            item.add_marker("quick")
    if hasattr(config, "workerinput"):
        begins = {group: place for place, group in enumerate(FIRST)}
        items.sort(key=lambda item: begins.get(_group(item.nodeid), len(FIRST)))


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As ``--dist=loadfile`` does, by groups; ``loadgroup`` does not work with the node ids of pytest 9."""
    from xdist.scheduler import LoadFileScheduling

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process for files that are named, where workers would only import what one does; else as many as there are cores, up to some."""
    from xdist.plugin import pytest_xdist_auto_num_workers as cores

    if config.args and all(".py" in argument for argument in config.args):
        return 0
    return min(MOST_WORKERS, cores(config))
