from __future__ import annotations

from pathlib import Path

import pytest
from dvc.parsing import Context
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages.errors import GlossaError
from stages.wiring import root

NAMES = st.sampled_from(["a", "b.c", "d"])
ITEMS = st.lists(st.text("abc/ .", min_size=1).map(lambda text: f"- x{text}x"), max_size=4)


@given(first=st.fixed_dictionaries({"a": ITEMS, "b": ITEMS}), second=st.fixed_dictionaries({"a": ITEMS, "b": ITEMS}))
def test_the_last_wiring_decides(first: dict[str, list[str]], second: dict[str, list[str]]) -> None:
    text = "x:\n  deps:\n    - own\n    # wired: a\n\n  next:\n  - own\n  # wired: b\n  after: 1\n"
    once = root.rewrite(text, second)
    assert root.rewrite(root.rewrite(text, first), second) == once
    assert [line for line in once.splitlines() if "- x" not in line] == text.splitlines()
    with pytest.raises(GlossaError):
        root.rewrite(text, {"a": []})


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\"), min_size=1))
def test_any_path_survives_yaml_and_dvc(path: str) -> None:
    (line,) = root._list([Path(path)])
    (found,) = YAML(typ="safe", pure=True).load(line)
    assert Context().resolve_str(found) == Path(path).as_posix()
