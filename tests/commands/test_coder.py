from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.coders.beginnings import Beginnings, Fit
from stages.coders.check import Check, Loss, Spread, Variant
from stages.commands import coder as coder_command
from stages.commands.coder import sample
from tests.conftest import PARAMS


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["coder", "check", *arguments])


@pytest.fixture
def tokenized(workplace: Path) -> Path:
    """The current folder, in which tokenize has run."""
    result = CliRunner().invoke(main, ["tokenize"])
    assert result.exit_code == 0, result.output
    return workplace


def test_what_is_printed(tokenized: Path) -> None:
    result = run("one")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) < 30, "one screen"
    assert all(len(line) <= 120 for line in lines)
    assert lines[0] == "one  sparsify, 24 latents, reads layers.0"
    assert re.fullmatch(r"[\d,]+ tokens in 100 rows, beside \d+ special ones, which don't count", lines[1])
    text = result.stdout
    assert re.search(r"\n  L0             [1-4]\.\d      active latents a token; published 4\n", text)
    assert re.search(r"\n  FVU            [\d.]+ +of the variance is not reconstructed\n", text)
    assert re.search(r"\n  loss recovered .* \(?[\d.]+ nats a token, [\d.]+ reconstructed, [\d.]+ zeroed", text)
    assert re.search(
        r"\n  rows begin     [\d.]+ +FVU behind <\|end\|>, [\d.]+ without it(; loss recovered .* %, .* %)?\n", text
    )
    assert re.search(r"\n  dead           \d+\.\d %", text)
    assert re.search(r"\n  decoder rows       1\.00     1\.00     1\.00\n", text)
    assert re.search(r"\n  [\d.]+ +encoder as decoder", text)
    assert re.search(r"\n  [\d.]+ +at layers\.1, the next layer", text)


def test_json_says_the_same(tokenized: Path) -> None:
    result = run("two", "--json", "--tokens", "320")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["coder"], found["reads"], found["reconstructs"]) == ("two", "layers.1", "layers.1")
    assert (found["latents"], found["rows"], found["tokens"] + found["special"]) == (24, 10, 320)
    assert found["identity"]["format"] == "sparsify"
    assert set(found) > {
        "l0",
        "published_l0",
        "l0_is_off",
        "dead",
        "fvu",
        "variants",
        "loss",
        "norms",
        "undefined",
        "beginnings",
    }
    assert found["variants"][0].keys() == {"what", "fvu", "better", "remedy"}


def test_controls(tokenized: Path) -> None:
    entry = "  neurons: {kind: neurons, hookpoint: layers.0.mlp, k: 3}\n  random: {kind: random, hookpoint: layers.0, latents: 40, k: 2}\n"
    (tokenized / "params.yaml").write_text(PARAMS.replace("sampling:", f"{entry}sampling:"))
    neurons = run("neurons").stdout
    assert neurons.startswith(
        "neurons  neurons, 32 latents, reads layers.0.mlp.down_proj.input, reconstructs layers.0.mlp.down_proj\n"
    )
    assert "active latents a token; not published\n" in neurons
    assert (
        "\n  none           it is a control, which can't be misread\n\nThere is nothing to compare it with.\n"
        in neurons
    )
    assert "encoder rows" not in neurons
    assert "random  random, 40 latents, reads layers.0\n" in run("random").stdout


def test_a_coder_may_read_a_subject_that_was_never_trained(tokenized: Path) -> None:
    entry = "{path: coders/one, hookpoint: layers.0"
    text = PARAMS.replace("sampling:", f"  untrained: {entry}, weights: random}}\nsampling:").replace(
        "seed: 0", "seed: 1"
    )
    (tokenized / "params.yaml").write_text(text)
    trained, untrained = run("one").stdout, run("untrained").stdout
    assert untrained.splitlines()[0].endswith(", reads layers.0 of a subject never trained")
    norms = [re.search(r"^  inputs .*$", said, re.MULTILINE)[0] for said in (trained, untrained)]  # type: ignore[index]
    assert norms[0] != norms[1], "another subject has other activations"


def made(**more: object) -> Check:
    values = {
        "reads": "layers.1",
        "reconstructs": "layers.1",
        "tokens": 1000,
        "special": 8,
        "l0": 32.0,
        "published_l0": 16.0,
        "l0_is_off": True,
        "dead": 0.125,
        "fvu": 0.5,
        "variants": [
            Variant("decoder transposed", 0.75, False, "turn it"),
            Variant("encoder as decoder", 0.25, True, "look for another"),
            Variant("at layers.0, the previous layer", 0.125, True, "set hookpoint: layers.0"),
            Variant("input not normalised", None, False, "ask"),
        ],
        "loss": Loss(2.0, 3.0, 4.0, 0.5),
        "norms": {"inputs": Spread(12345.6, 0.0123, 100.0)},
        "undefined": {},
    }
    return Check(**{**values, **more})  # type: ignore[arg-type]


def lines_of(found: Check) -> str:
    from stages.coders import random

    return click.unstyle(
        "\n".join(coder_command._lines("one", random.load(4, "layers.1", 8, 2, (0, 0)), found, 10, False))
    )


