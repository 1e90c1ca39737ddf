"""Every release that SAELens lists, in tiny: it loads, or what can't be told of it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stages import coders
from stages.errors import GlossaError
from tests.coders.registry.layouts import RELEASES, Release, options, releases, write

LEAST = 0.99
"""Share of the registry's coders that have to load."""


def test_the_coders_of_the_registry_load(tmp_path: Path) -> None:
    loaded, refused, without, said = 0, dict[str, int](), set[str](), set[str]()
    for number, release in enumerate(releases()):
        for place, layout in enumerate(release.layouts):
            path = write(release, layout, tmp_path / f"{number}-{place}")
            try:
                coder = coders.load(str(path), options(release, layout))
            except GlossaError as error:
                said.add(str(error).partition(", which")[0].replace(str(path), ""))
                refused[release.name] = refused.get(release.name, 0) + layout["coders"]
            else:
                loaded += layout["coders"]
                if coder.hookpoint is None:
                    without.add(release.name)
    everything = loaded + sum(refused.values())
    assert everything == 13_857
    assert loaded / everything >= LEAST
    assert refused == {"temporal-sae-gemma-2-2b": 1, "temporal-sae-llama-3.1-8b": 2}, "which look at several tokens"
    assert said == {" is a temporal SAE"}
    assert without == set(), "each says where it reads"


def test_what_is_stored_of_the_registry_is_small() -> None:
    stored = json.loads(RELEASES.read_text())
    assert len(stored["releases"]) == 170
    assert RELEASES.stat().st_size < 100_000


@pytest.mark.parametrize("release", [one for one in releases() if one.centred], ids=lambda one: one.name)
def test_a_centred_release_is_not_read_as_it_lies(tmp_path: Path, release: Release) -> None:
    path = write(release, release.layouts[0], tmp_path)
    with pytest.raises(
        GlossaError, match=r"trained on a mean-centred residual stream|don't say which SAELens trained it"
    ):
        coders.load(str(path), replace(options(release, release.layouts[0]), centre=None))
