from __future__ import annotations

import threading
import time
from collections.abc import Callable
from unittest import mock

import pytest
import torch

from stages.latents.workers import _spread, devices_of


@pytest.mark.parametrize(
    ("gpus", "device", "workers", "expected"),
    [
        (0, "auto", None, ["auto"]),
        (0, "cpu", 3, ["cpu"] * 3),
        (4, "auto", None, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        (4, "auto", 2, ["cuda:0", "cuda:1"]),
        (4, "auto", 9, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        (4, "cuda:2", None, ["cuda:2"]),
    ],
)
def test_every_visible_gpu_has_a_process(gpus: int, device: str, workers: int | None, expected: list[str]) -> None:
    with mock.patch.multiple(torch.cuda, is_available=lambda: gpus > 0, device_count=lambda: gpus):
        assert devices_of(device, workers) == expected


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_task_is_done_once_and_results_come_in_order(n: int) -> None:
    done: list[list[int]] = [[] for _ in range(n)]

    def hand(mine: list[int]) -> Callable[[int], int]:
        return lambda task: (mine.append(task), task * task)[1]

    assert list(_spread(range(20), [hand(mine) for mine in done])) == [task * task for task in range(20)]
    assert sorted(task for mine in done for task in mine) == list(range(20))


def test_an_error_of_one_ends_the_work_of_all() -> None:
    failed = threading.Event()
    after: list[int] = []

    def fails(task: int) -> int:
        failed.set()
        raise ValueError(f"task {task}")

    def waits(task: int) -> int:
        failed.wait(10)
        time.sleep(0.01)
        after.append(task)
        return task

    with pytest.raises(ValueError, match="task"):
        list(_spread(range(100), [waits, fails]))
    assert len(after) < 50
