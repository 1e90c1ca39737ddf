from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.corpus import sources
from stages.corpus.tokens import Tokens
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
