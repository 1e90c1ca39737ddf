from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import GlossaError
from stages.llm.call import Usage
from stages.llm.journal.store import Cost, Journal
from stages.llm.server import budget
from stages.machine.endpoint import Price
from tests.llm.asking import ask
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, chance, completion, error

PRICE = Price(input=2.0, output=10.0, cached=0.5)


def test_the_most_that_a_call_can_cost() -> None:
    assert budget.most(b"x" * 744, 100, None) == Cost(1100, 0.0)
    assert budget.most(b"x" * 744, 100, PRICE) == Cost(1100, pytest.approx((1000 * 2 + 100 * 10) / 1e6))


def test_what_a_call_did_cost() -> None:
    assert budget.actual(Usage(1000, 100), PRICE) == Cost(1100, pytest.approx((1000 * 2 + 100 * 10) / 1e6))
    assert budget.actual(Usage(1000, 100, 600), PRICE) == Cost(
        1100, pytest.approx((400 * 2 + 600 * 0.5 + 100 * 10) / 1e6)
    )
    assert budget.actual(Usage(1000, 100, 600), Price(input=2.0, output=10.0)) == Cost(1100, pytest.approx(0.003))
    assert budget.actual(Usage(1000, 100, dollars=0.7), None) == Cost(1100, 0.7)
    assert budget.actual(Usage(1000, None), PRICE) is None


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 100), st.integers(0, 100))
def test_it_never_costs_more_than_the_most(prompt: int, cached: int, limit: int, completion: int) -> None:
    body = b"x" * max(0, prompt - budget.TEMPLATE_TOKENS)
    most, did = budget.most(body, limit, PRICE), budget.actual(Usage(prompt, min(completion, limit), cached), PRICE)
    assert did is not None
    assert did.tokens <= most.tokens
    assert did.dollars <= most.dollars * (1 + 1e-9)


USED = {"prompt_tokens": 300, "completion_tokens": 50}


def spending(asked: Asked) -> Action:
    """Uses all of its tokens, takes a while, and sometimes fails when it may have been billed."""
    if chance(asked.digest, str(asked.n)) < 0.05:
        return error(500)
    return completion(asked, usage=USED)._replace(delay=0.01)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize(
    ("limit", "cost_of_one"),
    [({"calls": 300}, 1), ({"tokens": 100_000}, 350), ({"dollars": 0.2}, (300 * 2 + 50 * 10) / 1e6)],
)
def test_at_concurrency_256_it_is_never_exceeded_and_used_up_also_over_restarts(
    serve: Serve, limit: dict[str, float], cost_of_one: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.llm.server.faults.FIRST_WAIT", 0.01)
    (unit, most) = next(iter(limit.items()))
    server = serve(spending, concurrency=256, prices={"m": {"input": 2.0, "output": 10.0}}, budget=limit)
    for restart in range(3):
        with pytest.raises(
            GlossaError, match=rf"the budget of the endpoint lab is .* {unit}, of which .* are spent.*raise"
        ):
            ask(2000)
        with Journal.at_home() as journal:
            spent = dict(zip(("calls", "tokens", "dollars"), journal.spent("lab"), strict=True))[unit]
            answers = len(journal)
        assert spent <= most
        assert answers * cost_of_one <= spent
        if not restart:
            # Failed attempts count with the most that they can have cost, so the rest shows that little else is lost.
            reserved = {"calls": 1, "tokens": 1200, "dollars": 0.003}[unit]
            failed = len(server.calls) - answers
            assert answers * cost_of_one >= most - (failed + 1) * reserved


@pytest.mark.usefixtures("unprobed")
def test_a_server_that_counts_nothing_is_taken_to_use_the_most(serve: Serve) -> None:
    server = serve(lambda asked: completion(asked, usage={}), budget={"tokens": 5000}, concurrency=1)
    with pytest.raises(GlossaError, match="budget"):
        ask(100)
    body = len(str(server.calls[0].body))
    assert 2 <= len(server.calls) <= 5000 / (body / 1.5)
    with Journal.at_home() as journal:
        assert journal.spent("lab")[1] <= 5000


@pytest.mark.usefixtures("unprobed")
def test_a_known_answer_costs_nothing(serve: Serve) -> None:
    serve(budget={"calls": 10})
    assert len(ask(10)) == 10
    assert len(ask(10)) == 10
    with pytest.raises(GlossaError, match="10 calls, of which 10 are spent, and another call can take 1; raise"):
        ask(11)


def test_dollars_without_a_price_are_refused_before_anything_is_sent(serve: Serve) -> None:
    server = serve(budget={"dollars": 1.0}, prices={"other": {"input": 1.0, "output": 1.0}})
    with pytest.raises(
        GlossaError, match=r"endpoints\.lab\.budget is in dollars, but endpoints\.lab\.prices has no m;"
    ):
        ask()
    assert not server.calls
