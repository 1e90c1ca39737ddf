"""A headless Chromium, or a skip with the reason where there is none; where CI is set there has to be one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CI = "CI" in os.environ


@contextmanager
def chromium() -> Iterator[Any]:
    """Yields a browser of playwright's: Debian's Chromium if it is installed, else playwright's own."""
    if not CI:
        pytest.importorskip("playwright", reason="playwright is not installed")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except Error as error:
            if CI:
                raise
            pytest.skip(f"there is no Chromium: {error.message.splitlines()[0]}")
        yield browser
        browser.close()
