"""What is kept of finished stores, as the stage ``cache`` sees it; see machine/test_shelf.py for how it is kept."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import load_file, save_file

from stages import cache as stage
from stages import paths
from stages.cli import main
from stages.latents import capture, kept
from stages.latents.store import LatentStore
from stages.machine import links
from stages.wiring import reach
from tests.folders import tree
from tests.test_tokenize import edit

TAKEN = "; taken from the store that was kept"
STAGES = Path(reach.FOLDER)


@pytest.fixture(autouse=True)
def nothing_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coders are made up and fit no subject, which changes no activation; what is said of it has tests of its own."""
    monkeypatch.setattr(stage, "_say_doubts", lambda *_: None)


@pytest.fixture
def cached(tokenized: Path) -> Path:
    """The working folder after tokenize and with a store of ``one``, which has been kept."""
    assert cache().exit_code == 0
    return tokenized


def cache(coder: str = "one", **settings: str) -> Result:
    settings = {"share_forward": "false", **settings}
    return CliRunner().invoke(
        main, ["cache", coder], env={f"GLOSSA_{key.upper()}": value for key, value in settings.items()}
    )


def without_a_pass(coder: str = "one", **settings: str) -> Result:
    """Caches where a forward pass, of a single row even, is an error."""
    shutil.rmtree(paths.latents(coder), ignore_errors=True)
    with mock.patch.object(capture, "activations", side_effect=AssertionError("a forward pass")):
        result = cache(coder, **settings)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result


def is_taken(coder: str = "one", **settings: str) -> bool:
    """Whether caching needs no forward pass; if it does, it makes one."""
    result = cache(coder, **settings)
    assert result.exit_code == 0, result.output
    return TAKEN in result.stdout


def fresh(coder: str = "one") -> dict[str, bytes]:
    """The bytes of a store that nothing kept has a part in."""
    shutil.rmtree(paths.latents(coder), ignore_errors=True)
    with mock.patch.dict(os.environ, GLOSSA_HOME=str(Path("elsewhere").absolute())):
        assert TAKEN not in cache(coder, keep_gb="0").output
    return tree(paths.latents(coder))


def test_a_store_that_was_kept_is_that_of_a_fresh_run(cached: Path, tmp_path: Path) -> None:
    before = tree(paths.latents("one"))
    result = without_a_pass()
    n_events = LatentStore.open(paths.latents("one")).meta["n_events"]
    assert result.stdout.startswith(f"cache one: {n_events:,} activations, ")
    assert result.stdout.endswith(f" a token{TAKEN}\n")
    assert tree(paths.latents("one")) == before == fresh()
    assert list((tmp_path / "home/scratch").iterdir()) == []
    assert [path.name for path in paths.latents("one").parent.iterdir()] == ["one.zarr"]


@pytest.mark.parametrize(
    "entry",
    [
        "{path: coders/moved, hookpoint: layers.0}",
        "{path: coders/moved, hookpoint: model.layers.0, format: sparsify}",
        "{path: coders/moved, hookpoint: blocks.0.hook_resid_post}",
    ],
)
def test_a_coder_may_change_its_name_and_its_path(cached: Path, entry: str) -> None:
    edit(cached / "params.yaml", "  one: {path: coders/one, hookpoint: layers.0}", f"  another: {entry}")
    (cached / "coders/one").rename(cached / "coders/moved")
    without_a_pass("another")
    assert LatentStore.open(paths.latents("another")).meta["coder"]["path"] == "coders/moved"
    assert tree(paths.latents("another")) == fresh("another")


def test_controls_are_kept_too(tokenized: Path) -> None:
    edit(tokenized / "params.yaml", "coders:\n", (
        "coders:\n  neurons: {kind: neurons, hookpoint: layers.0.mlp, k: 3}\n"
        "  random: {kind: random, hookpoint: layers.1, latents: 24, k: 4}\n"
    ))  # fmt: skip
    for coder in ("neurons", "random"):
        assert not is_taken(coder)
        without_a_pass(coder)
        assert tree(paths.latents(coder)) == fresh(coder)
    assert LatentStore.open(paths.latents("neurons")).meta["sign"] == "signed"
    edit(tokenized / "params.yaml", "seed: 0", "seed: 1")
    assert is_taken("neurons")
    assert not is_taken("random")


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "coders/one/sae.safetensors")
    save_file({**weights, "encoder.bias": weights["encoder.bias"] + 1}, folder / "coders/one/sae.safetensors")


