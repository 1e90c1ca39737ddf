"""Reports in a folder, and the system's Chromium to open them as a reader does: from disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chromium import chromium
from tests.site.browser.made_up import write_large
from tests.site.browser.small import Small
from tests.site.browser.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, for this folder alone: the event loop of its driver would be in the way of other tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything behind its latents; to be read only."""
    folder = tmp_path_factory.mktemp("small")
    Small(folder).write()
    return folder


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few latents with a payload in every text."""
    folder = tmp_path_factory.mktemp("hostile")
    Small(folder, hostile=True).write()
    return folder


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 100,000 latents."""
    folder = tmp_path_factory.mktemp("large")
    write_large(folder)
    return folder


@pytest.fixture
def broken(small: Path, tmp_path: Path) -> Path:
    """A copy of the small report that a test may damage."""
    return Path(shutil.copytree(small, tmp_path / "report"))


@pytest.fixture
def watch(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a watched page on a folder; that it did nothing it must not do is checked at the end of the test."""
    watched: list[Watched] = []

    def new(folder: Path, width: int = 1280, height: int = 900, **options: Any) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(15_000)
        one = Watched(context.new_page(), folder)
        one.start()
        watched.append(one)
        return one

    yield new
    for one in watched:
        one.check()
        one.page.context.close()
