"""What is kept of pairs of coders, seen from the stage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stages import paths
from stages.cli import main
from stages.embeddings import embedder
from stages.machine import runtime
from stages.similarity import key, outcome, reading
from tests import warm
from tests.folders import tree
from tests.similarity.planted import KINDS, another, change, explain, setting, weights

Pairs = list[tuple[str, str]]


@pytest.fixture
def compared(planted: Path, monkeypatch: pytest.MonkeyPatch) -> Pairs:
    """The pairs that were compared, and not found, since it was last cleared; in a folder with three coders."""
    found: Pairs = []
    compare = outcome.of
    monkeypatch.setattr(outcome, "of", lambda a, b, *more: found.append((a.name, b.name)) or compare(a, b, *more))
    another("middle")
    explain("middle", {latent: KINDS[latent % 4] for latent in range(20)})
    return found


def run() -> Result:
    result = CliRunner().invoke(main, ["compare"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def written(fresh: bool = False) -> dict[str, bytes]:
    """What the stage writes, with or without what was kept before."""
    with pytest.MonkeyPatch.context() as patch:
        if fresh:
            patch.setenv("GLOSSA_HOME", str(Path("fresh").resolve()))
            shutil.rmtree("fresh", ignore_errors=True)
        run()
    return tree(paths.SIMILARITY)


def entries() -> list[Path]:
    return sorted((runtime.home() / "pairs").iterdir())


def test_a_coder_more_costs_its_own_pairs_only(compared: Pairs) -> None:
    setting(activations=True)
    run()
    assert compared == [("one", "middle"), ("one", "two"), ("middle", "two")]
    compared.clear()
    another("fourth", entry="{path: coders/one, hookpoint: layers.0}")
    explain("fourth", {latent: KINDS[latent % 3] for latent in range(24)})
    with_kept = written()
    assert compared == [("one", "fourth"), ("middle", "fourth"), ("fourth", "two")]
    assert len(entries()) == 6
    compared.clear()
    assert written() == with_kept
    assert compared == []
    assert written(fresh=True) == with_kept, "to the last byte"
    assert len(compared) == 6


def test_a_coder_less_costs_nothing_and_the_lists_of_all_follow(compared: Pairs) -> None:
    run()
    compared.clear()
    change("  middle: {path: coders/one, hookpoint: layers.1}\n", "")
    found = written()
    assert compared == []
    assert written(fresh=True) == found
    assert b"middle" not in found["lists.json"]


def test_it_is_said_how_many_were_kept(compared: Pairs) -> None:
    assert run().stdout.endswith(" explanations\n")
    assert run().stdout.endswith(" explanations; 3 pairs as kept from before\n")


CHANGES: Mapping[str, tuple[Callable[[], object], Pairs]] = {
    "the text of a latent": (
        lambda: explain("middle", {latent: KINDS[latent % 4] if latent else "the dog" for latent in range(20)}),
        [("one", "middle"), ("middle", "two")],
    ),
    "the weights of a coder": (
        lambda: weights("two", b_dec=np.full(16, 0.5, np.float32)),
        [("one", "two"), ("middle", "two")],
    ),
    "the kind of matching": (
        lambda: setting(match="both"),
        [("one", "middle"), ("one", "two"), ("middle", "two")],
    ),
    "the order of coders": (
        lambda: setting(pairs=[["two", "one"], ["one", "middle"]]),
        [("two", "one")],
    ),
    "another name": (lambda: renamed("middle", "muddle"), [("one", "muddle"), ("muddle", "two")]),
}


def renamed(old: str, new: str) -> None:
    change(f"  {old}:", f"  {new}:")
    for path in (paths.examples, paths.latents):
        path(old).rename(path(new))
    paths.explanations(old, "pattern").parent.rename(paths.explanations(new, "pattern").parent)


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_compared_again_and_nothing_else(compared: Pairs, what: str) -> None:
    run()
    compared.clear()
    act, expected = CHANGES[what]
    act()
    found = written()
    assert compared == expected
    assert written(fresh=True) == found


def test_code_that_changed_compares_all_again(compared: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    compared.clear()
    monkeypatch.setattr(key, "code_of", lambda formats: f"other code {sorted(formats)}")
    run()
    assert len(compared) == 3


def test_with_all_kept_no_weights_no_subject_and_no_embedder_are_loaded(
    compared: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    another("random", entry="{kind: random, hookpoint: layers.1.mlp, latents: 24, k: 4}")
    explain("random", {0: "verb", 1: "the cat"})
    before = written()
    for room, name in ((reading, "from_params"), (reading.load, "load"), (embedder, "_open"), (reading, "Stored")):
        monkeypatch.setattr(room, name, lambda *_, name=name, **__: pytest.fail(f"{name} should not be called"))
    for folder in ("one", "two"):
        Path("coders", folder, "sae.safetensors").write_bytes(b"no weights any more")
    assert written() == before
    assert len(compared) == 6


def test_a_damaged_entry_is_made_anew_with_a_sentence(compared: Pairs) -> None:
    before = written()
    compared.clear()
    damaged, cut, _ = entries()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    cut.write_bytes(b"")
    result = run()
    assert tree(paths.SIMILARITY) == before
    assert len(compared) == 2
    said = sorted(line for line in result.stderr.splitlines() if "is damaged" in line)
    assert said == sorted(f"{file} is damaged; what it holds is made anew" for file in (damaged, cut))
    compared.clear()
    assert "is damaged" not in run().stderr
    assert compared == []


def test_a_comparison_that_was_stopped_goes_on_with_the_next_pair(
    compared: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome.of

    def dies(a, b, *more):
        if b.name == "two" and a.name == "middle":
            raise KeyboardInterrupt
        return found(a, b, *more)

    with monkeypatch.context() as patch:
        patch.setattr(outcome, "of", dies)
        assert CliRunner().invoke(main, ["compare"]).exit_code != 0
    assert not paths.SIMILARITY.exists()
    assert len(entries()) == 2
    compared.clear()
    run()
    assert compared == [("middle", "two")]


def test_two_processes_at_once_write_the_same(compared: Pairs, tmp_path: Path) -> None:
    copies = [tmp_path / name for name in "ab"]
    for copy in copies:
        shutil.copytree(Path.cwd(), copy)
    environment = {**os.environ, "GLOSSA_HOME": str(tmp_path / "common")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    running = [warm.start(["glossa", "compare"], copy, environment, (0, 1, 2)) for copy in copies]
    assert [process.wait() for process in running] == [0, 0]
    one, other = (tree(copy / paths.SIMILARITY) for copy in copies)
    assert one == other == written()
    names = sorted(file.name for file in (tmp_path / "common" / "pairs").iterdir())
    assert names == [file.name for file in entries()]


def test_weights_that_the_examples_were_not_taken_from_are_refused(planted: Path) -> None:
    meta = paths.examples("two") / "meta.json"
    noted = meta.read_text()
    weights("two", b_dec=np.full(16, 0.5, np.float32))
    meta.write_text(noted)
    result = CliRunner().invoke(main, ["compare"])
    assert result.exit_code == 1
    assert (
        "the examples in data/examples/two should have been taken from the coder that params.yaml names"
        in result.stderr
    )
    assert len(result.stderr.splitlines()) == 1


def test_neighbours_are_said_and_counted(compared: Pairs) -> None:
    another("apart", entry="{path: coders/two, hookpoint: layers.1.mlp}")
    file = paths.examples("apart") / "meta.json"
    file.write_text(file.read_text().replace("layers.0", "layers.1.mlp"))
    explain("apart", {0: "verb", 1: "the cat"})
    setting(pairs="neighbours")
    said = run().stdout
    assert (
        "compare: 5 of 6 pairs of coders (neighbours; left out: 1 of coders at different places of different layers), "
        in said
    )
    assert ("one", "apart") not in compared
