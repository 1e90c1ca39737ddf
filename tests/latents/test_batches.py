from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from stages.errors import GlossaError
from stages.latents.batches import BatchSize, batches
from stages.machine.memory import is_out_of_memory
from tests.latents.test_capture import write_tokens

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GB = 10**9


def measured(total: int, weights: int, per_row: int, reserved: int, context_length: int = 256) -> int:
    """Rows that are planned for a made-up GPU on which ``per_row`` bytes go for a row."""
    taken = {"rows": 0}
    size = BatchSize(None, context_length)
    with mock.patch.multiple(
        torch.cuda,
        synchronize=mock.DEFAULT,
        reset_peak_memory_stats=mock.DEFAULT,
        memory_allocated=lambda _: weights,
        max_memory_allocated=lambda _: weights + taken["rows"] * per_row,
        mem_get_info=lambda _: (0, total),
    ):
        size.measure(CUDA, lambda rows: taken.update(rows=rows), reserved)
    return size.rows


@pytest.mark.parametrize(
    ("total", "weights", "per_row", "reserved", "expected"),
    [
        (80 * GB, 20 * GB, GB // 2, 4 * GB, 64),  # 0.8 · 80 - 20 - 4 = 40 GB: 80 rows, so the power of two below
        (80 * GB, 20 * GB, GB // 4, 4 * GB, 128),
        (80 * GB, 20 * GB, 1, 4 * GB, 256),  # never more than 65,536 tokens
        (80 * GB, 70 * GB, GB, 4 * GB, 1),  # what does not fit at all is tried, and memory that runs out is said
    ],
)
def test_a_batch_is_what_the_memory_of_a_gpu_holds(
    total: int, weights: int, per_row: int, reserved: int, expected: int
) -> None:
    assert measured(total, weights, per_row, reserved) == expected


def test_what_was_said_is_not_measured() -> None:
    work = mock.Mock()
    for size, device in ((BatchSize(1000, 256), CUDA), (BatchSize(None, 256), CPU)):
        size.measure(device, work, 0)
    work.assert_not_called()
    assert (BatchSize(1000, 256).rows, BatchSize(None, 256).rows, BatchSize(10, 256).rows) == (3, 8, 1)


def test_halving_is_said_and_ends_at_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    size = BatchSize(512, 256)
    size.halve(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert size.rows == 1
    assert capsys.readouterr().err.startswith("out of memory with 512 tokens at once; going on with 256 ")
    with pytest.raises(GlossaError, match=r"expected memory for one row of 256 tokens .* CUDA out of memory"):
        size.halve(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))


def test_other_errors_are_no_lack_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_the_tail_is_kept_and_special_tokens_are_left_out(tmp_path: Path) -> None:
    matrix = np.arange(10, 10 + 7 * 4).reshape(7, 4)
    matrix[2, 1] = 0
    tokens = write_tokens(tmp_path / "tokens", matrix)
    found = list(batches(tokens, 1, 7, BatchSize(2 * 4, 4), CPU))
    assert [(batch.first_row, batch.end_row) for batch in found] == [(1, 3), (3, 5), (5, 7)]
    assert torch.cat([batch.ids for batch in found]).tolist() == matrix[1:].tolist()
    assert [None if batch.keep is None else batch.keep.tolist() for batch in found] == [
        [0, 1, 2, 3, 4, 6, 7],
        None,
        None,
    ]
    (last,) = batches(tokens, 6, 7, BatchSize(2 * 4, 4), CPU)
    assert last.ids.tolist() == matrix[6:].tolist()
