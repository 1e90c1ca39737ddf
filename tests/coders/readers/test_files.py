"""What messages quote, and what is not unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import coders
from stages.coders.readers import Options, files, stated
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk


def nested(levels: int) -> Any:
    """A value of a few objects whose text has ``2 ** levels`` leaves."""
    value: Any = ["leaf", "leaf"]
    for _ in range(levels):
        value = [value, value]
    return value


def test_what_a_message_quotes_is_cut_before_it_is_rendered() -> None:
    looked_at = 0

    class Counted(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().__iter__()

    value: Any = Counted(["leaf", "leaf"])
    for _ in range(7):
        value = Counted([value, value])
    assert files.shown(value).endswith("…")
    assert len(files.shown(value)) == files.LONGEST + 1
    assert looked_at < 200, "there are 255 lists in it"
    assert len(files.shown(nested(12))) <= files.LONGEST + 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\n b", "a b"),
        ({"a": [1, None, True], "b": "c"}, "{'a': [1, None, True], 'b': 'c'}"),
        ((1.5, "x"), "(1.5, 'x')"),
        pytest.param(1 << 33216, "a number of 33217 bits", id="large"),
        ("x" * 300, "x" * 200 + "…"),
        (None, "None"),
        (torch.ones(2, 3), "a tensor of the shape [2, 3]"),
    ],
)
def test_values_are_quoted_as_python_writes_them(value: Any, expected: str) -> None:
    assert files.shown(value) == expected


def test_aliases_in_a_config_are_looked_into_once() -> None:
    shared: dict[str, Any] = {f"x{i}": {"k": 6} for i in range(4)}
    config = {f"a{i}": {f"b{j}": shared for j in range(4)} for i in range(4)}
    assert len(list(stated._all({**config, "activation": "topk"}, ("k", "activation")))) == 1
    assert len(list(stated._all(config["a0"], ("k",)))) == 4


@pytest.mark.parametrize("kind", ["npz", "pt"])
def test_what_unpacks_to_far_more_than_its_file_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(files, "FREE", 10_000)
    path = tmp_path / f"weights.{kind}"
    if kind == "npz":
        np.savez_compressed(path, W_enc=np.zeros(100_000, np.float32))
        read: Any = files.read_npz
    else:
        np.savez_compressed(tmp_path / "zeros.npz", data=np.zeros(100_000, np.float32))
        path.write_bytes((tmp_path / "zeros.npz").read_bytes())
        read = files.read_pickle
    with pytest.raises(
        GlossaError, match=r"would unpack to 400,\d+ bytes, more than the [\d,]+ that a file of its size may"
    ):
        read(path)
    assert files.keys_of(path) == set()
    monkeypatch.setattr(files, "FREE", 10**6)
    if kind == "npz":
        assert files.read_npz(path)["W_enc"].shape == (100_000,)


def test_a_tensor_that_means_something_is_named_as_what_it_is(tmp_path: Path) -> None:
    made = folders.MAKERS["saelens standard"](tmp_path)
    tensors = on_disk.read_tensors(made.weights)
    on_disk.write_tensors(made.weights, {**tensors, "threshold": torch.ones(16)})
    with pytest.raises(
        GlossaError, match="found threshold too, by its name the thresholds of a JumpReLU, of which its config"
    ):
        coders.load(str(made.path))


def test_a_file_of_a_coder_that_is_a_folder_names_the_folder(tmp_path: Path) -> None:
    made = folders.MAKERS["sparsify"](tmp_path / "layers.3")
    with pytest.raises(GlossaError, match=rf"in the format sparsify; name the folder, {tmp_path}/layers\.3$"):
        coders.load(str(made.weights))


def test_a_config_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"^expected cfg\.json in .*, found none; put it there"):
        files.read_json(tmp_path / "cfg.json")
    assert Options().activation is None
