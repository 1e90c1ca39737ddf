import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages import explainers
from stages.corpus import tokens as token_store
from stages.corpus.lexis import Sight, look, piece_of
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples.table import LatentExamples, Windows
from stages.explainers import lexicon
from stages.explainers.pattern import sentence
from stages.explainers.rules import Fit, Rule
from stages.machine import runtime
from stages.wiring import reach

WORDS = ["<end>", " the", " cat", " dog", " is", " are", " run", "ning", " 12", "\n", " (", " sea"]
WINDOW = 8


def corpus(folder: Path, fires: Any, n_windows: int = 400, seed: int = 0) -> tuple[Tokens, LatentExamples]:
    """A random corpus and the latent that fires where ``fires(tokens of a window)`` is true."""
    matrix = np.random.default_rng(seed).integers(1, len(WORDS), (n_windows // 2, 2 * WINDOW)).astype(np.int32)
    flat = matrix.reshape(-1)
    flat[np.flatnonzero((flat == 7) & (np.roll(flat, 1) != 6))] = 11  # "ning" only ever ends a word
    special = np.zeros(len(WORDS), bool)
    special[0] = True
    vocabulary = Vocabulary(
        [word.encode() for word in WORDS], np.bincount(matrix.ravel(), minlength=len(WORDS)), special
    )
    documents = pa.table({"name": ["d"], "start": pa.array([0], pa.int64()), "n_tokens": pa.array([1], pa.int32())})
    token_store.write(folder / "tokens", matrix, documents, vocabulary, {"bos": None, "special_positions": 0})
    blocks = matrix.reshape(-1, WINDOW)
    where = np.array([fires(block) for block in blocks])
    active = np.flatnonzero(where.any(axis=1))
    chosen = active[:40]
    kinds: list[str | None] = [None] * len(chosen)
    deciles, values = np.ones(len(chosen), np.int8), where[chosen].astype(np.float32)
    train = Windows(chosen * WINDOW, deciles, blocks[chosen], values, kinds)
    facts = {"count": int(where.sum()), "n_windows": len(active), "mean": 1.0, "top_tokens": None, "top_values": None}
    return Tokens.open(folder / "tokens"), LatentExamples(3, facts, train, train, train)


def explain(folder: Path, fires: Any) -> str | None:
    tokens, latent = corpus(folder, fires)
    (found,) = explainers.load("pattern", {"kind": "pattern"}).explain([latent], tokens)
    assert found.latent == 3
    return found.text


@pytest.mark.parametrize(
    ("fires", "expected"),
    [
        (lambda block: block == 2, 'Fires on "cat".'),
        (lambda block: np.isin(block, [4, 5]), 'Fires on "are" or "is".'),
        (lambda block: block == 8, 'Fires on "12".'),
        (lambda block: (block == 4) & (np.roll(block, 1) == 2) & (np.arange(WINDOW) > 0), 'Fires on "is" after "cat".'),
        (lambda block: (block == 7) & (np.roll(block, 1) == 6) & (np.arange(WINDOW) > 0), 'Fires on "-ning".'),
    ],
)
def test_finds_the_planted_rule(tmp_path: Path, fires: Any, expected: str) -> None:
    assert explain(tmp_path, fires) == expected


def test_a_latent_without_a_pattern_gets_a_reason_or_a_weak_rule(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    tokens, latent = corpus(tmp_path, lambda block: generator.random(WINDOW) < 0.02)
    (found,) = explainers.load("pattern", {"kind": "pattern"}).explain([latent], tokens)
    assert found.reason or found.evidence["coverage"] < 0.6


def test_explanations_do_not_depend_on_the_other_latents(tmp_path: Path) -> None:
    tokens, cat = corpus(tmp_path, lambda block: block == 2)
    _, dog = corpus(tmp_path, lambda block: block == 3)
    unit = explainers.load("pattern", {"kind": "pattern"})
    assert list(unit.explain([cat, dog], tokens))[1] == next(unit.explain([dog], tokens))


def test_look_names_words_parts_and_surroundings() -> None:
    assert look([" run", "ning", " (", "x"]) == [
        Sight("run-", "running", "", "a lower-case word", ()),
        Sight("-ning", "running", "", "a part of a word", ()),
        Sight("(", "(", "running", "an opening bracket", ()),
        Sight("x", "x", "(", "a part of a word", ()),
    ]
    code = look([">>>", " np", ".", "ones", "\n", "See", " https", "://", "a", ".", "b"])
    assert code[1].places == ("code examples",)
    assert code[5].places == ()
    assert code[8].places == ("web addresses",)
    turn = look(["<|im_start|>", "user", "\n", "Hi", "<|im_end|>"])
    assert [(sight.piece, sight.word, sight.before) for sight in turn[:2]] == [
        ("<|im_start|>", "<|im_start|>", ""),
        ("user", "user", "<|im_start|>"),
    ]
    assert turn[4].piece == "<|im_end|>"
    assert look([]) == []
    assert look(["", "\n", "   "])[0].before == ""


@pytest.mark.parametrize(
    ("token", "word", "offset", "piece"),
    [
        ("Run", "running", 0, "run-"),
        ("in", "running", 4, "-in-"),
        ("g", "running", 6, "-g"),
        ("the", "the", 0, "the"),
        ("(`", "(`,", 0, "(`"),
    ],
)
def test_piece_of(token: str, word: str, offset: int, piece: str) -> None:
    assert piece_of(token, word, offset) == piece


def test_sentences_are_one_line_with_paired_quotes() -> None:
    rule = Rule("piece", ('say "no"', "\n  "), ("a", "b", "c"), "formulas", Fit(1, 1, 1, 0))
    text = sentence(rule, ["x"])
    assert (
        text
        == 'Fires on "say \\"no\\"" or "\\n\u2423\u2423" after "a", "b" or "c" in formulas, and makes "x" more likely next.'
    )


def test_unknown_kind_is_named() -> None:
    with pytest.raises(GlossaError, match=r"explainers\.mine\.kind is 'patern'.*did you mean pattern"):
        explainers.load("mine", {"kind": "patern"})


def test_what_was_seen_is_kept_for_the_next_process_until_something_changes_that_decides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, latent = corpus(tmp_path, lambda block: block == 2)
    unit = explainers.load("pattern", {"kind": "pattern"})
    looked: list[int] = []
    real = lexicon._look
    monkeypatch.setattr(lexicon, "_look", lambda *arguments: looked.append(1) or real(*arguments))

    def anew() -> Any:
        """As another process would."""
        lexicon._last.clear()
        return list(unit.explain([latent], tokens))

    first = anew()
    built = lexicon.build(tokens, WINDOW)
    assert anew() == first
    assert len(looked) == 1
    kept = lexicon.build(tokens, WINDOW)
    assert kept is not built
    assert (kept.places == built.places).all()
    assert kept.places.dtype == built.places.dtype
    for kind in lexicon.KINDS:
        assert kept.columns[kind].names == built.columns[kind].names
        for name in ("codes", "order", "first"):
            was, now = (getattr(one.columns[kind], name) for one in (built, kept))
            assert now.dtype == was.dtype
            assert (now == was).all()

    (file,) = (runtime.home() / "lexicons").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert anew() == first
    assert len(looked) == 2, "what is damaged is made anew"
    assert anew() == first
    lexicon.build(tokens, 2 * WINDOW)
    assert len(looked) == 3
    table = tokens.directory / "vocabulary.parquet"
    table.write_bytes(table.read_bytes() + b" ")
    anew()
    assert len(looked) == 4, "other tokens"
    monkeypatch.setattr(lexicon, "STARTS", (*lexicon.STARTS, "stages.errors:nearest"))
    anew()
    assert len(looked) == 5, "other code"
    monkeypatch.setattr(lexicon, "LARGEST", 0)
    shutil.rmtree(runtime.home() / "lexicons")
    anew()
    anew()
    assert len(looked) == 7, "a corpus too large is looked at each time"


def test_the_code_of_what_is_kept_covers_what_is_seen() -> None:
    places = {part.place for part in reach.reached(lexicon.STARTS)}
    assert {
        "stages/corpus/lexis.py:look",
        "stages/corpus/lexis.py:PLACES",
        "stages/corpus/tokens.py:Vocabulary",
    } <= places
    assert "stages/explainers/lexicon.py:_look" in places
