"""Where no forward pass is made, stage ``cache`` loads no subject, and writes the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from stages import gguf, paths
from stages.cli import main
from stages.latents import output
from stages.subject import load as loading
from stages.wiring import reach
from tests.folders import tree
from tests.llm import tiny_chat
from tests.test_tokenize import edit

TWO = "  two: {path: coders/two, hookpoint: layers.1}\n"


def cache(coder: str, **settings: str) -> Result:
    settings = {"keep_gb": "0", **settings}
    return CliRunner().invoke(
        main, ["cache", coder], env={f"GLOSSA_{key.upper()}": value for key, value in settings.items()}
    )


@contextmanager
def unloadable() -> Iterator[None]:
    """While it lasts, it is an error to load a model."""
    with mock.patch.object(loading, "causal_lm", side_effect=AssertionError("the subject was loaded")):
        yield


def passed(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def needs_the_subject(coder: str, **settings: str) -> bool:
    """Whether caching loads the subject, of which nothing is left behind."""
    with unloadable():
        result = cache(coder, **settings)
    assert result.exception is None or isinstance(result.exception, AssertionError), result.output
    return result.exception is not None


@pytest.fixture
def shared(tokenized: Path) -> Path:
    """The working folder after the first coder, whose forward pass has left the runs of the second."""
    assert "left runs of two in scratch" in passed(cache("one")).output
    return tokenized


def test_the_other_coders_of_one_pass_need_no_subject(shared: Path, finished_workplace: Path, tmp_path: Path) -> None:
    with unloadable():
        said = passed(cache("two")).output
    assert "left runs" not in said
    assert tree(paths.latents("two")) == tree(finished_workplace / paths.latents("two"))
    assert list((tmp_path / "home/scratch").iterdir()) == []


def test_they_import_no_transformers(shared: Path, finished_workplace: Path) -> None:
    code = (
        "import atexit, sys\n"
        "names = ('transformers', 'sentence_transformers', 'pandas', 'tokenizers', 'accelerate', 'sklearn')\n"
        "atexit.register(lambda: print(*sorted({*names} & {*sys.modules}), file=sys.stderr))\n"
        "from stages.cli import main\n"
        "main(['cache', 'two'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(reach.FOLDER).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n"), done.stderr
    assert tree(paths.latents("two")) == tree(finished_workplace / paths.latents("two"))


def test_a_store_that_was_kept_needs_no_subject(tokenized: Path) -> None:
    passed(cache("one", keep_gb="1", share_forward="false"))
    before = tree(paths.latents("one"))
    shutil.rmtree(paths.latents("one"))
    with unloadable():
        assert "taken from the store that was kept" in passed(cache("one", keep_gb="1")).output
    assert tree(paths.latents("one")) == before
    edit(tokenized / "params.yaml", "  one:", "  other:")
    assert not needs_the_subject("other", keep_gb="1")


def no_run(home: Path) -> None:
    (run,) = home.glob("scratch/*/run-*.bin")
    run.unlink()


def damaged_run(home: Path) -> None:
    (run,) = home.glob("scratch/*/run-*.bin")
    raw = bytearray(run.read_bytes())
    raw[-1] ^= 1
    run.write_bytes(raw)


def nothing_promoted(home: Path) -> None:
    shutil.rmtree(home / output.KEPT)


def damaged_promoted(home: Path) -> None:
    for file in (home / output.KEPT).iterdir():
        file.write_bytes(file.read_bytes()[:-1])


def unknown_subject(home: Path) -> None:
    shutil.rmtree(home / "subjects")


@pytest.mark.parametrize("change", [no_run, damaged_run, nothing_promoted, damaged_promoted, unknown_subject])
def test_what_is_missing_or_damaged_is_made_by_the_subject(
    shared: Path, finished_workplace: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(tmp_path / "home")
    assert needs_the_subject("two")
    passed(cache("two"))
    assert tree(paths.latents("two")) == tree(finished_workplace / paths.latents("two"))


def test_a_changed_subject_is_loaded_and_said_to_be_another(shared: Path) -> None:
    config = shared / "subject/config.json"
    config.write_text(config.read_text().replace("1e-06", "1e-05"))
    assert needs_the_subject("two")


def test_a_changed_coder_is_another_one(shared: Path, make_coder: Callable[..., Path]) -> None:
    shutil.rmtree(shared / "coders/two")
    make_coder(shared / "coders/two", seed=3)
    assert needs_the_subject("two")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{path: coders/two, hookpoint: layers.9}",
            "the subject subject has no hookpoint layers.9; did you mean layers.1 or layers.0",
        ),
        (
            "{path: coders/two, hookpoint: layers.1.mlp.normalized}",
            "the hookpoint layers.1.mlp.normalized should end in .normalized only behind a LayerNorm or RMSNorm, but "
            "layers.1.mlp of the subject subject is a LlamaMLP",
        ),
        (
            "{path: coders/wide, hookpoint: layers.1}",
            "the coder two in coders/wide reads 20 values a token, but layers.1 of the subject subject gives 16",
        ),
        (
            "{path: coders/two, hookpoint: layers}",
            "the forward pass of the subject subject never reads layers; hook a module inside it",
        ),
    ],
)
def test_what_does_not_fit_is_refused_as_ever(
    shared: Path, make_coder: Callable[..., Path], entry: str, expected: str
) -> None:
    make_coder(shared / "coders/wide", seed=3, width=20)
    edit(shared / "params.yaml", TWO, f"  two: {entry}\n")
    result = cache("two")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(f"Error: {expected}")
    assert not paths.latents("two").exists()


def test_rows_that_do_not_fit_are_refused_without_the_subject(shared: Path) -> None:
    with unloadable(), mock.patch.object(loading.Subject, "check_fits", autospec=True) as check:
        cache("two")
    (subject, length, largest), _ = check.call_args
    assert (subject.limit, subject.vocabulary_size, length) == (64, 320, 32)
    assert 0 < largest < 320


def test_a_device_that_is_not_there_is_refused_as_ever(shared: Path) -> None:
    result = cache("two", device="cuda:99")
    assert result.output.startswith("Error: runtime device should be one that torch can use, but cuda:99 is not")


def same_bytes_elsewhere(home: Path) -> None:
    """The store of ``two`` is what a forward pass of its own makes of it, where nothing is kept."""
    before = tree(paths.latents("two"))
    shutil.rmtree(paths.latents("two"))
    with mock.patch.dict(os.environ, GLOSSA_HOME=str(home)):
        passed(cache("two", share_forward="false"))
    assert tree(paths.latents("two")) == before


def test_random_directions_need_no_subject(tokenized: Path) -> None:
    entry = "  two: {kind: random, hookpoint: layers.1, latents: 20, k: 3}\n"
    edit(tokenized / "params.yaml", TWO, entry)
    assert "left runs of two in scratch" in passed(cache("one")).output
    with unloadable():
        passed(cache("two"))
    same_bytes_elsewhere(tokenized / "elsewhere")


def test_a_file_of_gguf_is_not_unpacked(tokenized: Path, tmp_path: Path, make_coder: Callable[..., Path]) -> None:
    tiny_chat.write_gguf(tiny_chat.make(tokenized / "chat"), tokenized / "tiny.gguf")
    for seed, name in enumerate(("one", "two")):
        shutil.rmtree(tokenized / "coders" / name)
        make_coder(tokenized / "coders" / name, seed, width=32)
    edit(tokenized / "params.yaml", "{model: subject}", "{model: tiny.gguf}")
    passed(CliRunner().invoke(main, ["tokenize"]))
    assert "left runs of two in scratch" in passed(cache("one")).output
    with unloadable(), mock.patch.object(gguf, "_unpacked", side_effect=AssertionError("the file was unpacked")):
        passed(cache("two"))
    same_bytes_elsewhere(tmp_path / "elsewhere")
