"""What a call can cost and what it did cost."""

from __future__ import annotations

from stages.errors import GlossaError
from stages.llm.call import Usage
from stages.llm.journal.store import Cost, Limits
from stages.machine.endpoint import Endpoint, Price

TEMPLATE_TOKENS = 256
"""Tokens that a server's chat template adds at most, beside those of the body."""


def most(body: bytes, max_tokens: int, price: Price | None) -> Cost:
    """The most that one attempt can cost: a token has at least one byte of the body, or is of the chat template."""
    prompt = len(body) + TEMPLATE_TOKENS
    dollars = 0.0
    if price is not None:
        dollars = (prompt * max(price.input, price.cached or 0) + max_tokens * price.output) / 1e6
    return Cost(prompt + max_tokens, dollars)


def actual(usage: Usage, price: Price | None) -> Cost | None:
    """What an answer did cost, by the tokens that the server counted; None if it did not count them.

    Without a price the dollars are those that the server names itself, as OpenRouter does.
    """
    if usage.prompt is None or usage.completion is None:
        return None
    tokens = usage.prompt + usage.completion
    if price is None:
        return Cost(tokens, usage.dollars or 0.0)
    cached = min(usage.cached or 0, usage.prompt) if price.cached is not None else 0
    dollars = (usage.prompt - cached) * price.input + cached * (price.cached or 0) + usage.completion * price.output
    return Cost(tokens, dollars / 1e6)


def limits(endpoint: Endpoint, name: str, model: str) -> Limits:
    """Returns the budget of an endpoint.

    Raises:
        GlossaError: it is in dollars and nobody said what the model costs.
    """
    budget = endpoint.budget
    if budget.dollars is not None and model not in endpoint.prices:
        raise GlossaError(
            f"runtime.yaml: endpoints.{name}.budget is in dollars, but endpoints.{name}.prices has no {model}; add "
            "what a million tokens of it cost, such as {input: 0.6, output: 0.8}"
        )
    return Limits(budget.calls, budget.tokens, budget.dollars)


def exhausted(name: str, spent: tuple[int, int, float], needed: Cost, limit: Limits) -> GlossaError:
    """The error that says which limit one more call might go over."""
    figures = zip(("calls", "tokens", "dollars"), spent, (1, *needed), limit, strict=True)
    unit, used, more, most_of_it = next(
        figure for figure in figures if figure[3] is not None and sum(figure[1:3]) > figure[3]
    )
    return GlossaError(
        f"the budget of the endpoint {name} is {most_of_it:,} {unit}, of which {used:,.6g} are spent, and another call can "
        f"take {more:,.6g}; raise endpoints.{name}.budget.{unit} in runtime.yaml to go on (what was answered is kept)"
    )
