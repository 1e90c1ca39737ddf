from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm.received import text
from stages.llm.server import redact
from stages.llm.server.redact import Redactor
from stages.text import sanitise

KEY = "sk-canary/4f1d+9c27_b8="
ASCII = [chr(code) for code in range(33, 127)]

HOWS = {
    "itself": lambda c: c,
    "backslash": lambda c: c if c.isalnum() else f"\\{c}",
    "json": lambda c: f"\\u{ord(c):04x}",
    "json, capitals": lambda c: f"\\u{ord(c):04X}",
    "json in json": lambda c: f"\\\\u{ord(c):04x}",
    "json in json in json": lambda c: f"\\\\\\\\u{ord(c):04x}",
    "hexadecimal": lambda c: f"\\x{ord(c):02x}",
    "address": lambda c: f"%{ord(c):02X}",
    "page": lambda c: f"&#{ord(c)};",
    "page, hexadecimal": lambda c: f"&#x{ord(c):X};",
}


def spelt(key: str, hows: list[str]) -> str:
    return "".join(HOWS[how](c) for c, how in zip(key, hows, strict=True))


@pytest.mark.parametrize("how", HOWS)
def test_a_key_is_replaced_in_every_spelling_and_what_stands_around_it_is_left(how: str) -> None:
    body = f'{{"error": {{"message": "bad key {spelt(KEY, [how] * len(KEY))}, caf\\u00e9 50%25"}}}}'
    assert Redactor([KEY])(body) == '{"error": {"message": "bad key [key], caf\\u00e9 50%25"}}'


@given(st.data())
def test_a_key_is_found_in_any_mixture_of_spellings(data: st.DataObject) -> None:
    key = data.draw(st.lists(st.sampled_from(ASCII), min_size=12, max_size=20).map("".join))
    hows = data.draw(st.lists(st.sampled_from(list(HOWS)), min_size=len(key), max_size=len(key)))
    around = data.draw(st.text(max_size=20))
    found = Redactor([key])(f"{around} {spelt(key, hows)} {around}")
    assert key not in found
    plain = redact.plain(key)
    assert len(plain) < redact.SHORTEST_PLAIN or plain not in redact.plain(found)


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_a_key_is_found_in_any_encoding(encoding: str, ascii: bool) -> None:
    body = json.dumps({"error": {"message": f"\u00fcber {KEY}"}}, ensure_ascii=ascii).encode(encoding)
    found = Redactor([KEY])(text(body))
    assert json.loads(found) == {"error": {"message": "\u00fcber [key]"}}


@pytest.mark.parametrize("between", ["\u200b", "\x00", "\x1b[31m", "\\u200b", "\\u001b[1m"])
def test_a_key_that_only_shows_once_a_text_is_made_fit_to_be_shown_leaves_nothing(between: str) -> None:
    body = f"bad key {KEY[:7]}{between}{KEY[7:]}"
    assert KEY in sanitise.line(redact.plain(body).decode())
    assert Redactor([KEY])(body) == "[key]"


def test_a_key_with_backslashes_of_its_own_is_found_escaped_or_not() -> None:
    key = "a\\b" * 6
    assert Redactor([key])(f"x {key} y") == "x [key] y"
    assert Redactor([key])(json.dumps(f"x {key} y")) == '"x [key] y"'


@pytest.mark.parametrize("key", ["!" * 11 + "\\", "%41" * 4, "\\" * 12])
def test_a_key_that_is_shorter_without_its_escapes_is_found_as_it_is(key: str) -> None:
    assert Redactor([key])(f"bad key {key}, AAAA") == "bad key [key], AAAA"
    plain = redact.plain(key)
    if len(plain) >= redact.SHORTEST_PLAIN:
        assert plain not in redact.plain(Redactor([key])(spelt(key, ["json"] * len(key))))


@pytest.mark.parametrize("keys", [[], [""], ["none"], ["no-key", "none"]])
def test_a_word_in_the_place_of_a_key_is_left(keys: list[str]) -> None:
    assert Redactor(keys)("It fires on none of them, no-key") == "It fires on none of them, no-key"


@given(st.data())
def test_of_several_secrets_none_is_left_also_where_one_is_part_of_another(data: st.DataObject) -> None:
    some = data.draw(st.lists(st.lists(st.sampled_from(ASCII), min_size=12, max_size=16).map("".join), max_size=3))
    keys = [KEY, f"Basic {KEY}", *(key for key in some if len(redact.plain(key)) >= redact.SHORTEST)]
    said = " and ".join(
        spelt(key, data.draw(st.lists(st.sampled_from(list(HOWS)), min_size=len(key), max_size=len(key))))
        for key in data.draw(st.permutations(keys))
        if " " not in key
    )
    found = Redactor(data.draw(st.permutations(keys)))(f"{said} Basic {KEY}")
    assert not any(redact.plain(key) in redact.plain(found) for key in keys)


@given(st.text())
def test_a_text_without_the_key_is_left_as_it_is(body: str) -> None:
    assert Redactor([KEY, "another-canary-27b8"])(body) == body
