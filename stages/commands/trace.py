"""``glossa trace``: where an explanation and its scores come from, down to the bytes."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from stages.errors import check_name
from stages.text.display import sentence

if TYPE_CHECKING:
    from stages.provenance.node import Fact, Node
    from stages.provenance.project import Project

WIDTH = 100
"""Columns that are filled, where the terminal has them."""
NARROW = 60
NAME = 14
"""Columns of a fact's name."""
COLOURS = {"ok": "green", "differs": "red", "unchecked": "yellow"}
WORDS = {"ok": "ok", "differs": "DIFFERS", "unchecked": "not checked"}
ABOVE = "  (above)"
LIKE = {"answer"}
"""Kinds of which the first of several is shown."""
HEX = 24
"""Digits of a hash that are shown."""


@click.command("trace")
@click.argument("coder")
@click.argument("latent", type=click.IntRange(min=0))
@click.option("--explainer", help="Whose explanation [default: the first in params.yaml].")
@click.option("--json", "as_json", is_flag=True, help="Print W3C PROV-JSON, for programs.")
def command(coder: str, latent: int, explainer: str | None, as_json: bool) -> None:
    """Show what the explanation of LATENT of CODER, and its scores, were made from; every hash is compared as it is shown.

    Ends with exit code 1 if something differs.
    """
    from stages.provenance.project import Project

    project = Project.here()
    p = project.p
    check_name("coder", coder, p.coders)
    explainer = explainer or next(iter(p.explainers))
    check_name("explainer", explainer, p.explainers)
    roots = _roots(project, coder, latent, explainer)
    if as_json:
        from stages.provenance import prov

        click.echo(json.dumps(prov.document(roots), indent=1, ensure_ascii=False))
    else:
        seen: set[tuple[str, str]] = set()
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
        width = max(NARROW, min(WIDTH, columns))
        for root in roots:
            for line in _lines(root, "", "", seen, width):
                click.echo(line)
    differs = [fact for root in roots for node in root.walk() for fact in node.facts if fact.status == "differs"]
    if differs:
        raise click.exceptions.Exit(1)


def _roots(project: Project, coder: str, latent: int, explainer: str) -> list[Node]:
    from stages.params import LATENT
    from stages.provenance import chain, run, verdicts
    from stages.provenance.project import Result

    explanation = chain.chain(project, Result(coder, explainer), latent)
    found = [explanation]
    for result in project.scored:
        if result.coder == coder and result.explainer in (explainer, LATENT) and result.folder.is_dir():
            node = verdicts.score(project, result, latent, None if result.of_latent else explanation)
            if node is not None:
                found.append(node)
    return [*found, run.environment(project, coder)]


def _lines(node: Node, first: str, rest: str, seen: set[tuple[str, str]], width: int = WIDTH) -> Iterator[str]:
    """A thing with what it was made from below it; one that was shown before is only named."""
    title = _cut(sentence(f"{node.kind}: {_short(node.name)}"), width - len(first) - len(ABOVE))
    if (node.kind, node.name) in seen:
        yield f"{first}{title}{ABOVE}"
        return
    seen.add((node.kind, node.name))
    yield f"{first}{click.style(title, bold=True)}"
    below = _first_of_each(node.sources)
    margin = f"{rest}{'│' if below else ' '}  "
    for fact in node.facts:
        yield from _fact(fact, margin, width)
    for number, (source, others) in enumerate(below):
        last = number == len(below) - 1
        name = f"{rest}{'└' if last else '├'}─ "
        yield from _lines(source, name, f"{rest}{' ' if last else '│'}  ", seen, width)
        if others:
            yield f"{rest}{' ' if last else '│'}  … and {others} more like it"


def _first_of_each(nodes: list[Node]) -> list[tuple[Node, int]]:
    """The things to show, and how many more of their kind there are; of some kinds only the first."""
    found = []
    for node in nodes:
        alike = [other for other in nodes if other.kind == node.kind]
        if node.kind not in LIKE:
            found.append((node, 0))
        elif alike[0] is node:
            found.append((node, len(alike) - 1))
    return found


def _fact(fact: Fact, margin: str, width: int) -> Iterator[str]:
    value = sentence(_short(str(fact.value)))
    status = "" if fact.status is None else sentence(", ".join(filter(None, (WORDS[fact.status], fact.said))))
    room = width - len(margin)
    text = f"{fact.name:<{NAME}} {value}".rstrip()
    if status and len(text) + 2 + len(status) <= room:
        yield f"{click.style(margin, dim=True)}{text}  {_coloured(status, fact)}"
        return
    indent = " " * (NAME + 1)
    for line in textwrap.wrap(text, room, subsequent_indent=indent, break_on_hyphens=False) or [text]:
        yield f"{click.style(margin, dim=True)}{line}"
    for line in textwrap.wrap(status, room - len(indent), break_on_hyphens=False):
        yield f"{click.style(margin, dim=True)}{indent}{_coloured(line, fact)}"


def _coloured(text: str, fact: Fact) -> str:
    return click.style(text, fg=COLOURS[fact.status]) if fact.status else text


def _short(value: str) -> str:
    """A hash cut to its first digits."""
    is_hash = len(value) > HEX and all(digit in "0123456789abcdef" for digit in value.removesuffix(".dir"))
    return f"{value[:HEX]}…" if is_hash else value


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(1, width - 1)]}…"
