from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from stages import paths
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.latents import capture
from stages.latents.store import LatentStore
from tests.coders.readers import saelens_folders
from tests.conftest import WIDTH
from tests.folders import tree
from tests.test_tokenize import edit

STORE = "data/latents/one.zarr"


@pytest.fixture
def tokenized(workplace: Path, finished_workplace: Path) -> Path:
    """The working folder after tokenize; one forward pass writes several runs."""
    shutil.copytree(finished_workplace / "data/tokens", workplace / "data/tokens")
    return workplace


def cache(coder: str = "one", **settings: str) -> Result:
    """Caches, with settings of runtime.yaml; nothing is kept for another time unless ``keep_gb`` says so (see latents/test_kept.py)."""
    settings = {"keep_gb": "0", **settings}
    return CliRunner().invoke(
        main, ["cache", coder], env={f"GLOSSA_{key.upper()}": value for key, value in settings.items()}
    )


def test_the_store_says_what_it_was_made_from(at_finished: Path) -> None:
    store = LatentStore.open(paths.latents("one"))
    tokens = Tokens.open()
    meta = store.meta
    assert store.shape == (24, tokens.matrix.size)
    assert meta["tokens_sha256"] == tokens.sha256
    assert meta["coder"]["path"] == "coders/one"
    assert meta["subject"]["model"] == "subject"
    assert (meta["hookpoint"], meta["rows"], meta["context_length"]) == ("layers.0", 100, 32)
    assert (meta["kept_mantissa_bits"], meta["max_relative_error"], meta["sign"]) == (23, 0.0, "nonnegative")
    assert meta["n_events"] == store.statistic("count").sum() > 1000
    assert str(at_finished) not in str(meta)
    top = store.output("top_tokens")
    assert top is not None
    assert top.shape == (24, 10)
    assert not (top == 0).any()  # the special token


def test_nothing_is_stored_at_special_positions(at_finished: Path) -> None:
    tokens = Tokens.open()
    positions = LatentStore.open(paths.latents("two")).csr().indices
    assert not tokens.vocabulary.special[tokens.matrix.ravel()[positions]].any()


def test_the_bytes_are_the_same_with_and_without_sharing(tokenized: Path, finished_workplace: Path) -> None:
    assert "left runs of two in scratch" in cache("one").output
    assert "left runs" not in cache("two").output
    shared = tree(tokenized / "data/latents")
    shutil.rmtree(tokenized / "data/latents")
    for coder in ("one", "two"):
        assert "left runs" not in cache(coder, share_forward="false").output
    assert tree(tokenized / "data/latents") == shared == tree(finished_workplace / "data/latents")


def test_scratch_is_empty_when_all_is_done(tokenized: Path, tmp_path: Path) -> None:
    cache("one")
    assert len(list((tmp_path / "home/scratch").iterdir())) == 1  # what it left for the other coder
    cache("two")
    assert list((tmp_path / "home/scratch").iterdir()) == []


