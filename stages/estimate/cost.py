"""From counted questions to tokens and dollars, and how far these can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stages.errors import GlossaError
from stages.estimate.count import AROUND_A_MESSAGE, Count
from stages.estimate.forecast import Forecast
from stages.llm.providers import chat
from stages.llm.server.options import Server
from stages.machine.endpoint import Price

BYTES_A_TOKEN = 4.0
ROUGH = "4 bytes a token; English takes 3 to 5, so they may be a fifth fewer or a third more, and other scripts take more still"


@dataclass
class Line:
    """What one stage asks of one model; counts are of the whole stage or, where it is not known how many latents there will be, of one latent."""

    stage: str
    basis: str
    """``examples``: from the very questions. ``sample``: from those of some latents. ``params``: from made-up examples. Or
    why nothing is asked, or why it is not known what."""
    endpoint: str | None = None
    model: str | None = None
    per_latent: bool = False
    calls: int = 0
    known: int = 0
    to_send: int = 0
    assumed: int = 0
    """Of those to send, how many rest on something that a model has yet to say."""
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_out_most: int = 0
    dollars: float | None = None
    """None if no price is known."""
    dollars_most: float | None = None
    dollars_batch: float | None = None
    """Instead of ``dollars``, if the answers come in a batch."""


class Measure(NamedTuple):
    """How many bytes of a question one token takes, and how that is known."""

    bytes_a_token: float
    how: str


def lines(forecasts: Sequence[Forecast]) -> tuple[list[Line], dict[str, str]]:
    """Returns a line for every forecast, and {model: how its tokens were counted}."""
    measures: dict[tuple[str, str], Measure] = {}
    by_model: dict[tuple[str, str], list[Count]] = {}
    for forecast in forecasts:
        if forecast.asked is not None:
            options = forecast.asked.options
            by_model.setdefault((options.endpoint, options.model), []).append(forecast.asked)
    for name, counts in by_model.items():
        if any(count.to_send for count in counts):
            measures[name] = _measure(counts)
    return [_line(forecast, measures) for forecast in forecasts], {
        model: measure.how for (_, model), measure in measures.items()
    }


def price(options: Server) -> Price | None:
    """Returns what runtime.yaml says that a model costs, if it does."""
    try:
        return options.at().prices.get(options.model)
    except GlossaError:
        return None


def _measure(counts: list[Count]) -> Measure:
    known = sum(count.known_input for count in counts)
    if known:
        return Measure(
            sum(count.known_bytes for count in counts) / known, "as the server counted those of known answers"
        )
    options = counts[0].options
    tokenizer = chat.tokenizer(options.model, getattr(options, "revision", None))
    chats = [messages for count in counts for messages in count.chats]
    if tokenizer is None or not chats:
        return Measure(BYTES_A_TOKEN, f"rough, {ROUGH}")
    variables = getattr(options, "template", {})
    texts = [
        chat.text(tokenizer, options.model, [message._asdict() for message in messages], variables)
        for messages in chats
    ]
    tokens = sum(map(len, tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]))
    length = sum(len(message.content.encode()) + AROUND_A_MESSAGE for messages in chats for message in messages)
    return Measure(length / max(1, tokens), f"by its tokenizer, on {len(chats):,} questions")


def _line(forecast: Forecast, measures: dict[tuple[str, str], Measure]) -> Line:
    name, count, factor = " ".join(forecast.stage), forecast.asked, forecast.factor
    if count is None:
        return Line(name, forecast.basis)
    options = count.options
    is_part = forecast.basis == "examples" and factor != 1
    line = Line(name, "sample" if is_part else forecast.basis, options.endpoint, options.model, forecast.per_latent)
    line.calls, line.known = round(count.calls * factor), round(count.known * factor)
    line.to_send, line.assumed = line.calls - line.known, round(count.assumed * factor)
    if line.to_send:
        measure = measures[options.endpoint, options.model]
        line.tokens_in = round(count.input_bytes * factor / measure.bytes_a_token)
        line.tokens_out_most = round(count.output_most * factor)
        line.tokens_out = min(round(_output(count) * factor), line.tokens_out_most)
    if isinstance(options, Server):
        if (cost := price(options)) is not None:
            line.dollars = (line.tokens_in * cost.input + line.tokens_out * cost.output) / 1e6
            line.dollars_most = (line.tokens_in * cost.input + line.tokens_out_most * cost.output) / 1e6
            line.dollars_batch = line.dollars * cost.batch
    else:
        line.dollars = line.dollars_most = line.dollars_batch = 0.0
    return line


def _output(count: Count) -> float:
    """Tokens of the answers to come: as many as known ones had, or as their form has, or as many as they may have."""
    n, tokens = count.known_output
    if n:
        return count.to_send * tokens / n
    return count.forms + count.texts
