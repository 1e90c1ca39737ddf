"""`dvc plots` on the records of a report: the templates of .dvc/plots and the specs of figures, drawn by a browser that has no network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import params
from stages.figures import plots
from stages.results import reading
from tests.chromium import chromium
from tests.results.furnished import furnish

ROOT = Path(__file__).resolve().parents[1]
VEGA = {
    "vega 5.33.1": "463f3db6a40b20e9747b4ed38f37ed0add508838f9141b1cf8366784b07b30c8",
    "vega-lite 5.23.0": "58c27358e26f2d319cf62f45bc17a4c8362f08645001df2ec8d341eee4097c7f",
    "vega-embed 6.29.0": "12d02acfbe3ec59ef9a37dd4822a2e04e2961b5bbb671bbe661d2221715b99da",
}
"""The sha256 of what npm has as build/<name>.min.js."""


def definitions() -> dict[str, dict[str, Any]]:
    """The plots of dvc.yaml, by file."""
    content = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    return {path: definition for entry in content["plots"] for path, definition in entry.items()}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `dvc plots show` writes."""
    folder = tmp_path_factory.mktemp("plots")
    with chdir(folder):
        furnish(folder)
        target = folder / "results" / "plots"
        target.mkdir(parents=True)
        plots.write(target, reading.read(params.load()))
        (folder / ".dvc").mkdir()
        shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc")
        shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
        (folder / "stages" / "figures").mkdir(parents=True)
        for spec in (ROOT / "stages" / "figures").glob("*.json"):
            shutil.copy(spec, folder / "stages" / "figures")
        (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
        with (folder / "dvc.yaml").open("w") as file:
            YAML().dump({"plots": [{path: definition} for path, definition in definitions().items()]}, file)
        command = [sys.executable, "-m", "dvc", "plots", "show"]
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        yield folder / "dvc_plots" / "index.html"


def test_every_plot_draws_what_its_file_holds(page: Path) -> None:
    for path, definition in definitions().items():
        records = json.loads((page.parents[1] / path).read_text())
        assert {definition["x"], definition["y"]} <= set(records[0]), path
        template = (ROOT / ".dvc" / "plots" / definition["template"]).with_suffix(".json").read_text()
        fields = set(re.findall(r'"(?:field|groupby)": "(\w+)"', template)) - set(
            re.findall(r'"as": "(\w+)"', template)
        )
        assert fields - {"rev"} <= set(records[0]), path


def test_the_page_loads_nothing(page: Path) -> None:
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", text) == []
    scripts = re.findall(r"<script>(.*?)</script>", (ROOT / ".dvc/plots/offline.html").read_text(), re.DOTALL)
    assert [hashlib.sha256(script.encode()).hexdigest() for script in scripts] == list(VEGA.values())


def test_every_plot_is_drawn_without_a_network(page: Path) -> None:
    with chromium() as browser:
        context = browser.new_context(offline=True)
        tab = context.new_page()
        troubles: list[str] = []
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on(
            "console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None
        )
        tab.goto(page.as_uri())
        tab.locator(".vega-embed canvas").nth(len(definitions()) - 1).wait_for()
        sizes = tab.eval_on_selector_all("canvas", "all => all.map(one => [one.clientWidth, one.clientHeight])")
        context.close()
    assert troubles == []
    assert len(sizes) == len(definitions())
    assert all(width > 200 and height > 100 for width, height in sizes), sizes
