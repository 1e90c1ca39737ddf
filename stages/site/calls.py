"""What language models were asked and what they answered, found in a transcript by the keys of the calls."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.errors import GlossaError, said
from stages.examples.windows import ranges
from stages.llm import reply
from stages.llm.journal import transcript
from stages.text.display import lines, visible

Exchange = dict[str, Any]
Message = dict[str, Any]

HELD = 4
"""Row groups in memory: the calls about a latent stand close together."""
MOST = 2**40
"""Tokens that anybody would believe."""
COLUMNS = ["key", "endpoint", "sample", "request", "response"]


class Calls:
    """The calls of one stage."""

    def __init__(self, folder: Path) -> None:
        """Raises GlossaError if there is a transcript, but it is damaged."""
        self._path = folder / transcript.NAME
        self.any = self._path.is_file()
        """Whether a language model was asked at all."""
        if not self.any:
            return
        try:
            self._file = pq.ParquetFile(self._path)
            metadata = self._file.metadata
            groups = [self._file.read_row_group(group, ["key"])["key"] for group in range(metadata.num_row_groups)]
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from None
        self._ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        # Eight bytes for a key; a key that is met is compared whole.
        hashes = np.fromiter((hash(key) for column in groups for key in column.to_pylist()), np.int64)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._held: OrderedDict[int, pa.Table] = OrderedDict()

    def find(self, keys: Iterable[str]) -> tuple[list[Exchange], list[Message]]:
        """Returns the calls with these keys, in the order in which they were made, and the messages with which all of them begin.

        Keys without a call are left out.
        """
        wanted = set(keys) if self.any else set()
        found: dict[str, Exchange] = {}
        for group, rows in self._places(wanted):
            for row in self._group(group).take(rows).to_pylist():
                if row["key"] in wanted and row["key"] not in found:
                    found[row["key"]] = exchange(row)
        return list(found.values()), shared(list(found.values()))

    def _places(self, keys: set[str]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yields row groups, and in each the rows that may have these keys."""
        if not keys:
            return
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        first, end = (np.searchsorted(self._hashes, hashes, side) for side in ("left", "right"))
        rows = np.sort(self._order[ranges(first, end - first)])
        groups = np.searchsorted(self._ends, rows, side="right")
        for group in np.unique(groups).tolist():
            yield group, rows[groups == group] - (self._ends[group - 1] if group else 0)

    def _group(self, group: int) -> pa.Table:
        if group not in self._held:
            try:
                self._held[group] = self._file.read_row_group(group, COLUMNS)
            except (pa.ArrowInvalid, OSError) as error:
                raise self._damaged(error) from None
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        return self._held[group]

    def _damaged(self, error: Exception) -> GlossaError:
        why = said(error, whole=True)
        return GlossaError(f"expected a transcript in {self._path}, but it can't be read ({why}); run dvc repro")


def exchange(row: dict[str, Any]) -> Exchange:
    """Returns a row of a transcript as it is shown, but for its messages; an answer that is no chat completion as it was received."""
    asked, answered = parsed(row["request"]), parsed(row["response"])
    said = [turn for turn in asked.get("messages") or () if isinstance(turn, dict)]
    found = {
        "key": visible(row["key"]),
        "endpoint": visible(row["endpoint"]),
        "model": visible(reply.shown(answered.get("model")) or str(asked.get("model") or "")),
        "messages": said,
        "answer": _answer(answered) or lines(row["response"]),
        "usage": usage(answered),
    }
    return found | ({"sample": row["sample"]} if row["sample"] else {})


def _answer(answered: dict[str, Any]) -> str | None:
    match answered.get("choices"):
        case [{"message": dict(message)}, *_]:
            said = reply.content(message)
            return None if said is None else lines(said)
    return None


def usage(answered: dict[str, Any]) -> tuple[int, int] | None:
    """Returns the tokens of the prompt and of the answer, if the server counted both."""
    counts = answered.get("usage")
    if not isinstance(counts, dict):
        return None
    prompt, answer = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if type(prompt) is int and type(answer) is int and 0 <= prompt < MOST and 0 <= answer < MOST:
        return prompt, answer
    return None


def parsed(text: str) -> dict[str, Any]:
    """Returns what a server or we wrote, which may be anything; empty if it is no JSON object."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            found = json.loads(text)  # it knows half surrogate pairs
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}


def shared(requests: list[Exchange]) -> list[Message]:
    """Takes from the messages of all requests those with which every one of them begins, and returns these, fit to be shown.

    The last message of a request stays its own, and is made fit to be shown.
    """
    common = requests[0]["messages"][:-1] if requests else []
    for request in requests:
        messages = request["messages"][: min(len(common), len(request["messages"]) - 1)]
        if common[: len(messages)] == messages:
            common = common[: len(messages)]
        else:
            common = common[: next(n for n, (a, b) in enumerate(zip(common, messages, strict=False)) if a != b)]
    for request in requests:
        request["messages"] = [_shown(message) for message in request["messages"][len(common) :]]
    return [_shown(message) for message in common]


def _shown(message: Message) -> Message:
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"role": visible(str(message.get("role"))), "content": lines(text)}
