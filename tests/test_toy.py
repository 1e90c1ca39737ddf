"""The committed toy is what its card says, and what its own pipeline's lock says."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import coders

TOY = Path(__file__).parent / "toy"


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return json.loads((TOY / "metrics.json").read_text())


def test_the_card_lists_every_file_with_its_hash(metrics: dict[str, Any]) -> None:
    files = {
        path.relative_to(TOY).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("subject", "coders")
        for path in (TOY / part).rglob("*")
        if path.is_file()
    }
    listed = dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (TOY / "README.md").read_text(), re.MULTILINE))
    assert files == listed == metrics["sha256"]


def test_the_lock_holds_the_committed_files() -> None:
    lock = YAML(typ="safe").load(TOY / "pipeline/dvc.lock")
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    files = {out["path"]: out["md5"] for out in outs if not out["md5"].endswith(".dir")}
    committed = {path: md5 for path, md5 in files.items() if path.startswith("../")}
    assert len(committed) >= 7
    for path, md5 in committed.items():
        assert hashlib.md5((TOY / "pipeline" / path).read_bytes()).hexdigest() == md5, path


def test_the_toy_is_small() -> None:
    committed = [
        path for part in ("subject", "coders", "pipeline") for path in (TOY / part).rglob("*") if path.is_file()
    ]
    assert sum(path.stat().st_size for path in committed if "scratch" not in path.parts) < 25e6


def test_the_subject_beats_its_baselines(metrics: dict[str, Any]) -> None:
    subject = metrics["subject"]
    assert 2_500_000 <= subject["parameters"] <= 5_000_000
    assert subject["held_out_loss"] < subject["trigram_loss"] - 0.5
    assert subject["trigram_loss"] < subject["bigram_loss"] < subject["unigram_loss"]


def test_the_coders_load_and_are_alive(metrics: dict[str, Any]) -> None:
    assert len(metrics["coders"]) >= 5
    for name, facts in metrics["coders"].items():
        coder = coders.load(str(TOY / "coders" / name))
        assert (coder.n_latents, coder.d_in, coder.identity["k"]) == (facts["latents"], 256, facts["k"])
        assert facts["dead"] < 0.01
        assert facts["loss_recovered"] > 0.75
