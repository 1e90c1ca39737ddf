"""What is asked of a server that speaks OpenAI's chat completions, and how."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from stages.errors import GlossaError, nearest
from stages.llm.journal import canonical
from stages.llm.request import SAMPLES, Request
from stages.llm.server import budget, turns
from stages.llm.server.exchange import messages
from stages.machine import runtime
from stages.machine.endpoint import Endpoint
from stages.params import Section

OURS = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "response_format"}
    | {"logprobs", "seed", "temperature", "top_logprobs", "top_p"}
)
"""Fields of a body that ``extra`` must not hold: they are set here, or would change what an answer is."""


class Server(Section):
    """All that decides what is asked and of whom: the entry ``{provider: openai, endpoint: …, model: …}`` but its provider."""

    endpoint: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    """A name under ``endpoints`` in runtime.yaml. It stands for this server and these weights, wherever they are: answers
    are kept under it, so another quantisation of a model needs another name."""

    model: str
    """As the server calls it."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0
    """None leaves it to the server, as reasoning models want."""

    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 500
    """Tokens of an answer, its reasoning included."""

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls that; OpenAI's reasoning models know the second only, Ollama the first only."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    """How many of the likeliest tokens are reported with an answer's labels; 0 for none, and verdicts without probability."""

    structured: Literal["schema", "object", "none"] = "schema"
    """How the server is made to answer in the form that is asked for: by JSON schema, as JSON of any form, or not at all;
    the prompt asks for it in any case."""

    system: Literal["auto", "turn", "user"] = "auto"
    """Where the instructions stand: in a turn of the system (``turn``) or, for models whose chat template knows none, such as Gemma 2's,
    at the head of the user's first (``user``). ``auto`` is ``turn`` unless the server refuses that."""

    reasks: Annotated[int, Field(ge=0, le=5)] = 2
    """How often an answer that can't be read is asked for again."""

    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the body, such as ``{chat_template_kwargs: {enable_thinking: false}}`` for vLLM."""

    @field_validator("extra")
    @classmethod
    def _only_foreign(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := [key for key in value if key in OURS]:
            raise PydanticCustomError("taken", "should not hold {key}, which has its own place", {"key": taken[0]})
        try:
            canonical.encode(value)
        except (ValueError, TypeError) as error:
            raise PydanticCustomError("json", "should be JSON, but {error}", {"error": str(error)}) from None
        return value

    def body(self, request: Request, again: int = 0, reason: str | None = None) -> bytes:
        """Returns what is sent for ``request``, the ``again``-th time after an answer that had to be refused."""
        chat = messages(request, again, reason)
        if self.system == "user":
            chat = turns.folded(chat)
        body: dict[str, Any] = {**self.extra, "model": self.model, "messages": chat}
        body[self.limit] = self.limit_of(request)
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.top_p is not None:
            body["top_p"] = self.top_p
        if self.seed is not None:
            body["seed"] = self.seed + self.number(request, again)
        if request.schema is not None and self.structured == "schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.schema is not None and self.structured == "object":
            body["response_format"] = {"type": "json_object"}
        if request.logprobs and self.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.logprobs}
        return canonical.encode(body)

    def settled(self, system: turns.Shape) -> Self:
        """Returns these options with ``system`` as it was found out, which is what ``body`` goes by."""
        return self.model_copy(update={"system": system})

    def limit_of(self, request: Request) -> int:
        """Returns the most tokens that the answer to ``request`` may have."""
        return request.max_tokens or self.max_tokens

    def number(self, request: Request, again: int = 0) -> int:
        """Returns the number that tells this answer from others to the same body."""
        return request.sample + SAMPLES * again

    def key(self, request: Request) -> str:
        """Returns the key under which the journal keeps the first answer to ``request``."""
        return canonical.key(self.endpoint, self.body(request), self.number(request))

    def check(self) -> None:
        """Makes sure that the server can be asked, as far as that shows without asking it.

        Raises:
            GlossaError: the endpoint is not in runtime.yaml, its key or another secret not in the environment, the certificates that
                vouch for it not where they should be, or the price for its budget missing.
        """
        endpoint = self.at()
        endpoint.filled(self.endpoint)
        endpoint.trusted(self.endpoint)
        budget.limits(endpoint, self.endpoint, self.model)

    def at(self) -> Endpoint:
        """Returns the endpoint from runtime.yaml; raises GlossaError if it is not there."""
        known = runtime.load().endpoints
        if self.endpoint not in known:
            raise GlossaError(
                f"runtime.yaml has no endpoint {self.endpoint}, which a model of params.yaml names; "
                f"{nearest(self.endpoint, known)}"
            )
        return known[self.endpoint]
