from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.errors import GlossaError
from stages.llm.providers import forced, local, tree
from stages.llm.providers.forced import Form
from stages.llm.providers.local import Local, Row
from stages.llm.providers.tree import Tree
from tests import families
from tests.llm import small_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return local.load(str(small_models.make(tmp_path_factory.mktemp("models") / "tiny")), None, "float32")


def groups(head: list[int]) -> list[list[Row]]:
    """Texts that part and part again, at different places; one alone, none, and ones that want nothing."""
    words = np.random.default_rng(0).integers(0, families.WORDS, (4, 12)).tolist()
    main = head + words[0]
    n = len(head)
    return [
        [
            Row(main, [(place, token) for place in range(n + 1, n + 13) for token in (5, 6)]),
            Row([*main[: n + 4], 7], [(n + 5, 8)]),
            Row([*main[: n + 4], 7, 9], [(n + 6, 10), (n + 5, 9)]),
            Row([*main[: n + 9], 7], [(n + 10, 8)]),
            Row(main[: n + 2], []),
        ],
        [Row(head + words[1], [(n + 12, 1)])],
        [],
        [Row([*head, *words[2][:3]], [(n + 1, 3), (n + 3, 4)]), Row([*head, *words[3]], [(n + 12, 4)])],
    ]


@pytest.mark.parametrize("family", families.SPECIAL)
@pytest.mark.parametrize("n", [0, 1, 6])
def test_a_tree_gives_what_its_rows_give_in_any_architecture(model: Local, family: str, n: int) -> None:
    other = Local(family, families.make(family), model.tokenizer, 40)
    head = [3, 1, 4, 1, 5, 9][:n]
    parts = groups(head)
    beginning = other.begin(head) if n > 1 else None
    for part, found in zip(parts, tree.read(other, parts, beginning), strict=True):
        for one, values in zip(other.read(part), found, strict=True):
            assert values == pytest.approx(one, abs=5e-5)
    assert tree._known.get(other) is (True if "gemma" not in family or family == "gemma" else None)


def test_every_beginning_is_read_once(model: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    forward = model.model.forward

    def counted(input_ids: torch.Tensor, **options: Any) -> Any:
        read.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **options)

    tree.read(model, groups([3, 1]), None)  # tries the model
    monkeypatch.setattr(model.model, "forward", counted)
    tree.read(model, groups([3, 1]), None)
    assert read == [(3, 2 + 12 + 3)]
    with pytest.raises(GlossaError, match="reads at most"):
        tree.read(model, [[Row([5] * 1025, [(1025, 5)]), Row([5], [(1, 5)])]])


def test_nodes_see_what_precedes_them_in_their_own_text() -> None:
    found = Tree([Row([9, 1, 2], [(3, 7)]), Row([9, 1, 3], [(3, 8), (2, 5)]), Row([9, 4], [])], first=1)
    assert found.tokens == [1, 2, 3, 4]
    assert found.depths == [0, 1, 1, 0]
    assert found.wanted() == [(1, 7), (2, 8), (0, 5)]
    assert found.seen().astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


def test_a_model_that_does_not_heed_a_tree_reads_its_texts_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = local.load(str(small_models.make(tmp_path / "deaf", seed=3)), None, "float32")
    expected = [deaf.read(part) for part in groups([3, 1])]
    forward = deaf.model.forward

    def unmasked(input_ids: torch.Tensor, attention_mask: Any = None, **options: Any) -> Any:
        if attention_mask is not None and attention_mask.ndim == 4:
            attention_mask, options["position_ids"] = None, None
        return forward(input_ids=input_ids, attention_mask=attention_mask, **options)

    monkeypatch.setattr(deaf.model, "forward", unmasked)
    found = tree.read(deaf, groups([3, 1]))
    assert tree._known[deaf] is False
    for one, other in zip(expected, found, strict=True):
        for values, others in zip(one, other, strict=True):
            assert values == pytest.approx(others, abs=5e-5)


def test_numbers_of_several_tokens_cost_a_token_each_and_no_text(model: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that says how strongly a latent fires on each of eight tokens; every digit is a token to it."""
    assert len(model.after(":", " 10")) == 1 + len(model.after(":", " 1"))
    choices = {key: tuple(str(number) for number in range(11)) for key in "abcdefgh"}
    prompt = model.encode("How strongly does it fire on each of these tokens? " * 4)
    form = Form(model, prompt, choices, 0, [0.0] * 8)
    rows = form.rows()
    assert len(rows) > 8
    one, together = sum(len(row.ids) for row in rows), len(Tree(rows))
    assert together < len(rows[0].ids) + 8 * 11 < one / 4
    alone = [model.read([row])[0] for row in rows]
    for values, expected in zip(tree.read(model, [rows])[0], alone, strict=True):
        assert values == pytest.approx(expected, abs=5e-5)
    (values,) = forced.fill_in(model, [form])
    for value in values:
        assert sum(np.exp(value.log_probabilities)) < 1
