from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.site.shards import LATENTS, LEAST, latents_a_shard, save, statement
from tests.site.reading import load, parse

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    alphabet="<>&\u2028\u2029\u202e\x00\x1b\r\n\"'\\/script!-"
)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.just("__proto__"), inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_shard_is_one_call_whose_text_reads_back_as_the_value(value: Any) -> None:
    assert parse(statement("a/table/0", orjson.dumps(value))) == ("a/table/0", value)


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "<!--",
        "]]>",
        '");alert(1);("',
        "\\",
        '\\");',
        "\u2028",
        "\r\n",
        "\x00",
        "'\"`${1}",
    ],
)
def test_no_text_leaves_its_literal(text: str, tmp_path: Path) -> None:
    save(tmp_path, "x", {text: [text]})
    assert load(tmp_path, "x") == {text: [text]}
    assert (tmp_path / "x.js").read_bytes().count(b"glossa(") == 1


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(tmp_path, "x", "\ud800")
    assert not (tmp_path / "x.js").exists()


def test_arrays_are_lists_and_what_is_no_number_is_null(tmp_path: Path) -> None:
    save(tmp_path, "one/x/0", {"a": np.array([[1, 2], [3, 4]]), "b": np.array([0.5, np.nan])})
    assert load(tmp_path, "one/x/0") == {"a": [[1, 2], [3, 4]], "b": [0.5, None]}


@pytest.mark.parametrize("name", ['a"b', "A", "", "../x\n", "a b"])
def test_names_can_not_leave_their_literal_either(name: str) -> None:
    with pytest.raises(ValueError, match="name of a shard"):
        statement(name, b"1")


def test_how_many_latents_fit_by_hand() -> None:
    assert latents_a_shard(window=32, windows=100) == LATENTS
    assert latents_a_shard(window=256, windows=100) == 10, "2**20 bytes / (4 * 256 * 100)"
    assert latents_a_shard(window=4096, windows=400) == LEAST
    assert latents_a_shard(window=32, windows=0) == LATENTS
