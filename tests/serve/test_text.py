from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages import params
from stages.cli import main
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.serve.text import Tokenizer, shown
from stages.text.display import visible
from tests.conftest import PARAMS

BYTES = Vocabulary(
    [bytes([byte]) for byte in range(256)] + [b"<end>", b""], np.zeros(258, np.int64), np.arange(258) == 256
)


def tokenizer(folder: Path, bos: str = "<|end|>", skip_first: int | str = "auto") -> Tokenizer:
    values = YAML(typ="safe", pure=True).load(PARAMS)
    values["subject"]["model"], values["corpus"]["bos"] = str(folder), bos
    values["sampling"]["skip_first"] = skip_first
    return Tokenizer(params.Params.model_validate(values))


@pytest.mark.parametrize("bos", [None, 0])
def test_a_text_begins_as_ready_token_ids_do(workplace: Path, bos: int | None) -> None:
    ids = np.arange(1, 321).reshape(10, 32) % 320
    ids[:, 0] = ids[:, 0] if bos is None else bos
    np.save("ids.npy", ids)
    values = YAML(typ="safe", pure=True).load(PARAMS)
    del values["corpus"]["bos"]
    values["corpus"] |= {"source": "tokens", "path": "ids.npy"}
    Path("params.yaml").write_text(json.dumps(values))
    assert CliRunner().invoke(main, ["tokenize"]).exit_code == 0
    row = Tokenizer(params.load()).row("The sea")
    assert (row.ids[0] == 0) == (bos == 0)


def test_a_document_of_the_corpus_becomes_the_row_that_the_corpus_has(at_finished: Path) -> None:
    tokens = Tokens.open()
    first = tokens.documents.slice(0, 1).to_pylist()[0]
    text = (Path("texts") / first["name"]).read_text()
    row = Tokenizer(params.load()).row(text)
    assert row.ids.tolist() == tokens.matrix[0].tolist()
    assert row.left_out == first["n_tokens"] - (tokens.context_length - 1) > 0
    assert row.ordinary.tolist() == [False] + [True] * (tokens.context_length - 1)
    assert row.shown[0] == "<|end|>"
    assert text.replace("\n", "↵").startswith("".join(row.shown[1:]))


def test_a_special_token_that_is_typed_is_text(subject_folder: Path) -> None:
    row = tokenizer(subject_folder).row("a<|end|>b")
    assert row.ordinary[1:].all()
    assert "".join(row.shown[1:]) == "a<|end|>b"


@pytest.mark.parametrize(
    ("bos", "skip_first", "ordinary"),
    [
        ("<|end|>", "auto", [False, True, True]),
        ("<|end|>", 2, [False, False, True]),
        ("auto", "auto", [False, True]),
        ("none", 0, [True, True]),
        ("!", "auto", [False, True, True]),
    ],
)
def test_a_row_begins_as_those_of_the_corpus(
    subject_folder: Path, bos: str, skip_first: int | str, ordinary: list[bool]
) -> None:
    row = tokenizer(subject_folder, bos, skip_first).row("a b")
    assert row.ordinary[: len(ordinary)].tolist() == ordinary
    assert "".join(row.shown).removeprefix(bos) == "a b"
    whole = tokenizer(subject_folder, bos, skip_first).row("a" * 100)
    assert len(whole.ids) == 32


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_is_not_tested(subject_folder: Path, text: str) -> None:
    with pytest.raises(GlossaError, match="the text to test should not be empty; type some"):
        tokenizer(subject_folder).row(text)


def test_half_a_surrogate_pair_is_no_crash(subject_folder: Path) -> None:
    assert "".join(tokenizer(subject_folder).row("a\ud800b").shown[1:]) == "a?b"


def test_characters_of_several_tokens_by_hand() -> None:
    euro = list("€".encode())
    assert shown(np.array([*b"a", *euro, *b"b"]), BYTES) == ["a", "€", "", "", "b"]
    assert shown(np.array([256, *euro[:2], 256, *b"b"]), BYTES) == ["<end>", "\ufffd", "", "<end>", "b"]
    assert shown(np.array([*b"a", *euro[:1]]), BYTES) == ["a", "\ufffd"]
    assert shown(np.array([257, *b"a\x1b"]), BYTES) == ["⟨⟩", "a", "⟨U+001B⟩"]


@given(st.text(min_size=1))
def test_what_is_shown_is_the_visible_text(text: str) -> None:
    encoded = text.encode("utf-8", "replace")
    assert "".join(shown(np.array(list(encoded)), BYTES)) == visible(encoded.decode())