def test_what_is_wrong_is_said_plainly() -> None:
    assert (
        lines_of(made())
        == """\
one  random, 8 latents, reads layers.1
1,000 tokens in 10 rows, beside 8 special ones, which don't count

  L0             32.0     active latents a token; published 16
  FVU            0.5000   of the variance is not reconstructed
  loss recovered 50.0 %   2.000 nats a token, 3.000 reconstructed, 4.000 zeroed
  dead           12.5 %   of the latents fire on none of these tokens

  norms              mean      5 %     95 %
  inputs           12,346   0.0123     100.

  FVU of wrong readings
  0.7500         decoder transposed
  0.2500         encoder as decoder  better
  0.1250         at layers.0, the previous layer  better
  none           input not normalised

L0 is 100 % above the published 16: is it the right subject, hookpoint and precision?
at layers.0, the previous layer: FVU 0.1250 is better than 0.5000; set hookpoint: layers.0
encoder as decoder: FVU 0.2500 is better than 0.5000; look for another"""
    )


def test_what_is_undefined_is_said_in_words() -> None:
    why = "its latents write to many layers, and their decoders are not read"
    text = lines_of(
        made(l0=8.0, fvu=None, variants=[], loss=None, undefined={"fvu": why, "loss": why, "variants": why})
    )
    assert f"\n  FVU            none     {why}\n  loss recovered none     {why}\n" in text
    assert f"\n  none           {why}\n" in text
    assert "L0 is 50 % below the published 16" in text
    text = lines_of(
        made(l0_is_off=False, variants=[], loss=Loss(2, 2, 2, None), undefined={"loss recovered": "zeros do no harm"})
    )
    assert (
        "\n  loss recovered none     zeros do no harm (2.000 nats a token, 2.000 reconstructed, 2.000 zeroed)\n" in text
    )
    assert text.endswith("L0 is as published.")
    assert lines_of(made(l0_is_off=False, variants=made().variants[:1])).endswith(
        "No wrong reading reconstructs better."
    )


def test_a_coder_that_no_reading_fits_is_said_to_be_none_of_them() -> None:
    hopeless = [replace(one, fvu=one.fvu and one.fvu + 1) for one in made().variants]
    text = lines_of(made(l0_is_off=False, fvu=1.3, variants=hopeless))
    assert "\nall readings that were tried leave 1.1250 of the variance or more; is it the right subject" in text
    text = lines_of(made(l0_is_off=False, fvu=1.1, variants=hopeless))
    assert "all readings that were tried leave 1.1000 of the variance" in text
    assert "No wrong reading" not in text, "though none is better"
    for other in (
        made(fvu=1.3),  # one fits
        made(fvu=1.3, variants=hopeless, first=0.2),
        made(fvu=1.3, variants=[], undefined={"variants": "it is a control"}),
    ):
        assert "all readings" not in lines_of(other)


@pytest.mark.parametrize(("n", "wanted", "expected"), [(10, 4, [0, 3, 6, 9]), (3, 100, [0, 1, 2]), (5, 1, [0])])
def test_rows_are_spread_over_the_corpus(n: int, wanted: int, expected: list[int]) -> None:
    assert sample(n, wanted).tolist() == expected


def test_mistakes_are_one_sentence(tokenized: Path) -> None:
    def fails(*arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.output.count("\n") == 1
        return result.output.removeprefix("Error: ").strip()

    assert fails("ono") == "params.yaml has no coder ono; did you mean one?"
    (tokenized / "params.yaml").write_text(PARAMS.replace("hookpoint: layers.0", "hookpoint: layers.0.mlp.up_proj"))
    assert fails("one") == (
        "the coder in coders/one reads 16 values a token, but layers.0.mlp.up_proj of the subject subject has 32; "
        "is it the right coder, or another hookpoint?"
    )
    shutil.rmtree(tokenized / "data/tokens")
    assert fails("one") == (
        "expected the corpus as tokens in data/tokens, but there is no such folder; run dvc repro tokenize"
    )


def test_too_little_memory_is_one_sentence(tokenized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("stages.coders.check.measure", full)
    result = run("one")
    assert (result.exit_code, result.output) == (
        1,
        "Error: expected memory for 8,192 tokens at once; set batch_tokens in runtime.yaml lower\n",
    )
    monkeypatch.setattr("stages.coders.check.measure", lambda *arguments: np.linalg.inv(np.zeros((2, 2))))
    assert isinstance(run("one").exception, np.linalg.LinAlgError)


def test_rows_that_begin_with_text(tokenized: Path) -> None:
    text = (tokenized / "params.yaml").read_text()
    (tokenized / "params.yaml").write_text(text.replace("bos: <|end|>", "bos: none"))
    assert CliRunner().invoke(main, ["tokenize"]).exit_code == 0
    lines = run("one").stdout.splitlines()
    assert re.fullmatch(r"3,\d+ tokens in 100 rows, beside 1\d\d special or first ones, which don't count", lines[1])
    assert any(re.match(r"  rows begin     [\d.]+ +FVU without it, [\d.]+ behind <\|end\|>", line) for line in lines)
    found = json.loads(run("one", "--json").stdout)
    assert found["skipped"] == 1
    assert found["beginnings"].keys() == {"bos", "is_there", "behind", "without", "better"}
    assert found["beginnings"]["is_there"] is False


def test_other_rows_that_fit_better_are_said() -> None:
    fits = Beginnings("<s>", False, Fit(0.1, 0.9), Fit(0.2, 0.8))
    lines = [click.unstyle(line) for line in coder_command._verdict(made(), fits, "the files say otherwise")]
    assert lines[:2] == [
        "the files say otherwise",
        "rows behind <s>: FVU 0.1000 is better than 0.2000; set corpus.bos: <s>",
    ]
    fits = Beginnings("<s>", True, Fit(0.2, None), Fit(0.1, None))
    line, *_ = coder_command._verdict(made(), fits, None)
    assert click.unstyle(line) == "rows without <s>: FVU 0.1000 is better than 0.2000; set corpus.bos: none"
