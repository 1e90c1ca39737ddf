from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from stages import coders
from stages.coders.activations import Activation, GroupMax, JumpRelu, Relu, TopK
from stages.coders.sparse_coder import SparseCoder
from stages.corpus import tokens as writing
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.latents import capture, spec
from stages.latents.merge import merge
from stages.latents.runs import Run
from stages.latents.store import LatentStore
from stages.machine.scratch import Scratch
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests.folders import tree

ROWS, LENGTH = 10, 8


def write_tokens(folder: Path, matrix: np.ndarray) -> Tokens:
    special = np.zeros(320, bool)
    special[0] = True
    vocabulary = Vocabulary([b"x"] * 320, np.zeros(320, np.int64), special)
    writing.write(folder, matrix.astype(np.int32), pa.table({"name": pa.array([], pa.string())}), vocabulary, {})
    return Tokens.open(folder)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    matrix = np.random.default_rng(0).integers(10, 320, (ROWS, LENGTH))
    matrix[:, 0] = 0  # BOS
    matrix[2, 5] = matrix[7, 7] = 0  # EOS
    matrix[4] = 0  # a row of nothing else
    matrix[6, 3] = 5
    return write_tokens(tmp_path_factory.mktemp("tokens") / "tokens", matrix)


@pytest.fixture(scope="module")
def coder(coder_folder: Path) -> SparseCoder:
    return coders.load(str(coder_folder))


@pytest.fixture(autouse=True)
def ranges_of_three_rows() -> Iterator[None]:
    with mock.patch.object(spec, "RANGE_TOKENS", 3 * LENGTH + 1):
        yield


Aim = Callable[..., capture.Target]


@pytest.fixture
def aim(subject: Subject, coder: SparseCoder, tokens: Tokens, tmp_path: Path) -> Aim:
    def aim(hookpoint: str = "layers.0", bits: int = 23, scratch: str = "scratch", **other: object) -> capture.Target:
        parts = {"coder": coder, "subject": subject, "tokens": tokens, **other}
        return capture.target(
            hookpoint, parts["coder"], hookpoint, bits, parts["subject"], parts["tokens"], Scratch(str(tmp_path / scratch))  # type: ignore[arg-type]
        )  # fmt: skip

    return aim


def finished(target: capture.Target) -> list[Run]:
    found = capture.finished(target, ROWS, LENGTH)
    assert None not in found
    return [run for run in found if run is not None]


def run(
    subject: Subject, targets: list[capture.Target], tokens: Tokens, batch_tokens: int, memory: int = 2**20
) -> None:
    """Makes the runs that are missing, as the stage does."""
    found = [capture.finished(target, ROWS, LENGTH) for target in targets]
    capturing = capture.Capture(subject, targets, tokens, batch_tokens, memory)
    try:
        for place, (first, end) in enumerate(capture.ranges(ROWS, LENGTH)):
            names = [target.name for target, have in zip(targets, found, strict=True) if have[place] is None]
            if names:
                capturing.run(first, end, names)
    finally:
        capturing.close()


def files(target: capture.Target) -> dict[str, bytes]:
    assert target.folder.folder is not None
    return tree(target.folder.folder)


def store_of(target: capture.Target, folder: Path) -> LatentStore:
    attributes = {"schema": spec.SCHEMA, "version": spec.VERSION}
    merge(finished(target), folder, ROWS, LENGTH, attributes, {})
    return LatentStore.open(folder)


def naive(subject: Subject, coder: SparseCoder, tokens: Tokens, hookpoint: str, batch: int) -> np.ndarray:
    """[latents, positions]: every batch through the subject and the coder, special positions set to 0."""
    dense = np.zeros((coder.n_latents, ROWS * LENGTH), np.float32)
    for first, end in capture.ranges(ROWS, LENGTH):
        for start in range(first, end, batch):
            ids = torch.from_numpy(tokens.matrix[start : min(start + batch, end)].astype(np.int64))
            hidden = activations(subject, [hookpoint], ids)[hookpoint]
            found = coder.encode(hidden.reshape(-1, coder.d_in))
            dense[found.latents, found.rows + start * LENGTH] = found.values
    dense[:, tokens.matrix.ravel() == 0] = 0
    return dense


