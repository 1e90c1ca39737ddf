"""Texts that part behind a common beginning, read in one pass: every beginning that two of them share goes through the model once.

The tokens of such texts are laid one behind the other, and each is let see those alone that precede it in its own text, at the
position that it has there. A model that can't be told so reads the texts one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from stages.llm.providers.local import Beginning, Local, Row

FULL, SLIDING = "full_attention", "sliding_attention"

_known: WeakKeyDictionary[Local, bool] = WeakKeyDictionary()
"""Of models that were tried, whether they read trees."""


class Tree:
    """Rows as the nodes of a tree, a node for every token that no earlier row has behind the same tokens."""

    def __init__(self, rows: Sequence[Row], first: int = 0):
        """The first ``first`` tokens of the rows are left out."""
        self.rows, self.first = rows, first
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.paths: list[list[int]] = []
        """For every row the nodes of its tokens."""
        known: dict[tuple[int, int], int] = {}
        for row in rows:
            at, path = -1, []
            for depth, token in enumerate(row.ids[first:]):
                node = known.setdefault((at, token), len(self.tokens))
                if node == len(self.tokens):
                    self.tokens.append(token)
                    self.parents.append(at)
                    self.depths.append(depth)
                path.append(node)
                at = node
            self.paths.append(path)

    def __len__(self) -> int:
        """Tokens that have to be read."""
        return len(self.tokens)

    def seen(self) -> NDArray[np.bool_]:
        """[nodes, nodes] which nodes each node sees: itself and those before it in its rows."""
        found = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                found[node] |= found[parent]
        return found

    def wanted(self) -> list[tuple[int, int]]:
        """(node, token) of all that the rows want, row by row."""
        pairs = zip(self.rows, self.paths, strict=True)
        return [(path[at - 1 - self.first], token) for row, path in pairs for at, token in row.wanted]


def read(
    local: Local, groups: Sequence[Sequence[Row]], beginning: Beginning | None = None
) -> list[list[NDArray[np.float32]]]:
    """Returns [groups][rows] the log-probabilities that every row wants; see ``Local.read`` and ``Local.read_on``.

    The rows of a group are read as one tree.
    """
    first = len(beginning.ids) - 1 if beginning is not None and beginning.kept is not None else 0
    trees = [Tree(group, first) for group in groups]
    longest = max(map(len, trees), default=0)
    if all(len(group) < 2 for group in groups) or not _fit(local, first + longest) or not _reads_trees(local):
        rows = [row for group in groups for row in group]
        flat = iter(local.read(rows) if beginning is None else local.read_on(beginning, rows))
        return [[next(flat) for _ in group] for group in groups]
    for group in groups:
        for row in group:
            local.check_fits(len(row.ids))
    found: list[list[NDArray[np.float32]]] = [[] for _ in groups]

    def work(places: list[int]) -> None:
        some = [trees[place] for place in places]
        wanted = [(i, *one) for i, tree in enumerate(some) for one in tree.wanted()]
        unread = min(node for _, node, _ in wanted)
        logits = _logits(local, some, beginning if first else None, unread)
        wanted = [(i, node - unread, token) for i, node, token in wanted]
        rows = [row for tree in some for row in tree.rows]
        values = iter(local.gathered(logits, wanted, rows))
        for place in places:
            found[place] = [next(values) for _ in groups[place]]

    wanting = [place for place, group in enumerate(groups) if any(row.wanted for row in group)]
    for place, group in enumerate(groups):
        found[place] = [np.empty(0, np.float32)] * len(group)
    local.headroom.in_batches(wanting, lambda place: first + len(trees[place]), work, "read")
    return found


def _logits(local: Local, trees: Sequence[Tree], beginning: Beginning | None, unread: int) -> torch.Tensor:
    """[trees, most nodes less those ``unread``, vocabulary]."""
    before = len(beginning.ids) - 1 if beginning is not None else 0
    longest = max(map(len, trees))
    ids = torch.full((len(trees), longest), local.pad)
    positions = torch.zeros_like(ids)
    seen = torch.zeros(len(trees), 1, longest, before + longest, dtype=torch.bool)
    seen[..., :before] = True
    for i, tree in enumerate(trees):
        n = len(tree)
        ids[i, :n], positions[i, :n] = torch.tensor(tree.tokens), torch.tensor(tree.depths) + before
        seen[i, 0, :n, before : before + n] = torch.from_numpy(tree.seen())
        seen[i, 0, n:, before + n :] = torch.eye(longest - n, dtype=torch.bool)  # what sees nothing is no number
    mask = torch.zeros(seen.shape, dtype=local.model.dtype).masked_fill_(~seen, torch.finfo(local.model.dtype).min)
    kept = None
    if beginning is not None:
        kept = deepcopy(beginning.kept)
        kept.batch_repeat_interleave(len(trees))
    with torch.inference_mode():
        logits: torch.Tensor = local.model(
            input_ids=ids.to(local.device),
            attention_mask=mask.to(local.device),
            position_ids=positions.to(local.device),
            past_key_values=kept,
            use_cache=kept is not None,
            **local.only(longest - unread),
        ).logits
    return logits[:, unread - longest :]


def _fit(local: Local, tokens: int) -> bool:
    """Whether no layer sees less of a text of so many tokens than all of it, which a mask of ours would not know."""
    config = local.model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [FULL, SLIDING])
    window = getattr(config, "sliding_window", None)
    return kinds <= {FULL, SLIDING} and (SLIDING not in kinds or window is None or tokens <= window)


def _reads_trees(local: Local) -> bool:
    """Whether the model heeds what it is told of a tree, which is tried once.

    By the probabilities of all tokens behind the second of two short texts, which have to be those that it has alone, and not those
    behind the two in a row.
    """
    if local not in _known:
        _known[local] = "position_ids" in local.takes and _tried(local)
    return _known[local]


def _tried(local: Local) -> bool:
    a, b, c, d = (token % local.model.get_input_embeddings().weight.shape[0] for token in (11, 23, 37, 53))
    tree = Tree([Row([a, b, c], []), Row([a, d], [])])
    alone, in_a_row = Tree([Row([a, d], [])]), Tree([Row([a, b, c, d], [])])
    try:
        found = _logits(local, [tree], None, 3)[0, -1].float().log_softmax(-1)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return False
    with torch.inference_mode():
        right, wrong = (
            local.model(torch.tensor([one.tokens], device=local.device)).logits[0, -1].float().log_softmax(-1)
            for one in (alone, in_a_row)
        )
    return bool((found - right).abs().mean() < 0.1 * (wrong - right).abs().mean())
