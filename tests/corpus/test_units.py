"""Characters of several tokens, wherever they are shown: as a byte-level BPE trained here spells them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from stages import explainers, llm, scorers
from stages.corpus import tokens as writing
from stages.corpus.document import Document
from stages.corpus.encode import Encoded, encode
from stages.corpus.tokens import Tokens, Vocabulary
from stages.corpus.units import Unit, at_first, joined, largest, units
from stages.examples import marks
from stages.examples.table import LatentExamples, Windows
from stages.explainers import lexicon
from stages.explainers.shown import output
from stages.exports.neuronpedia import snippets
from stages.llm.forms import strengths
from stages.llm.request import Answer, Request
from stages.scorers import Context, Item
from stages.scorers.table import OWN
from stages.serve import text as live
from stages.site.spelling import Spelling
from stages.text.display import segments
from tests.corpus import chats

CHINESE = "人工智能正在改变世界。"
EMOJI = "生日快乐🎉🎂 "
PLAIN = "the cats sat on the mats. "
WINDOW = 16


def encoded(folder: Path, text: str) -> Encoded:
    tokenizer = chats.tokenizer(folder, None, eos_token=chats.TEXT_END)
    return encode([Document("d", text * 40)], str(tokenizer), None, WINDOW, 512, 0)


@pytest.fixture(scope="module", params=[CHINESE, EMOJI, PLAIN, PLAIN + EMOJI])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return encoded(tmp_path_factory.mktemp("tokenizer"), request.param)


def small(pieces: list[bytes], special: tuple[int, ...] = ()) -> Vocabulary:
    return Vocabulary(pieces, np.ones(len(pieces), np.int64), np.isin(np.arange(len(pieces)), special))


def told(pieces: list[bytes], special: tuple[int, ...] = ()) -> list[str]:
    return [unit.text for unit in units(range(len(pieces)), small(pieces, special))]


NI, HAO = "你".encode(), "好".encode()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([NI, HAO], ["你", "好"]),
        ([NI[:1], NI[1:2], NI[2:], HAO], ["你", "好"]),
        ([NI[:2], NI[2:] + HAO[:1], HAO[1:]], ["你好"]),
        ([b"a", NI[:1], NI[1:] + b"b", b"c"], ["a", "你b", "c"]),
        ([NI[1:2], NI[2:], HAO], ["\ufffd", "\ufffd", "好"]),  # the edge of a window cuts a character
        ([HAO, NI[:1], NI[1:2]], ["好", "\ufffd"]),
        ([NI[:2], b"a"], ["\ufffd", "a"]),
        ([NI[:1], NI[1:2], HAO[:1], HAO[1:]], ["\ufffd", "好"]),
        ([b"\xff", NI[:1], b"\xff"], ["\ufffd", "\ufffd", "\ufffd"]),
        (["\ufffd".encode(), NI[:1]], ["\ufffd", "\ufffd"]),
        ([b"", b"a", b""], ["", "a", ""]),
        ([NI[:1], b"", NI[1:]], ["你"]),
        ([], []),
    ],
)
def test_tokens_are_one_unit_where_only_together_they_spell_characters(
    pieces: list[bytes], expected: list[str]
) -> None:
    assert told(pieces) == expected


def test_a_special_token_is_a_unit_of_its_own_and_ends_a_character() -> None:
    pieces = [NI[:1], b"<end>", NI[1:]]
    assert units(range(3), small(pieces, (1,))) == [
        Unit(0, 1, "\ufffd"),
        Unit(1, 2, "<end>", True),
        Unit(2, 3, "\ufffd\ufffd"),
    ]


@given(st.text(max_size=12) | st.binary(max_size=12), st.data())
def test_units_partition_tokens_and_join_to_the_text(whole: str | bytes, data: st.DataObject) -> None:
    raw = whole.encode() if isinstance(whole, str) else whole
    cuts = sorted({0, len(raw), *data.draw(st.lists(st.integers(0, len(raw)), max_size=8))})
    pieces = [raw[first:last] for first, last in pairwise(cuts)]
    vocabulary = small(pieces)
    found = units(range(len(pieces)), vocabulary)
    assert [place for unit in found for place in range(unit.begin, unit.end)] == list(range(len(pieces)))
    assert (
        "".join(unit.text for unit in found)
        == vocabulary.text(list(range(len(pieces))))
        == raw.decode("utf-8", "replace")
    )
    assert found == [Unit(*unit) for unit in joined(pieces)]
    assert "".join(at_first(found, len(pieces))) == raw.decode("utf-8", "replace")
    for unit in found:  # none could be split: no character ends between two of its tokens
        inner = [b"".join(pieces[unit.begin : place]) for place in range(unit.begin + 1, unit.end)]
        assert all(part.decode("utf-8", "replace") not in ("", unit.text) or not part for part in inner)


def test_a_unit_is_as_strong_as_the_strongest_of_its_tokens() -> None:
    found = units(range(4), small([b"a", NI[:1], NI[1:], b"b"]))
    assert largest(found, np.array([1, 0, 3, -2], np.float32)).tolist() == [1, 3, -2]
    assert largest([], np.empty(0, np.float32)).tolist() == []


def test_all_that_show_a_window_show_the_same_units(corpus: Encoded) -> None:
    vocabulary, generator = corpus.vocabulary, np.random.default_rng(0)
    spelling = Spelling(vocabulary)
    strings, places = spelling.table(corpus.tokens)
    for row, ids in enumerate(corpus.tokens):
        expected = [(unit.text, unit.begin) for unit in units(ids.tolist(), vocabulary)]
        values = generator.uniform(1, 2, len(ids)).astype(np.float32)
        texts = [text for text, _ in expected]
        assert [unit.text for unit in marks.units(ids, values, vocabulary)] == texts
        assert [segment.text for segment in segments(ids, values, vocabulary)] == texts
        firsts = [""] * len(ids)
        for text, begin in expected:
            firsts[begin] = text
        assert live.shown(ids.astype(np.int64), vocabulary) == firsts
        assert [strings[place] for place in places[row]] == firsts
        assert "".join(texts) == vocabulary.text(ids)


def window_of(corpus: Encoded, character: str | None, n: int = 12) -> Windows:
    """Windows of the corpus; the latent fires on the last token of ``character``, on nothing if None."""
    vocabulary, tokens = corpus.vocabulary, corpus.tokens
    values = np.zeros(tokens.shape, np.float32)
    for row, ids in enumerate(tokens.tolist()):
        for unit in units(ids, vocabulary):
            if unit.text.strip() == character:
                values[row, unit.end - 1] = 2.0
    rows = np.flatnonzero(values.any(axis=1) == (character is not None))[:n] if character else np.arange(n)
    kinds: list[str | None] = [None if character else "random"] * len(rows)
    deciles = np.full(len(rows), 1 if character else 0, np.int8)
    return Windows(rows * WINDOW, deciles, tokens[rows], values[rows], kinds)


def latent_of(corpus: Encoded, character: str) -> LatentExamples:
    found = window_of(corpus, character)
    everywhere = window_of(corpus, character, len(corpus.tokens))
    count, n = int((everywhere.activations > 0).sum()), len(everywhere)
    facts = {"max": 2.0, "count": count, "n_windows": n, "mean": 2.0, "top_tokens": None, "top_values": None}
    return LatentExamples(1, facts, found, found, window_of(corpus, None))


class Knowing:
    """A judge that says 10 of the units that hold a character, and remembers what it was asked."""

    def __init__(self, character: str) -> None:
        self.character = character
        self.asked: list[str] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            keys, user = strengths.wanted(request.schema), request.messages[-1].content
            lines = user.partition("Tokens:\n")[2].splitlines()
            self.asked.append("".join(json.loads(line.split(": ", 1)[1]) for line in lines))
            said = {key: 10 * (self.character in line) for key, line in zip(keys, lines, strict=True)}
            yield Answer(json.dumps(said))


@pytest.mark.parametrize(("text", "character"), [(CHINESE, "界"), (EMOJI, "🎂"), (PLAIN, ".")])
def test_simulation_asks_once_about_a_character_and_counts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, character: str
) -> None:
    corpus = encoded(tmp_path, text)
    latent, vocabulary = latent_of(corpus, character), corpus.vocabulary
    judge = Knowing(character)
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    simulation: Any = scorers.load("x", {"kind": "simulation", "model": {"provider": "pattern"}, "random": 0})
    found = simulation.score([Item(latent, "…", OWN)], Context(vocabulary, 0))
    assert set(judge.asked) <= {vocabulary.text(ids).strip("\ufffd") for ids in latent.test.tokens}
    truth, said = [], []
    for row in found.verdicts.to_pylist():
        place = latent.test.starts.tolist().index(row["window"])
        ids, values = latent.test.tokens[place], row["values"]
        assert len(values) == WINDOW
        for unit in units(ids.tolist(), vocabulary):
            if "\ufffd" in unit.text:  # nobody can rate what the edge has cut
                assert set(values[unit.begin : unit.end]) == {None}
                continue
            assert set(values[unit.begin : unit.end]) == {10.0 * (character in unit.text)}
            truth.append(latent.test.activations[place, unit.begin : unit.end].max())
            said.append(values[unit.begin])
    assert found.scores["score"].to_pylist() == [pytest.approx(pearsonr(truth, said).statistic)]
    if text is PLAIN:  # where every token is a unit, numbers are those over tokens
        assert len(truth) == WINDOW * len(found.verdicts)


@pytest.mark.parametrize(("text", "character"), [(CHINESE, "界"), (EMOJI, "🎂")])
def test_pattern_names_characters(tmp_path: Path, text: str, character: str) -> None:
    corpus = encoded(tmp_path / "m", text)
    documents = pa.table({"name": ["d"], "start": pa.array([0], pa.int64()), "n_tokens": pa.array([1], pa.int32())})
    meta = {"bos": None, "special_positions": 0}
    writing.write(tmp_path / "tokens", corpus.tokens, documents, corpus.vocabulary, meta)
    latent = latent_of(corpus, character)
    opened = Tokens.open(tmp_path / "tokens")
    seen = lexicon.build(opened, WINDOW).columns
    assert not [name for column in seen.values() for name in column.names if "\ufffd" in name]
    (found,) = explainers.load("pattern", {"kind": "pattern"}).explain([latent], opened)
    assert found.text is not None
    assert character in found.text
    assert "\ufffd" not in found.text
    assert found.evidence["coverage"] > 0.9
    assert found.evidence["precision"] > 0.9, "a character is met once, however many tokens spell it"


def test_what_the_corpus_itself_lost_is_seen_and_what_the_window_cuts_is_not() -> None:
    vocabulary = small([NI[1:2], "\ufffd".encode(), NI[2:] + b"a", NI[:1]])
    assert lexicon._texts([0, 1, 2, 3], vocabulary) == (["", "\ufffd", "a", ""], [False, True, True, False])


def test_parts_of_characters_are_not_named_among_what_a_latent_promotes() -> None:
    facts = {"top_tokens": [0, 1, 2], "top_values": [4.0, 3.0, 1.0], "bottom_tokens": [1], "bottom_values": [-1.0]}
    assert output(facts, small([b" cat", NI[:1], HAO])) == ['Promoted: " cat" 10, "好" 2']


@pytest.mark.parametrize(("text", "character"), [(CHINESE, "界"), (PLAIN, ".")])
def test_tokens_of_neuronpedia_join_to_the_text(tmp_path: Path, text: str, character: str) -> None:
    corpus = encoded(tmp_path, text)
    latent = latent_of(corpus, character)
    texts = {
        start: corpus.vocabulary.text(ids) for start, ids in zip(latent.test.starts, latent.test.tokens, strict=True)
    }
    for snippet in snippets(latent, corpus.vocabulary):
        assert "".join(snippet.tokens) == texts[snippet.start]
        assert len(snippet.tokens) == len(snippet.values)
        assert {token.strip() for token, value in zip(snippet.tokens, snippet.values, strict=True) if value} == {
            character
        }
        if text is PLAIN:
            assert len(snippet.tokens) == WINDOW