@pytest.mark.parametrize(
    ("rows", "length", "expected"),
    [(10, 8, [(0, 3), (3, 6), (6, 9), (9, 10)]), (3, 8, [(0, 3)]), (2, 100, [(0, 1), (1, 2)])],
)
def test_ranges_tile_the_rows(rows: int, length: int, expected: list[tuple[int, int]]) -> None:
    assert capture.ranges(rows, length) == expected


@pytest.mark.parametrize(("batch_tokens", "batch"), [(1, 1), (2 * LENGTH, 2), (1000, 3)])
def test_the_store_holds_what_the_coder_gives(
    subject: Subject, coder: SparseCoder, tokens: Tokens, aim: Aim, tmp_path: Path, batch_tokens: int, batch: int
) -> None:
    target = aim("layers.1")
    run(subject, [target], tokens, batch_tokens)
    found = store_of(target, tmp_path / "store.zarr").csr()
    expected = sparse.csr_array(naive(subject, coder, tokens, "layers.1", batch))
    assert found.nnz == expected.nnz > 100
    assert np.array_equal(found.indptr, expected.indptr)
    assert np.array_equal(found.indices, expected.indices)
    assert np.allclose(found.data, expected.data, rtol=1e-4)


def test_activations_below_0_are_stored_with_their_sign(
    subject: Subject, tokens: Tokens, aim: Aim, tmp_path: Path
) -> None:
    neurons = coders.neurons.load(subject, "layers.1.mlp", 24)  # of 32
    assert neurons.hookpoint is not None
    target = aim(neurons.hookpoint, coder=neurons)
    run(subject, [target], tokens, 2 * LENGTH)
    store = store_of(target, tmp_path / "store.zarr")
    expected = sparse.csr_array(naive(subject, neurons, tokens, neurons.hookpoint, 2))
    found = store.csr()
    assert (found.data < 0).any()
    assert (found.data > 0).any()
    assert np.array_equal(found.indices, expected.indices)
    assert np.allclose(found.data, expected.data, rtol=1e-4)
    assert store.statistic("min").min() == found.data.min()


def test_special_positions_are_never_stored(subject: Subject, tokens: Tokens, aim: Aim, tmp_path: Path) -> None:
    target = aim()
    run(subject, [target], tokens, 1000)
    positions = set(store_of(target, tmp_path / "store.zarr").csr().indices.tolist())
    assert positions == set(np.flatnonzero(tokens.matrix.ravel() != 0).tolist())


def test_a_missing_run_is_made_again_and_no_other(subject: Subject, tokens: Tokens, aim: Aim) -> None:
    target = aim()
    run(subject, [target], tokens, 1000)
    before = files(target)
    assert len(before) == 4
    folder = Path(target.folder.url)
    runs = finished(target)
    (folder / runs[1].name).unlink()
    (folder / runs[3].name).write_bytes(b"damaged")
    with mock.patch.object(capture, "activations", wraps=activations) as forward:
        run(subject, [target], tokens, 1000)
    assert forward.call_count == 2
    assert files(target) == before
    with mock.patch.object(capture, "activations", wraps=activations) as forward:
        run(subject, [target], tokens, 1000)
    assert forward.call_count == 0


def test_one_pass_for_several_coders_gives_the_bytes_of_one_for_each(
    subject: Subject, tokens: Tokens, aim: Aim, make_coder: Callable[..., Path], tmp_path: Path
) -> None:
    other = coders.load(str(make_coder(tmp_path / "other", seed=9, latents=30)))
    made = {}
    for scratch in ("shared", "apart"):
        targets = [
            aim("layers.1", scratch=scratch),
            replace(aim("layers.0", scratch=scratch, coder=other), name="other"),
        ]
        with mock.patch.object(capture, "activations", wraps=activations) as forward:
            for group in [targets] if scratch == "shared" else [[target] for target in targets]:
                run(subject, group, tokens, 2 * LENGTH)
        made[scratch] = [files(target) for target in targets]
        assert forward.call_count == (7 if scratch == "shared" else 14)
    assert made["shared"] == made["apart"]


def test_a_run_of_one_coder_does_not_stand_for_another_s(subject: Subject, tokens: Tokens, aim: Aim) -> None:
    first, second = aim("layers.0"), aim("layers.1")
    run(subject, [first], tokens, 1000)
    run(subject, [first, second], tokens, 1000)
    assert files(first) != files(second)
    assert len(finished(second)) == 4


