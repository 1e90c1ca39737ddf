"""What the documentation tells people to type exists, and what it says a command prints is what it prints."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stages.cli import COMMANDS, STAGES, main
from stages.estimate.pending import Pending
from stages.params import read_yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    typed = re.findall(r"^(?:    |.*(?:`|&& ))glossa ((?:[a-z][\w-]*)(?: [^\n`#&|]*)?)", page.read_text(), re.MULTILINE)
    for line in typed:
        words = line.split()
        assert words[0] in {*STAGES, *COMMANDS}, line
        room = "stages" if words[0] in STAGES else "stages.commands"
        command = import_module(f"{room}.{words[0]}").command
        if isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
            command = command.commands[words[1]]
        options = {option for parameter in command.params for option in (*parameter.opts, "--help")}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_commands_that_messages_name_exist() -> None:
    named = set()
    for file in (ROOT / "stages").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
            named |= {(word, file.name) for word in re.findall(r"\bglossa (?!or\b)([a-z]\w*)", text)}
    assert len(named) > 20
    assert {(word, name) for word, name in named if word not in {*STAGES, *COMMANDS}} == set()


def blocks(page: str, start: str) -> str:
    """The indented block that begins with a line, without its indentation."""
    text = (ROOT / "docs" / page).read_text()
    (found,) = re.findall(rf"((?:^    {re.escape(start)}.*\n)(?:(?:^    .*)?\n)*)", text, re.MULTILINE)
    return re.sub(r"^    ", "", found, flags=re.MULTILINE)


def test_the_estimate_for_a_workstation_is_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = (ROOT / "presets/gemma-2-2b.yaml").read_text()
    page = "gpu-workstation.md"
    entries = blocks(page, "models:\n      judge: {provider: openai")
    kept = re.sub(r"^(models|coders|explainers|scorers):.*\n(?:(?: .*)?\n)*", "", preset, flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(kept + entries)
    Path("runtime.yaml").write_text(blocks(page, "endpoints:\n      lab: {base_url"))
    assert set(read_yaml(Path("params.yaml"))) >= set(read_yaml(ROOT / "presets/gemma-2-2b.yaml"))
    monkeypatch.setattr(Pending, "from_dvc", lambda p: Pending(p, {"tokenize": ["always changed"]}))
    result = CliRunner().invoke(main, ["estimate"])
    assert result.exit_code == 0, result.output
    table = blocks(page, " " * 20).splitlines()
    for said, line in zip(table[:5], result.stdout.splitlines(), strict=False):
        assert re.split("  +", said)[:4] == re.split("  +", line)[:4]
        for one, other in zip(*(re.findall(r"([\d.]+) [kM]", text) for text in (said, line)), strict=True):
            assert float(one) == pytest.approx(float(other), rel=0.1), (
                "the prompts have changed; calculate the page anew"
            )
