"""What a server really does: servers ignore what they do not know and answer 200, so it is tried before it is relied on.

Two to five small calls of the shape that the stages' questions have, made before the first of these and then remembered in the
journal for the endpoint, its address, the model and the options. What the options count on and the server ignores ends the stage;
nothing falls back by itself, but that instructions stand where the server takes them, unless the options say where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stages.errors import GlossaError
from stages.llm.forms import answers, probabilities
from stages.llm.journal import canonical
from stages.llm.journal.store import TakenError
from stages.llm.reply import NOTHING, Reply, glimpse
from stages.llm.request import Message, Request
from stages.llm.server import turns
from stages.llm.server.exchange import Question
from stages.llm.server.faults import RefusedError
from stages.outputs import fingerprint

if TYPE_CHECKING:
    from stages.llm.journal.store import Journal
    from stages.llm.server.calls import Caller
    from stages.llm.server.options import Server
    from stages.machine.endpoint import Endpoint

VERSION = 3

SHORT = 16
"""Tokens that a story may have."""

FORM = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
INSTRUCTIONS = Message(turns.SYSTEM, "You do exactly what you are asked to, in plain words.")

SENTENCE = (INSTRUCTIONS, Message("user", "Write one plain sentence about the sea. Do not write JSON."))
"""To be answered in ``FORM``, which no model does unless it is made to."""

STORY = (
    INSTRUCTIONS,
    Message("user", "Tell a long story about a lighthouse, without a plan or a preamble. Begin at once."),
)

REFUSALS = frozenset({400, 422})
"""Statuses with which servers refuse a chat that a model's template can't take; some fail instead."""


class Found(NamedTuple):
    """What a server does; None for what was not tried."""

    schema: bool | None
    """Answers in the form of a JSON schema."""
    logprobs: int | None
    """Likeliest tokens reported at each place; 0 for no log-probabilities."""
    usage: bool
    """Counts tokens."""
    limit: bool | None
    """Keeps to the limit of tokens; None when it counts none."""
    seed: bool | None
    """The same seed gives the same text; None if another seed does too."""
    repeats: bool | None
    """Temperature 0 gives the same text twice."""
    system: bool | None
    """Takes a turn of the system; None if the options say that it is to get none."""
    came: str
    """What it answered to the request for a plain sentence, in a few words."""
    unread: str | None
    """Why there is nothing in that to be read, if there is not."""

    @property
    def shape(self) -> turns.Shape:
        """Where instructions stand."""
        return "turn" if self.system else "user"


def story(options: Server) -> Question:
    """Returns a question that is answered fast, by any server: it has no turn of the system."""
    asked = Request(STORY, max_tokens=SHORT)
    return Question(options.settled("user").body(asked), options.number(asked), SHORT)


async def check(options: Server, caller: Caller) -> Found:
    """Makes sure that the server does all that ``options`` count on; returns what it does.

    One that is remembered as not doing it is tried anew: it may have been mended, or begun with other options, at the same address.

    Raises:
        GlossaError: it does not, or it does not answer at all.
    """
    known = remembered(options, caller.endpoint, caller.journal)
    found = await find_out(options, caller, anew=known is not None and _wrong(options, known) is not None)
    if wrong := _wrong(options, found):
        raise wrong
    return found


def _wrong(options: Server, found: Found) -> GlossaError | None:
    """What is wrong with a server that was found to be so, if anything is."""
    if found.unread and found.came != NOTHING:  # which a model may well say once
        return GlossaError(
            f"the model {options.model} at the endpoint {options.endpoint} should answer a request for a plain sentence, but "
            f"{found.unread}: it sent {found.came}; have it answer in the content of its message, with its reasoning off (see extra "
            "in params.yaml) or kept apart from the answer by the server"
        )
    if missing := _missing(options, found):
        what, instead = missing
        came = f" and answers {found.came}" if found.schema is False else ""
        return GlossaError(
            f"the model {options.model} at the endpoint {options.endpoint} should {what}, but the server ignores that{came}; "
            f"{instead}, or use a server that does"
        )
    return None


def remembered(options: Server, endpoint: Endpoint, journal: Journal) -> Found | None:
    """Returns what the journal remembers of the server at the address of ``endpoint``, None if it was not tried."""
    known = journal.probed(_key(options, endpoint))
    return Found(**known) if known is not None and known.keys() == set(Found._fields) else None


async def find_out(options: Server, caller: Caller, anew: bool = False) -> Found:
    """Returns what the server does, as the journal remembers it or, if it does not or ``anew``, by trying."""
    key = _key(options, caller.endpoint)
    while anew or (known := remembered(options, caller.endpoint, caller.journal)) is None:
        try:
            if not anew:
                caller.claim(key)
                if remembered(options, caller.endpoint, caller.journal) is not None:  # in the meantime
                    continue
            found = await _try(options, caller)
            caller.journal.keep_probe(key, found._asdict())
            return found
        except TakenError:
            await caller.others(key)
        finally:
            caller.journal.release(key)
    return known


def _key(options: Server, endpoint: Endpoint) -> str:
    asked = options.model_dump(exclude={"provider", "reasks"})
    there = {"base_url": endpoint.base_url, **({"query": endpoint.query} if endpoint.query else {})}
    return fingerprint({"version": VERSION, **there, **asked})


def _missing(options: Server, found: Found) -> tuple[str, str] | None:
    """What is counted on and not done, and what to change."""
    if found.schema is False:
        return "answer in the form of a JSON schema", "set structured: none in params.yaml"
    if found.logprobs == 0:
        return "report log-probabilities", "set logprobs: 0 in params.yaml"
    if found.limit is False:
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[options.limit]
        return f"keep to {options.limit}", f"set limit: {other} in params.yaml"
    if found.seed is False:
        return "give the same answer for the same seed", "leave seed out of params.yaml"
    return None


async def _try(options: Server, caller: Caller) -> Found:
    form = Request(SENTENCE, FORM, logprobs=True)
    story = Request(STORY, max_tokens=SHORT, logprobs=True)
    system, first = await _first(options, caller, form)
    options = options.settled("turn" if system else "user")
    if first.finish == "length":
        raise GlossaError(
            f"the model {options.model} at the endpoint {options.endpoint} should answer within max_tokens: "
            f"{options.max_tokens}, but a single sentence was cut off; raise that, or turn its reasoning off in extra"
        )
    schema = None
    if options.structured == "schema":
        schema = answers.read(first, FORM).value is not None
    told = await _ask(options, caller, story)
    seed = repeats = None
    if options.temperature == 0:
        repeats = (await _ask(options, caller, story)).content == told.content
    elif options.seed is not None:
        same = await _ask(options, caller, story)
        other = await _ask(options, caller, Request(STORY, max_tokens=SHORT, logprobs=True, sample=1))
        seed = same.content == told.content and (other.content != told.content or None)
    tops = None
    if options.logprobs:
        tops = max(map(probabilities.tops, [*(first.tokens or []), *(told.tokens or [])]), default=0)
    completion = told.usage.completion
    return Found(
        schema=schema,
        logprobs=tops,
        usage=completion is not None and told.usage.prompt is not None,
        limit=None if completion is None else completion <= SHORT,
        seed=seed,
        repeats=repeats,
        system=system,
        came=glimpse(first),
        unread=answers.read(first, None).reason,
    )


async def _first(options: Server, caller: Caller, request: Request) -> tuple[bool | None, Reply]:
    """Asks a request with instructions; returns whether the server takes them in a turn of their own, and the reply."""
    if options.system == "user":
        return None, await _ask(options, caller, request)
    try:
        return True, await _ask(options.settled("turn"), caller, request)
    except RefusedError as error:
        refusal = error
    if refusal.status is None or not (refusal.status in REFUSALS or refusal.status >= 500):
        raise refusal
    try:
        reply = await _ask(options.settled("user"), caller, request)
    except RefusedError:
        raise refusal from None  # it is about something else
    if options.system == "turn":
        raise GlossaError(
            f"the model {options.model} at the endpoint {options.endpoint} should take instructions in a turn of the system, as system: turn "
            f"in params.yaml has it, but the server refuses that ({refusal.reason}) and takes them in the user's turn; set system: user"
        )
    return False, reply


async def _ask(options: Server, caller: Caller, request: Request) -> Reply:
    body, number = options.body(request), options.number(request)
    key = canonical.key(options.endpoint, body, number)
    # Not kept: nothing is made of these answers, and a server that has moved has to be tried itself.
    _, reply = await caller.send(key, body, number, options.limit_of(request), keep=False)
    if reply.failed or reply.garbled:
        reason = str(reply.failed or "what it sends is no answer")
        raise RefusedError(
            f"the model {options.model} at the endpoint {options.endpoint} should answer small questions before it is relied on, but the "
            f"server fails on one of them ({reason}); see its log",
            reason,
            reply.failed,
        )
    return reply