def other_subject(folder: Path) -> None:
    weights = load_file(folder / "subject/model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"] * 2
    save_file(weights, folder / "subject/model.safetensors", {"format": "pt"})


def other_tokens(folder: Path) -> None:
    meta = json.loads((folder / "data/tokens/meta.json").read_text())
    (folder / "data/tokens/meta.json").write_text(json.dumps({**meta, "tokens_sha256": "0" * 64}))


def other_special_tokens(folder: Path) -> None:
    """The same ids, of which another one counts for nothing."""
    file = folder / "data/tokens/vocabulary.parquet"
    table = pq.read_table(file)
    special = np.array(table["special"])
    special[np.argmax(table["count"].to_numpy())] = True
    place = table.schema.get_field_index("special")
    pq.write_table(table.set_column(place, table.schema.field("special"), pa.array(special)), file)


@pytest.mark.parametrize(
    "change",
    [
        ("hookpoint: layers.0}", "hookpoint: layers.1}"),
        ("hookpoint: layers.0}", "hookpoint: layers.0, centre: true}"),
        ("hookpoint: layers.0}", "hookpoint: layers.0, weights: random}"),
        ("coders:\n", "cache: {precision: bf16}\ncoders:\n"),
        ("coders:\n", "cache: {dtype: bfloat16}\ncoders:\n"),
        ("{model: subject}", "{model: subject, dtype: bfloat16}"),
        other_weights,
        other_subject,
        other_tokens,
        other_special_tokens,
    ],
)
def test_what_changes_activations_is_another_store(cached: Path, change: Any) -> None:
    if callable(change):
        change(cached)
    else:
        edit(cached / "params.yaml", *change)
    assert not is_taken()
    assert is_taken()
    assert tree(paths.latents("one")) == fresh()


