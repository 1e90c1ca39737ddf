from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest

from stages import coders, registry
from stages.coders.activations import GroupMax, TopK
from stages.errors import GlossaError
from tests.coders.readers.folders import MAKERS


def test_every_format_has_a_maker() -> None:
    assert {name.split()[0] for name in MAKERS} == set(registry.READERS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_coder_is_of_one_format(tmp_path: Path, name: str) -> None:
    made = MAKERS[name](tmp_path / "coder")
    form = name.split()[0]
    assert coders.formats(made.path) == [form]
    coder = coders.load(str(made.path), made.options)
    assert (coder.identity["format"], coder.source) == (form, str(made.path))
    assert (coder.n_latents, coder.d_in) == (16, 8 * made.places)
    assert len(coder.identity["weights_sha256"]) == len(coder.identity["sha256"]) == 64
    if isinstance(coder.activation, TopK | GroupMax):
        assert coder.identity["k"] == coder.activation.k


def test_two_formats_in_one_folder_are_refused(tmp_path: Path) -> None:
    """Wherever both have all their files; those that share the name of a file can't lie in one folder."""
    makers = {name.split()[0]: make for name, make in MAKERS.items()}
    both = 0
    for a, b in combinations(makers, 2):
        folder = tmp_path / f"{a}-{b}"
        first, second = makers[a](folder), makers[b](tmp_path / "second")
        other = second.path if second.path.is_dir() else second.path.parent
        ours = first.path if first.path.is_dir() else first.path.parent
        taken = {file.name for file in other.iterdir()} & {file.name for file in ours.iterdir()}
        shutil.copytree(other, ours, dirs_exist_ok=True)
        shutil.rmtree(tmp_path / "second")
        if taken - {"checkpoints"}:
            continue
        try:
            found = coders.load(str(ours)).identity["format"]
        except GlossaError as error:
            both += "expected one sparse coder in" in str(error) and "found the formats" in str(error)
        else:  # a stray PyTorch file among the files of another format is none of it
            assert found == (a if b in ("openai", "plain", "hypothesaes") else b), (a, b)
    assert both > 10


def test_of_several_coders_inside_a_folder_one_has_to_be_named(tmp_path: Path) -> None:
    for place in ("layers.3", "layers.5.mlp/seed0", "layers.5.mlp/seed1"):
        MAKERS["sparsify"](tmp_path / "run" / place)
    MAKERS["dictionary_learning AutoEncoder"](tmp_path / "run" / "trainer_0")
    with pytest.raises(GlossaError) as caught:
        coders.load(str(tmp_path / "run"))
    assert str(caught.value) == (
        f"expected one sparse coder in {tmp_path / 'run'}, found some in folders inside it; point at one of "
        "layers.3, layers.5.mlp/seed0, layers.5.mlp/seed1, trainer_0"
    )


def test_a_path_that_is_no_coder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match="should be a folder or a file, but there is none at"):
        coders.load(str(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(GlossaError, match="found a file of another kind"):
        coders.load(str(tmp_path / "notes.txt"))
    with pytest.raises(GlossaError, match=r"expected a sparse coder in .*, found notes.txt; .* \(sparsify, .*\)"):
        coders.load(str(tmp_path))


def test_of_several_files_in_a_folder_one_is_to_be_named(tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copy(MAKERS["plain goodfire"](tmp_path / name).weights, tmp_path / f"{name}.pt")
        shutil.rmtree(tmp_path / name)
    with pytest.raises(GlossaError, match=r"found 2 PyTorch files; point at one of first\.pt, second\.pt$"):
        coders.load(str(tmp_path))


def test_a_part_of_a_coder_is_told_its_folder_and_a_missing_config_its_name(tmp_path: Path) -> None:
    parts = configs = 0
    for name, make in MAKERS.items():
        form, made = name.split()[0], make(tmp_path / name)
        if made.weights != made.path and form != "dictionary_learning":  # whose weights find their config
            with pytest.raises(GlossaError) as caught:
                coders.load(str(made.weights), made.options)
            assert str(caught.value).endswith(f"in the format {form}; name the folder, {made.path}")
            parts += 1
        if made.config is not None and form not in ("gemma_scope_2", "hypothesaes"):  # which do without
            made.config.unlink()
            with pytest.raises(GlossaError, match=rf"^expected .*{made.config.name}.* in .*, found none; put it there"):
                coders.load(str(made.path), made.options)
            configs += 1
    assert parts > 10
    assert configs > 20


@pytest.mark.parametrize("name", ["hub_mixin", "saelens standard"])
def test_a_damaged_config_is_said_to_be_one(tmp_path: Path, name: str) -> None:
    made = MAKERS[name](tmp_path)
    assert made.config is not None
    made.config.write_text("{")
    with pytest.raises(GlossaError, match=r"^expected JSON in .*json, but it can't be read; fetch"):
        coders.load(str(made.path))
