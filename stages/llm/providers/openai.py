"""``openai``: any server that speaks OpenAI's chat completions, hosted or one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from stages.llm import Provider
from stages.llm.request import Answer, Request
from stages.llm.server.options import Server


class Options(Server, Provider):
    """The entry ``{provider: openai, endpoint: …, model: …}``."""

    provider: Literal["openai"]

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields an answer for every request, in their order.

        Raises:
            GlossaError: the server can't be used as the options say, or the budget is spent.
        """
        from stages.llm.server import session  # with the openai package, which takes a second

        return session.answer(self, requests)
