from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.corpus import sources
from stages.corpus.tokens import Tokens
from tests.corpus.chats import CHATML, START, STOP, tokenizer, turns
from tests.folders import tree


def tokenize() -> Result:
    return CliRunner().invoke(main, ["tokenize"])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_corpus_becomes_rows_of_tokens(workplace: Path) -> None:
    result = tokenize()
    assert result.exit_code == 0
    tokens = Tokens.open()
    assert tokens.matrix.shape == (100, 32)
    names = tokens.documents["name"].to_pylist()
    assert result.output == f"tokenize: {len(names)} documents, 100 rows of 32, 3,200 tokens\n"
    assert 3 < len(set(names)) == len(names) < 30
    assert set(names) <= {f"{number:02}.txt" for number in range(30)}
    flat = tokens.matrix.ravel()
    row = tokens.documents.to_pylist()[3]
    stretch = flat[row["start"] :]
    ordinary = stretch[~tokens.vocabulary.special[stretch]][: row["n_tokens"]]
    text = b"".join(tokens.vocabulary.spellings[token] for token in ordinary).decode()
    assert text == (workplace / "texts" / row["name"]).read_text(encoding="utf-8")


def test_a_second_time_the_bytes_are_the_same(workplace: Path) -> None:
    tokenize()
    first = tree(workplace / "data")
    tokenize()
    assert tree(workplace / "data") == first
    edit(workplace / "params.yaml", "seed: 0", "seed: 1")
    tokenize()
    assert tree(workplace / "data").keys() == first.keys()
    assert tree(workplace / "data")["tokens/meta.json"] != first["tokens/meta.json"]


def test_the_commit_of_a_data_set_is_noted(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.dumps({"text": file.read_text()}) for file in sorted((workplace / "texts").iterdir())]
    (workplace / "set").mkdir()
    (workplace / "set/train.jsonl").write_text("\n".join(rows))
    edit(workplace / "params.yaml", "{source: text, path: texts,", "{source: hub, path: set, revision: main,")
    assert tokenize().exit_code == 0
    assert "corpus" not in Tokens.open().meta, "a folder has no commit"
    monkeypatch.setattr(sources, "commit", lambda corpus: "c" * 40)
    assert tokenize().exit_code == 0
    assert Tokens.open().meta["corpus"] == {"commit": "c" * 40}


def chatting(workplace: Path, chat: str = "true", template: str | None = CHATML) -> None:
    """Makes the subject a chat model and the corpus a file of conversations."""
    tokenizer(workplace / "subject", template)
    rows = [{"messages": turns(file.read_text(), f"Yes {STOP}.")} for file in sorted((workplace / "texts").iterdir())]
    (workplace / "chats.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"messages": None}])))
    edit(
        workplace / "params.yaml",
        "{source: text, path: texts, context_length: 32, tokens: 3_200, bos: <|end|>}",
        f"{{source: jsonl, path: chats.jsonl, field: messages, chat: {chat}, context_length: 32, tokens: 3_200}}",
    )


def test_conversations_become_rows_of_tokens_with_turn_tokens(workplace: Path) -> None:
    chatting(workplace)
    result = tokenize()
    assert result.exit_code == 0, result.output
    tokens = Tokens.open()
    assert {tokens.vocabulary.strings[token] for token in tokens.meta["turn_tokens"]} == {START, STOP}
    assert not tokens.vocabulary.special.any()
    text = tokens.vocabulary.text(tokens.matrix.ravel())
    assert text.startswith(f"{START}user\n")
    ids = tokens.matrix.ravel()
    marks = [(ids == token).sum() for token in tokens.meta["turn_tokens"]]
    assert marks[1] < text.count(STOP), "those in answers are spelt out"
    assert abs(int(marks[0]) - int(marks[1])) <= 1


def test_a_template_of_ones_own_decides(workplace: Path) -> None:
    (workplace / "own.jinja").write_text("{% for m in messages %}<|im_end|>{{ m['content'] }}{% endfor %}")
    chatting(workplace, "own.jinja", template=None)
    assert tokenize().exit_code == 0
    tokens = Tokens.open()
    assert [tokens.vocabulary.strings[token] for token in tokens.meta["turn_tokens"]] == [STOP]


@pytest.mark.parametrize(
    ("chat", "template", "expected"),
    [
        ("true", None, "corpus.chat should find a chat template in the tokenizer of subject, which has none"),
        ("own.jinja", CHATML, "corpus.chat should be true or name a file with a chat template, but own.jinja can't"),
        ("false", CHATML, "corpus file chats.jsonl line 1 should have a string in messages, found list"),
        ("true", "{{ raise_exception('no') }}", "the chat template of corpus.chat should write the conversation chats"),
    ],
)
def test_a_mistake_with_conversations_is_one_sentence(
    workplace: Path, chat: str, template: str | None, expected: str
) -> None:
    chatting(workplace, chat, template)
    result = tokenize()
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {expected}"), result.output
    assert result.output.count("\n") == 1
    assert not (workplace / "data").exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("path: texts", "path: nowhere", "corpus.path should be a file or folder, but there is none at nowhere"),
        ("tokens: 3_200", "tokens: 31", "corpus.tokens should be at least corpus.context_length, found 31 and 32"),
        ("model: subject", "model: nobody", "subject.model nobody should hold a tokenizer, but none can be loaded"),
        ("source: text", "source: jsonl", "corpus.path texts holds no file that ends in .jsonl or .ndjson"),
        (
            "{source: text, path: texts,",
            "{source: installed-docs, packages: [click],",
            "expected the pinned versions in constraints.txt, but there is no such file",
        ),
    ],
)
def test_a_mistake_leaves_nothing_behind(workplace: Path, old: str, new: str, expected: str) -> None:
    edit(workplace / "params.yaml", old, new)
    result = tokenize()
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {expected}")
    assert result.output.count("\n") == 1
    assert not (workplace / "data").exists()
