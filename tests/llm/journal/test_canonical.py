from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm.journal import canonical

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(), JSON, max_size=4)


def test_the_key_is_the_hash_that_format_md_describes() -> None:
    body = canonical.encode({"b": 0.0, "a": "é"})
    assert body == '{"a":"é","b":0}'.encode()
    by_hand = hashlib.sha256(b"1\nlab\n/chat/completions\n3\n" + body).hexdigest()
    assert canonical.key("lab", body, 3) == by_hand


@given(BODIES)
def test_a_body_has_one_spelling_and_loses_nothing(body: dict[str, Any]) -> None:
    spelt = canonical.encode(body)
    assert json.loads(spelt) == body
    assert canonical.encode(dict(reversed(list(body.items())))) == spelt
    assert canonical.encode(json.loads(spelt)) == spelt


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, "\ud800"])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical.encode({"a": [value]})


def test_endpoint_sample_path_and_body_each_change_the_key() -> None:
    keys = {
        canonical.key("lab", b"{}", 0),
        canonical.key("lab2", b"{}", 0),
        canonical.key("lab", b"[]", 0),
        canonical.key("lab", b"{}", 1),
        canonical.key("lab", b"{}", 0, "/completions"),
    }
    assert len(keys) == 5
