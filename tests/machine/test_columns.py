from stages.machine.columns import columns


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert columns([("coder", "kept", "n"), ("resid12", "7", "1,000"), ("a", "", "")]) == [
        "coder    kept      n",
        "resid12     7  1,000",
        "a",
    ]


def test_some_are_flush_left() -> None:
    assert columns([("a", "by", "1"), ("bcd", "pattern", "20")], left=2) == ["a    by        1", "bcd  pattern  20"]