def test_the_folder_is_named_by_all_that_decides_the_runs(
    subject: Subject, coder: SparseCoder, aim: Aim, tokens: Tokens, tmp_path: Path
) -> None:
    folders = [aim().folder, aim("layers.1").folder, aim(bits=7).folder]
    folders.append(aim(subject=replace(subject, identity={"sha256": "1"})).folder)
    folders.append(aim(coder=replace(coder, identity={"sha256": "1"})).folder)
    folders.append(aim(tokens=write_tokens(tmp_path / "others", tokens.matrix + 1)).folder)
    folders.append(aim(coder=coder.to(torch.device("cpu"), torch.bfloat16)).folder)
    assert len(set(folders)) == len(folders)
    assert aim().folder == folders[0]


def test_values_keep_the_bits_that_were_asked_for(subject: Subject, tokens: Tokens, aim: Aim, tmp_path: Path) -> None:
    stores = []
    for bits in (23, 7):
        target = aim(bits=bits)
        run(subject, [target], tokens, 1000)
        stores.append(store_of(target, tmp_path / f"{bits}.zarr").csr())
    exact, rounded = stores
    assert np.array_equal(exact.indices, rounded.indices)
    assert np.array_equal(spec.round_mantissa(exact.data, 7), rounded.data)
    assert not np.array_equal(exact.data, rounded.data)


def test_a_subject_that_gives_nan_is_a_mistake_that_names_the_place(subject: Subject, tokens: Tokens, aim: Aim) -> None:
    broken = replace(subject, model=copy.deepcopy(subject.model))
    broken.model.model.embed_tokens.weight[5] = torch.nan  # this token stands at row 6, position 3
    target = aim("embed_tokens")
    with pytest.raises(GlossaError) as caught:
        run(broken, [target], tokens, 2 * LENGTH)
    place = (
        "is NaN or infinite at row 6, position 3, so the coder embed_tokens can't read it; try subject.dtype float32"
    )
    assert str(caught.value) == f"embed_tokens of the subject {subject.name} {place}"
    assert len([run for run in capture.finished(target, ROWS, LENGTH) if run]) == 2  # rows 0 to 5 are done


@pytest.mark.parametrize("activation", [TopK(4), TopK(4, signed=True), GroupMax(4), Relu(), JumpRelu(torch.ones(24))])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_coder_that_gives_nan_or_infinity_is_a_mistake_that_names_the_place(
    subject: Subject, coder: SparseCoder, tokens: Tokens, aim: Aim, activation: Activation, value: float
) -> None:
    bias = coder.b_enc.clone()
    bias[7] = value
    target = aim(coder=replace(coder, b_enc=bias, activation=activation))
    place = "gives latent 7 an activation that is NaN or infinite at row 0, position 1; try cache.dtype float32"
    with pytest.raises(GlossaError, match=f"the coder layers.0 in .* {place}"):
        run(subject, [target], tokens, 1000)
    assert capture.finished(target, ROWS, LENGTH)[0] is None


def test_nan_for_another_coder_does_not_stop_the_first(subject: Subject, tokens: Tokens, aim: Aim) -> None:
    broken = replace(subject, model=copy.deepcopy(subject.model))
    broken.model.model.layers[1].mlp.down_proj.weight[:] = torch.nan
    first, second = aim("layers.0"), aim("layers.1")
    run(broken, [first, second], tokens, 1000)
    assert len(finished(first)) == 4
    assert capture.finished(second, ROWS, LENGTH) == [None] * 4
    with pytest.raises(GlossaError, match=r"layers\.1 of the subject"):
        run(broken, [second], tokens, 1000)


def test_infinity_at_a_special_position_is_none_of_the_coder_s_business(
    subject: Subject, tokens: Tokens, aim: Aim
) -> None:
    broken = replace(subject, model=copy.deepcopy(subject.model))
    broken.model.model.embed_tokens.weight[0] = torch.inf
    run(broken, [aim("embed_tokens")], tokens, 1000)
    assert len(finished(aim("embed_tokens"))) == 4


def test_a_coder_of_another_width_is_a_mistake_that_names_both(subject: Subject, tokens: Tokens, aim: Aim) -> None:
    target = aim("layers.1.mlp.up_proj")
    expected = r"reads 16 values a token, but layers\.1\.mlp\.up_proj of the subject .* gives 32; is it the right coder"
    with pytest.raises(GlossaError, match=expected):
        run(subject, [target], tokens, 1000)
    with pytest.raises(GlossaError, match=expected):
        capture.check_fits(subject, target, tokens)
    capture.check_fits(subject, aim("layers.1.mlp"), tokens)
