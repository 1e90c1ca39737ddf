"""The rule of stages/machine, which no fingerprint covers: however a stage is run, its bytes are the same."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.cli import main
from tests.llm import tiny_chat
from tests.wiring.workbench import digest_of

STAGES = (
    ("tokenize",),
    ("cache", "one"),
    ("cache", "two"),
    ("sample", "one"),
    ("explain", "one", "pattern"),
    ("score", "one", "pattern", "detection"),
    ("score", "one", "pattern", "embedding"),
    ("score", "one", "pattern", "surprisal"),
    ("score", "one", "pattern", "pmi"),
)
SCORERS = {
    "detection": {"kind": "detection", "model": {"provider": "pattern"}, "latents": 3},
    "embedding": {"kind": "embedding", "latents": 2},
    "surprisal": {
        "kind": "surprisal",
        "model": {"provider": "transformers", "model": "chat"},
        "shots": 0,
        "latents": 2,
    },
    "pmi": {"kind": "pmi", "model": {"provider": "transformers", "model": "chat"}, "latents": 2},
}
KNOBS: dict[str, dict[str, object]] = {
    "small": {"batch_tokens": 64, "memory_mb": 1, "share_forward": False, "keep_gb": 0, "workers": 1},
    "large": {"batch_tokens": 65_536, "memory_mb": 4096, "share_forward": True, "keep_gb": 1, "embed_at_once": 4096},
    "elsewhere": {
        "scratch": "somewhere/else",
        "device": "cpu",
        "endpoints": {"lab": {"base_url": "https://127.0.0.1:1/v1", "headers": {"x": "y"}, "ca_bundle": "none.pem"}},
    },
}


def made(folder: Path, settings: dict[str, object]) -> dict[str, str]:
    """The hashes of all outputs of a project that is run with some settings."""
    (folder / "runtime.yaml").write_text(json.dumps(settings))
    with chdir(folder):
        for words in STAGES:
            result = CliRunner().invoke(main, words, env={"GLOSSA_HOME": str(folder / "home")})
            assert result.exit_code == 0, (words, result.output, result.exception)
        return {" ".join(words): digest_of(folder, words) for words in STAGES}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished_workplace: Path) -> Path:
    folder = tmp_path_factory.mktemp("bytes") / "project"
    shutil.copytree(finished_workplace, folder, ignore=shutil.ignore_patterns("data", "home"))
    tiny_chat.make(folder / "chat")
    with (folder / "params.yaml").open("a") as file:
        file.write(f"scorers: {json.dumps(SCORERS)}\n")
    return folder


@pytest.fixture(scope="module")
def as_usual(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("usual") / "project"
    shutil.copytree(project, folder)
    return made(folder, {})


@pytest.mark.parametrize("name", KNOBS)
def test_no_knob_changes_a_byte(project: Path, as_usual: dict[str, str], name: str, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "project")
    assert made(tmp_path / "project", KNOBS[name]) == as_usual
