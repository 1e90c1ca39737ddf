"""Scores found by several processes of this machine, and put together in the order in which one process would find them.

Every process judges some latents in a row, then those that come after the others' turns. Nothing that is found of a latent depends
on another, so the parts, and with them all bytes, are those of one process.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import Empty, Queue
from threading import Thread
from typing import Any, NamedTuple

from stages import llm, registry
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.machine import runtime
from stages.machine.progress import bar
from stages.scorers import Context, Scorer
from stages.scorers.run import Items, Part, found_of, parts_of, summarised

COLLECT = (50_000, 20, 20)
"""How rarely a process looks for garbage, of which there is little."""
PAYS = 512
"""Latents that are worth starting processes for, which takes each of them a second."""
LATENTS = 32
"""Latents of a part."""
IN_A_ROW = 8
"""Parts that are one process's turn: neighbours lie in the same row group of the windows, which is read whole."""

Found = Part | dict[str, Any] | GlossaError | None
"""What a process tells: some latents' part, at its end what else belongs into the meta, or why it can't go on; None if it was killed."""


class Share(NamedTuple):
    """What one process is to judge, and by what."""

    scorer: Scorer
    items: Items
    groups: list[list[int]]
    """The latents of every part."""
    context: Context
    stand_in: Any
    """What ``llm.standing_in`` was given, if anything."""


def find(scorer: Scorer, items: Items, context: Context) -> Generator[Part, None, dict[str, Any]]:
    """Yields what ``run.parts_of`` does, found by as many processes as ``runtime.processes`` says if that pays and nothing forbids it.

    Raises:
        GlossaError: a process says so, or is killed.
    """
    n = processes(scorer, items)
    if n == 1:
        return (yield from parts_of(scorer, items, context))
    kept = set(items.examples.kept)
    latents = sorted(latent for latent in items.latents if latent in kept)
    groups = [latents[begin : begin + LATENTS] for begin in range(0, len(latents), LATENTS)]
    turns = [place // IN_A_ROW % n for place in range(len(groups))]
    shares = [[group for group, turn in zip(groups, turns, strict=True) if turn == own] for own in range(n)]
    with _processes_of(scorer, items, context, shares) as queues, bar("score", len(latents), "latent") as progress:
        for turn, group in zip(turns, groups, strict=True):
            part = _told(queues[turn], n)
            assert isinstance(part, Part)
            progress.update(len(group))
            yield part
        facts = [_told(queue, n) for queue in queues]
    return joined([one for one in facts if isinstance(one, dict)])


def joined(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns what several processes tell for the meta as one would: names together, numbers of examples added, all else once."""
    found: dict[str, Any] = {}
    for key, value in chain.from_iterable(one.items() for one in facts):
        before = found.get(key)
        if isinstance(value, list):
            found[key] = sorted({*(before or ()), *value})
        elif isinstance(value, dict):
            numbers = before or {}
            found[key] = {name: numbers.get(name, 0) + value.get(name, 0) for name in sorted({*numbers, *value})}
        else:
            found[key] = value
    return found


def processes(scorer: Scorer, items: Items) -> int:
    """Returns how many processes judge the items: more than one if that pays, and if neither scorer nor model forbids it."""
    if not (scorer.APART and _is_apart(scorer) and isinstance(items.examples, Examples)) or len(items.latents) < PAYS:
        return 1
    return min(runtime.processes(), -(-len(items.latents) // (LATENTS * IN_A_ROW)))


def _is_apart(scorer: Scorer) -> bool:
    """Whether the model may be loaded by several processes at once."""
    provider = getattr(scorer, "model", {}).get("provider", "")
    return (
        llm.stand_in() is not None
        or registry.options(registry.PROVIDERS, provider, "model.provider", llm.Provider).APART
    )


def _told(queue: Queue[Found], n: int) -> Found:
    found = queue.get()
    if isinstance(found, GlossaError):
        raise found
    if found is None:
        raise GlossaError(
            f"expected the {n} processes that score to finish, but one of them was killed, perhaps for want of memory; set workers: 1 in "
            "runtime.yaml"
        )
    return found


@contextmanager
def _processes_of(
    scorer: Scorer, items: Items, context: Context, shares: Sequence[list[list[int]]]
) -> Iterator[list[Queue[Found]]]:
    """Starts a process for every share; yields for each what it tells. They are ended when the block is."""
    spawn = get_context("spawn")
    queues: list[Queue[Found]] = []
    ends = []
    # Whoever presses Ctrl-C is told once: it reaches a process that has begun, and does not interrupt how it begins.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for groups in shares:
            latents = list(chain.from_iterable(groups))
            others = {latent: items.other[latent] for latent in latents if latent in items.other}
            texts = {latent: items.texts[latent] for latent in {*latents, *others.values()}}
            examples = Examples(items.examples.directory, items.examples.meta)
            share = Share(scorer, Items(examples, latents, texts, others), groups, context, llm.stand_in())
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_work, args=(theirs, share), daemon=True)
            process.start()
            theirs.close()  # so that ours ends when the process does
            queue: Queue[Found] = Queue(IN_A_ROW)
            thread = Thread(target=_hear, args=(ours, queue), daemon=True)
            thread.start()
            queues.append(queue)
            ends.append((process, thread, ours))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield queues
    finally:
        for process, _, _ in ends:
            process.terminate()
        for (process, thread, ours), queue in zip(ends, queues, strict=True):
            process.join()
            while thread.is_alive():
                with suppress(Empty):
                    queue.get(timeout=0.05)
            ours.close()


def _hear(connection: Connection, queue: Queue[Found]) -> None:
    try:
        while True:
            queue.put(connection.recv())
    except (EOFError, OSError):
        queue.put(None)


def _work(connection: Connection, share: Share) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ["TQDM_DISABLE"] = "1"  # several bars at once would overwrite each other
    gc.set_threshold(*COLLECT)
    with suppress(BrokenPipeError), llm.standing_in(share.stand_in) if share.stand_in else nullcontext():
        try:
            scorer, context = share.scorer, share.context
            found, facts = found_of(scorer, share.items, context)
            for group in share.groups:
                n = len(group) + sum(latent in share.items.other for latent in group)
                connection.send(summarised(scorer, [next(found) for _ in range(n)], context))
            assert next(found, None) is None
            connection.send(facts)
        except GlossaError as error:
            connection.send(error)