def test_a_killed_cache_goes_on_where_it_stopped(
    tokenized: Path, finished_workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from stages.latents import capture, merge, spec

    monkeypatch.setattr(spec, "RANGE_TOKENS", 20 * 32)
    with mock.patch.object(merge, "gather", side_effect=KeyboardInterrupt):
        assert cache("one", share_forward="false").exit_code == 1
    assert not (tokenized / STORE).exists()
    runs = sorted((tmp_path / "home/scratch").glob("*/run-*.bin"))
    assert len(runs) == 5
    runs[2].unlink()
    with mock.patch.object(capture, "activations", wraps=capture.activations) as forward:
        assert cache("one", share_forward="false").exit_code == 0
    assert forward.call_count == 2  # the row that is tried first, and the missing run
    assert tree(tokenized / STORE) == tree(finished_workplace / STORE)


def test_coders_that_memory_has_no_room_for_wait_for_their_own_stage(tokenized: Path) -> None:
    from stages.latents import job

    with mock.patch.object(job, "_free_memory", return_value=1000):
        assert "left runs" not in cache("one").output


def test_what_is_stored_and_up_to_date_is_not_made_again(tokenized: Path) -> None:
    """No repository of DVC is here, so that nothing says that the store is out of date."""
    assert cache("two", share_forward="false").exit_code == 0
    assert "left runs" not in cache("one").output


def test_what_is_out_of_date_is_made_in_the_same_pass(tokenized: Path) -> None:
    from stages.latents import job

    assert cache("two", share_forward="false").exit_code == 0
    with mock.patch.object(job, "_up_to_date", return_value=set()) as ask:
        assert "left runs of two in scratch" in cache("one").output
    ask.assert_called_once_with(["two"])


PIPELINE = """\
stages:
  cache:
    wdir: ../..
    cmd: python ask.py NAME
    params: [coders.NAME]
    deps: [code.py]
    outs: [data/latents/NAME.zarr]
"""
ASK = """
import sys
from pathlib import Path
Path("data/latents").mkdir(parents=True, exist_ok=True)
Path(f"data/latents/{sys.argv[1]}.zarr").write_text("")
if sys.argv[1] == "one" and Path("code.py").read_text():
    from stages.latents import job
    print("up to date:", job._up_to_date(["two"]))
"""


def test_dvc_knows_what_is_up_to_date_also_while_it_runs_a_stage(
    tokenized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.latents import job

    for coder in ("one", "two"):
        paths.pipeline(coder).parent.mkdir(parents=True)
        paths.pipeline(coder).write_text(PIPELINE.replace("NAME", coder))
    for name, text in {"ask.py": ASK, "code.py": ""}.items():
        (tokenized / name).write_text(text)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    dvc("init", "--no-scm")
    dvc("repro", "--all-pipelines")
    assert job._up_to_date(["one", "two"]) == {"one", "two"}
    edit(tokenized / "params.yaml", "coders/one, hookpoint: layers.0", "coders/one, hookpoint: layers.1")
    assert job._up_to_date(["one", "two"]) == {"two"}
    (tokenized / "code.py").write_text("changed = True")
    assert "up to date: set()" in dvc("repro", "pipelines/one/dvc.yaml:cache")


def test_a_coder_may_read_the_subject_with_random_weights(tokenized: Path) -> None:
    edit(tokenized / "params.yaml", "hookpoint: layers.1}", "hookpoint: layers.1, weights: random}")
    assert "left runs" not in cache("one").output
    assert cache("two").exit_code == 0
    trained, random = (LatentStore.open(paths.latents(name)).meta["subject"] for name in ("one", "two"))
    assert (trained["weights"], random["weights"]) == ("trained", "random")
    assert trained["sha256"] != random["sha256"]


def test_several_processes_give_the_same_bytes(
    tokenized: Path, finished_workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.latents import spec

    monkeypatch.setattr(spec, "RANGE_TOKENS", 20 * 32)  # in this process; the other one is told the ranges
    result = cache("one", workers="2", device="cpu")
    assert result.exit_code == 0, result.output
    assert tree(tokenized / STORE) == tree(finished_workplace / STORE)


def test_a_mistake_in_another_process_is_one_line(tokenized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.latents import workers

    class Lost(workers.Process):
        def capture(self, rows: workers.Range) -> None:
            self._ask(os._exit, 9)

    monkeypatch.setattr(workers, "Process", Lost)
    result = cache("one", workers="2", device="cpu")
    said = result.output.rpartition("\r")[2]  # what is left of the bar's line
    assert (result.exit_code, said.count("\n")) == (1, 1)
    assert said.startswith("Error: the process that cached on cpu ended before its work did")
    assert not (tokenized / STORE).exists()


def test_memory_that_runs_out_halves_the_batch(tokenized: Path, finished_workplace: Path) -> None:
    from stages.latents import capture

    def scarce(subject: Any, hookpoints: Any, ids: Any) -> Any:
        if len(ids) > 30:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return activations(subject, hookpoints, ids)

    activations = capture.activations
    with mock.patch.object(capture, "activations", scarce):
        result = cache("one", batch_tokens=str(100 * 32))
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("out of memory")]
    assert lines == [
        "out of memory with 3,200 tokens at once; going on with 1,600 (batch_tokens in runtime.yaml sets it)",
        "out of memory with 1,600 tokens at once; going on with 800 (batch_tokens in runtime.yaml sets it)",
    ]
    found, expected = (LatentStore.open(folder / STORE).csr() for folder in (tokenized, finished_workplace))
    assert np.array_equal(found.indices, expected.indices)
    assert np.allclose(found.data, expected.data, rtol=1e-4)


def test_no_memory_for_a_single_row_is_a_mistake(tokenized: Path) -> None:
    from stages.latents import capture

    error = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    with mock.patch.object(capture.Capture, "_events", side_effect=error):
        result = cache("one", batch_tokens="64")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(
        "Error: expected memory for one row of 32 tokens through the subject"
    )


def test_runs_may_lie_elsewhere(tokenized: Path, finished_workplace: Path, tmp_path: Path) -> None:
    assert cache("one", scratch="memory://runs").exit_code == 0
    assert not (tmp_path / "home/scratch").exists()
    assert tree(tokenized / STORE) == tree(finished_workplace / STORE)


def test_a_coder_in_half_precision_is_stored_exactly(tokenized: Path) -> None:
    edit(tokenized / "params.yaml", "coders:\n", "cache: {dtype: bfloat16}\ncoders:\n")
    assert cache("one").exit_code == 0
    store = LatentStore.open(paths.latents("one"))
    assert (store.meta["dtype"], store.meta["kept_mantissa_bits"], store.meta["max_relative_error"]) == (
        "bfloat16",
        23,
        0.0,
    )
    assert not (store.csr().data.view(np.uint32) & np.uint32(0xFFFF)).any()


def test_another_coder_that_is_wrong_does_not_stop_this_one(tokenized: Path, make_coder: Callable[..., Path]) -> None:
    edit(tokenized / "params.yaml", "coders:\n", (
        "coders:\n  broken: {path: coders/nowhere, hookpoint: layers.0}\n"
        "  lost: {path: coders/two, hookpoint: layers.9}\n"
        "  wide: {path: coders/wide, hookpoint: layers.0}\n"
        "  list: {path: coders/two, hookpoint: layers}\n"
    ))  # fmt: skip
    make_coder(tokenized / "coders/wide", seed=3, width=20)
    result = cache("one")
    assert result.exit_code == 0, result.output
    assert "left runs of two in scratch" in result.output
    for coder, expected in {
        "broken": "a coder's path should be a folder or a file, but there is none at coders/nowhere",
        "lost": "the subject subject has no hookpoint layers.9; did you mean layers.1 or layers.0",
        "wide": "the coder wide in coders/wide reads 20 values a token, but layers.0 of the subject subject gives 16",
        "list": "the forward pass of the subject subject never reads layers; hook a module inside it",
    }.items():
        result = cache(coder)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert result.output.startswith(f"Error: {expected}")
        assert not paths.latents(coder).exists()


def test_a_lower_precision_is_noted(tokenized: Path) -> None:
    edit(tokenized / "params.yaml", "coders:\n", "cache: {precision: bf16}\ncoders:\n")
    assert cache("one").exit_code == 0
    store = LatentStore.open(paths.latents("one"))
    assert (store.meta["kept_mantissa_bits"], store.meta["max_relative_error"]) == (7, 2.0**-8)
    assert not (store.csr().data.view(np.uint32) & np.uint32(0xFFFF)).any()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  one:", "  other:", "params.yaml has no coder one; did you mean "),
        (
            "model: subject",
            "model: nobody",
            "subject.model should be a causal language model, but nobody can't be loaded",
        ),
    ],
)
def test_a_mistake_is_one_line(tokenized: Path, old: str, new: str, expected: str) -> None:
    edit(tokenized / "params.yaml", old, new)
    result = cache("one")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(f"Error: {expected}")


@pytest.mark.parametrize("first", ["three", "one"])
def test_a_coder_that_can_t_be_read_right_is_warned_of_once(tokenized: Path, first: str) -> None:
    """By the stage that makes its forward pass, its own or that of another coder which shares it."""
    config = saelens_folders.config_of("standard", d_in=WIDTH)
    config["metadata"] |= {"prepend_bos": True}
    tensors = saelens_folders.tensors_of(config)
    tensors["W_dec"] = -tensors["W_dec"]
    saelens_folders.write(tokenized / "coders" / "three", config, tensors)
    edit(tokenized / "params.yaml", "sampling:", "  three: {path: coders/three, hookpoint: layers.0}\nsampling:")
    result = cache(first)
    assert result.exit_code == 0
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("cache three: it leaves ")]
    assert said.endswith("; glossa coder check three tries other readings")
    assert "unexplained" not in result.stdout
    if first == "one":
        assert "cache three: it leaves" not in cache("three").output


