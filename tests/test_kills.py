"""The pipeline is killed at some moments; the long form is benchmarks/kills.py."""

from benchmarks.kills import race


def test_a_killed_run_ends_as_one_that_was_let_be_and_pays_no_answer_twice() -> None:
    came = race(kills=4, seed=0, small=True)
    assert came.kills.total() == 4
    assert came.differ == []
    assert came.twice == 0
