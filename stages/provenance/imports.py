"""Explanations that were made elsewhere: where they come from, and whether a score of theirs is held out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages import paths
from stages.examples.table import Examples
from stages.explainers import rows, seen, table, written
from stages.outputs import file_sha256
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.node import Node
from stages.provenance.project import Project, Result

KIND = "imported"
UNSEEN = "from which windows they were made is not known, so no score of theirs is held out"


def file_of(row: Mapping[str, Any], coder: str) -> list[Node]:
    """Returns the file that an explanation was read from, with what is known of how it was made; nothing if there was none."""
    evidence = json.loads(row["evidence"])
    if not evidence:
        return []
    file, is_ours = Path(evidence["file"]), evidence["format"] == written.FORMAT
    node = Node(
        "imported row" if is_ours else "imported file", f"{file} {evidence['sha256'][:12]}" if is_ours else str(file)
    )
    node.add("format", evidence["format"])
    if file.is_file():
        same = evidence["sha256"] in (rows.line_hashes(file) if is_ours else {file_sha256(file)})
        what = "of a line of the file" if is_ours else "of the file"
        otherwise = "the file has no such line" if is_ours else "the file has another sha256"
        node.expect("sha256", evidence["sha256"], same, f"sha256 {what}", otherwise)
    else:
        node.add("sha256", evidence["sha256"], "unchecked", "is not here")
    if is_ours:
        node.add("made by", evidence["made_by"])
        _windows(node, row["latent"], evidence, coder)
    else:
        why = "it was made elsewhere, no request or answer came with it"
        node.add("made by", evidence.get("made_by", "not known"), "unchecked", why)
    return [node]


def _windows(node: Node, latent: int, evidence: Mapping[str, Any], coder: str) -> None:
    """Whether the author saw the train windows that there are."""
    found = next(iter(Examples.open(paths.examples(coder)).of([latent])), None)
    same = found is not None and seen.sha256(found, evidence["windows"]) == evidence["windows_sha256"]
    name, value = f"{evidence['windows']} windows", evidence["windows_sha256"]
    if evidence["held_out"]:
        node.expect(name, value, same, "the train windows of the sample", "the sample has other train windows")
    else:
        node.add(name, value, None, f"not held out: {evidence.get('not_held_out', written.OTHER_WINDOWS)}")


def checks(project: Project) -> Iterator[Check]:
    """Yields the one check."""
    check = Check("held_out", "")
    made: dict[str, None] = {}
    for result in project.explained:
        if project.p.explainers[result.explainer]["kind"] != KIND:
            continue
        if not result.folder.is_dir():
            check.skip(str(result.folder), GONE)
            continue
        with check.reading(str(result.folder)):
            _explained(result, check, made)
    who = "".join(f"; {said}" for said in made)
    check.covers = f"imported explanations, and the train windows that they say they were made from{who}"
    yield check


def _explained(result: Result, check: Check, made: dict[str, None]) -> None:
    """The explanations of one coder; what is said of how they were made goes to ``made``."""
    found, meta = table.read(result.folder)
    if told := meta.get(KIND):
        made[f"{result.explainer}: {told['made_by']}"] = None
    evidences = {
        row["latent"]: json.loads(row["evidence"]) for row in found.to_pylist() if row["explanation"] is not None
    }
    ours = {latent: evidence for latent, evidence in evidences.items() if evidence.get("format") == written.FORMAT}
    for latent in Examples.open(paths.examples(result.coder)).of(sorted(ours)):
        evidence = ours[latent.latent]
        same = seen.sha256(latent, evidence["windows"]) == evidence["windows_sha256"]
        item = f"{result.folder}, latent {latent.latent}"
        if same == evidence["held_out"] and not same:
            check.skip(item, evidence.get("not_held_out", written.OTHER_WINDOWS))
        else:
            told = "held out" if evidence["held_out"] else "not held out"
            check.expect(same == evidence["held_out"], item, f"is said to be {told}, but is {'' if same else 'not '}so")
    if len(ours) < len(evidences):
        check.skip(str(result.folder), UNSEEN)
