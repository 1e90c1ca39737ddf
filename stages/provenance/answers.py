"""The calls of a transcript by their keys, read from the file when they are asked for."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from stages.llm.call import Call
from stages.llm.journal import transcript
from stages.llm.server import turns
from stages.llm.server.options import Server
from stages.llm.server.turns import Shape

HELD = 8
"""Row groups in memory; the calls of one are asked for one after the other."""


class Answers:
    """What a stage was answered. It has the method ``get`` of a journal, and so can stand in for one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / transcript.NAME
        self._held: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()

    @cached_property
    def keys(self) -> list[str]:
        """The keys in the order of the calls; none if no model was called."""
        return self._file.read(columns=["key"])["key"].to_pylist() if self.path.is_file() else []

    def get(self, key: str) -> Call | None:
        """Returns the call under ``key``, if it was made."""
        place = self._places.get(key)
        return None if place is None else self.at(place)

    def at(self, place: int) -> Call:
        """Returns the call number ``place``, from 0."""
        group = int(np.searchsorted(self._ends, place, side="right"))
        if group not in self._held:
            self._held[group] = self._file.read_row_group(group).to_pylist()
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        row = self._held[group][place - (int(self._ends[group - 1]) if group else 0)]
        return Call(**{**row, "request": row["request"].encode(), "response": row["response"].encode()})

    def request(self, key: str) -> bytes | None:
        """Returns what was sent under ``key``, if anything was."""
        place = self._places.get(key)
        return None if place is None else self.at(place).request

    def shape(self, options: Server) -> Shape:
        """Returns where instructions stood in what a model was asked, by its first call; in a turn of the system if it had none."""
        for place in range(len(self.keys)):
            call = self.at(place)
            try:
                asked = json.loads(call.request)
                roles = [turn["role"] for turn in asked["messages"]]
                is_theirs = (call.endpoint, asked["model"]) == (options.endpoint, options.model)
            except (ValueError, KeyError, TypeError):  # damaged, as another check will say
                continue
            if is_theirs:
                return "turn" if turns.SYSTEM in roles else "user"
        return "turn"

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.keys)}

    @cached_property
    def _ends(self) -> np.ndarray:
        metadata = self._file.metadata
        return np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
