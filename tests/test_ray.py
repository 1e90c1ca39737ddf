from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.latents import spec
from tests.folders import tree
from tests.test_cache import cache

ray = pytest.importorskip("ray")


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(
        address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    yield
    ray.shutdown()


def test_two_workers_of_a_ray_cluster_give_the_same_bytes(
    workplace: Path, finished_workplace: Path, cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(finished_workplace / "data/tokens", workplace / "data/tokens")
    monkeypatch.setattr(spec, "RANGE_TOKENS", 20 * 32)
    result = cache("one", ray="auto", workers="2", scratch=f"file://{tmp_path}/shared", share_forward="true")
    assert result.exit_code == 0, result.output
    assert "left runs of two in scratch" in result.output
    assert tree(workplace / "data/latents/one.zarr") == tree(finished_workplace / "data/latents/one.zarr")
    assert cache("two", scratch=f"file://{tmp_path}/shared").exit_code == 0
    assert tree(workplace / "data/latents/two.zarr") == tree(finished_workplace / "data/latents/two.zarr")