def test_other_code_or_other_packages_are_not_answered_from_it(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, changed in (("code", lambda form: f"mended {form}"), ("installed", lambda package: "2")):
        monkeypatch.setattr(kept, name, changed)
        assert not is_taken()
        assert is_taken()


def contents(stores: Path) -> Iterator[Path]:
    yield from (file for file in sorted(stores.rglob("content/**/*")) if file.is_file())


@pytest.mark.parametrize("name", ["content/activations/data/c/0", "content/stats/histogram/zarr.json", "manifest.json"])
def test_a_damaged_store_is_deleted_and_the_pass_made(cached: Path, stores: Path, name: str) -> None:
    before = tree(paths.latents("one"))
    shutil.rmtree(paths.latents("one"))
    (file,) = stores.glob(f"*/{name}")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    result = cache()
    assert result.exit_code == 0
    assert result.stderr == (
        f"the activations that were kept for one are damaged ({name.removeprefix('content/')} is not what it was); they are "
        "deleted and computed anew\n"
    )
    assert TAKEN not in result.stdout
    assert tree(paths.latents("one")) == before
    without_a_pass()
    assert tree(paths.latents("one")) == before


def test_an_output_that_was_edited_in_place_is_not_believed(cached: Path, stores: Path) -> None:
    """It may be the same file as what was kept."""
    before = tree(paths.latents("one"))
    file = paths.latents("one") / "activations/data/c/0"
    file.write_bytes(b"edited")
    (mine,) = stores.glob("*/content/activations/data/c/0")
    mine.unlink()
    mine.hardlink_to(file)
    assert "data/c/0 is not what it was" in cache().stderr
    assert tree(paths.latents("one")) == before


def test_read_only_files_are_no_obstacle(cached: Path, stores: Path) -> None:
    """DVC leaves them behind, where it links."""
    before = tree(paths.latents("one"))
    for file in (*contents(stores), *(file for file in paths.latents("one").rglob("*") if file.is_file())):
        file.chmod(0o444)
    without_a_pass()
    assert is_taken(), "with the store still there"
    assert tree(paths.latents("one")) == before
    assert not is_taken(keep_gb="0")
    assert list(contents(stores)) == []
    assert tree(paths.latents("one")) == before


def test_no_runs_are_made_for_a_coder_whose_store_is_kept(cached: Path, tmp_path: Path) -> None:
    shutil.rmtree(paths.latents("one"))
    result = cache("two", share_forward="true")
    assert "left runs" not in result.output
    assert list((tmp_path / "home/scratch").iterdir()) == []
    without_a_pass("one")
    shutil.rmtree(tmp_path / "home/stores")
    shutil.rmtree(paths.latents("one"))
    assert "left runs of one in scratch" in cache("two", share_forward="true").output


def test_runs_that_nobody_needs_go(cached: Path, stores: Path, tmp_path: Path) -> None:
    (store,) = (path for path in stores.iterdir() if path.is_dir())
    aside = store.rename(tmp_path / "aside")
    shutil.rmtree(paths.latents("one"))
    assert "left runs of one in scratch" in cache("two", share_forward="true").output
    aside.rename(store)
    without_a_pass("one")
    assert list((tmp_path / "home/scratch").iterdir()) == []


def test_the_cap(cached: Path, stores: Path) -> None:
    size = sum(file.stat().st_size for file in contents(stores))
    result = cache("two", keep_gb=f"{size / 2e9:.9f}")
    assert result.exit_code == 0
    assert result.stderr == (
        "the activations of two are not kept for another time: 0.0 GB are more than the 0.0 of keep_gb in runtime.yaml\n"
    )
    assert is_taken("one")
    assert not is_taken("two", keep_gb=f"{size * 1.5 / 1e9:.9f}")
    assert not is_taken("one", keep_gb=f"{size * 1.5 / 1e9:.9f}"), "two took its place"
    assert not is_taken("one", keep_gb="0")
    assert list(contents(stores)) == []


def test_a_full_disk_does_not_fail_the_stage(tokenized: Path, stores: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch.object(links, "link", side_effect=full):
        result = cache()
    assert result.exit_code == 0
    assert result.stderr == "the activations of one are not kept for another time: No space left on device\n"
    assert tree(paths.latents("one")) == fresh()
    assert list(contents(stores)) == []


def test_a_home_that_can_not_be_written_does_not_fail_the_stage(tokenized: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/stores").write_text("in the way")
    result = cache()
    assert result.exit_code == 0
    assert result.stderr.startswith("the activations of one are not kept for another time: ")
    assert tree(paths.latents("one")) == fresh()


SHM = Path("/dev/shm")


def test_it_may_be_kept_on_another_file_system(
    tokenized: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not SHM.is_dir() or SHM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system")
    home = SHM / f"glossa-{os.getpid()}"
    try:
        monkeypatch.setenv("GLOSSA_HOME", str(home))
        assert not is_taken()
        before = tree(paths.latents("one"))
        without_a_pass()
        assert tree(paths.latents("one")) == before
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_dvc_may_link_what_is_kept(cached: Path, stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(paths.latents("one"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(STAGES.parent))
    Path("dvc.yaml").write_text(
        f"stages:\n  cache:\n    cmd: {sys.executable} -m stages cache one >> said\n    outs: [data/latents/one.zarr]\n"
    )

    def dvc(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=True)

    dvc("init", "--no-scm")
    dvc("config", "cache.type", "hardlink")
    for time in range(2):
        dvc("repro", "--force")
        assert Path("said").read_text().count(TAKEN) == time + 1
        assert tree(paths.latents("one")) == before
    linked = paths.latents("one") / "activations/data/c/0"
    assert linked.stat().st_mode & 0o222 == 0
    shutil.rmtree(stores)
    assert not is_taken()
    assert tree(paths.latents("one")) == before