def test_the_tokens_have_to_be_there(workplace: Path) -> None:
    assert (
        cache("one").output == "Error: expected glossa/tokens in data/tokens, but it has no meta.json; run dvc repro\n"
    )


@pytest.mark.parametrize(
    ("prepend_bos", "bos", "value"), [(True, "none", "<|end|>"), (False, "<|end|>", "none"), (True, "auto", "<|end|>")]
)
def test_rows_that_begin_otherwise_than_a_coder_s_files_say_are_refused_before_the_forward_pass(
    workplace: Path, prepend_bos: bool, bos: str, value: str
) -> None:
    config = saelens_folders.config_of("standard", d_in=WIDTH)
    config["metadata"] |= {"prepend_bos": prepend_bos, "model_name": "tiny"}
    saelens_folders.write(workplace / "coders" / "three", config, saelens_folders.tensors_of(config))
    edit(workplace / "params.yaml", "sampling:", "  three: {path: coders/three, hookpoint: layers.0}\nsampling:")
    edit(workplace / "params.yaml", "bos: <|end|>", f"bos: {bos}")
    run = CliRunner().invoke
    assert run(main, ["tokenize"]).exit_code == 0
    with mock.patch.object(capture.Capture, "run", side_effect=AssertionError):
        result = cache("three")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    trained = (
        "a BOS in front of every row (prepend_bos: true)" if prepend_bos else "nothing in front of rows (prepend_bos"
    )
    assert f"Error: coders.three: the coder in coders/three was trained with {trained}" in result.output
    assert f"set corpus.bos: {value} in params.yaml" in result.output
    assert not paths.latents("three").exists()
    assert cache("one").exit_code == 0, "no other coder is held up"
    edit(workplace / "params.yaml", f"bos: {bos}", f"bos: {value}")
    assert run(main, ["tokenize"]).exit_code == 0
    assert cache("three").exit_code == 0
    checked = run(main, ["coder", "check", "three"])
    assert "was trained with" not in checked.output
