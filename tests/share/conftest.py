"""A project that was published once for all, and whoever takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.llm.scripted_server import Server
from tests.once import once
from tests.provenance import small
from tests.repositories import Repository
from tests.share.sharing import (
    Published,
    serve,
    set_up,
)


@pytest.fixture(scope="session")
def published(
    tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]
) -> Published:
    """For those who only read what was published; who publishes more has one of their own."""
    built = small.built(tmp_path_factory, subject_folder, make_coder)
    place = once(tmp_path_factory, "published", lambda place: set_up(place, built))
    return Published.at(place)


@pytest.fixture
def consumer(tmp_path: Path) -> Repository:
    return Repository.empty(tmp_path / "consumer")


@pytest.fixture
def colleague(published: Published, tmp_path: Path) -> Repository:
    return Repository.clone(published.bare, tmp_path / "colleague", "v1.0.0")


@pytest.fixture
def server(colleague: Repository) -> Iterator[Server]:
    """The language model, where the colleague's runtime.yaml says."""
    with Server() as server:
        serve(colleague, server)
        yield server
