"""From an explanation down to the bytes it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import paths
from stages.errors import GlossaError, said
from stages.examples.table import Examples, LatentExamples, Windows
from stages.explainers import table
from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.received import text
from stages.llm.server import faults
from stages.machine.counted import counted
from stages.provenance import bodies, imports, run, sources
from stages.provenance.answers import Answers
from stages.provenance.check import DAMAGE
from stages.provenance.node import Node
from stages.provenance.project import Project, Result
from stages.results.shown import Documents

SHOWN = 3
"""Windows that are named one by one."""


def chain(project: Project, result: Result, latent: int) -> Node:
    """The explanation of a latent and all that it was made from.

    Raises:
        GlossaError: there is none of this latent, or what it was made from is missing.
    """
    found, _ = table.read(result.folder)
    rows = found.filter(pc.equal(found["latent"], latent)).to_pylist()
    if not rows:
        raise GlossaError(
            f"expected an explanation of latent {latent} in {result.folder}, but it was not sampled, or dropped; "
            f"glossa show {result.coder} {latent} says which"
        )
    row, stage = rows[0], project.maker(result.folder)
    node = Node("explanation", f"{result.coder} {latent} {result.explainer}", stage=stage)
    if project.p.explainers[result.explainer]["kind"] == imports.KIND:
        _again(project, result, latent, found.filter(pc.equal(found["latent"], latent)), node, None)
        sources.locked(project, node, result.folder)
        node.sources = [*imports.file_of(row, result.coder), *run.params_and_code(project, stage)]
        return node
    windows = examples(project, result.coder, latent, ("train", "validation"))
    answer = None
    if row["request"] is not None:
        answers = Answers(result.folder)
        answer = called(answers, row["request"], stage)
        answer.sources[0].sources = [*run.prompts(project, stage), windows]
    _again(project, result, latent, found.filter(pc.equal(found["latent"], latent)), node, answer)
    sources.locked(project, node, result.folder)
    node.sources = [answer or windows, *run.params_and_code(project, stage)]
    return node


def called(answers: Answers, key: str, stage: str | None) -> Node:
    """An answer and the request that it is to."""
    node = Node("answer", key, stage=stage)
    call = next((answers.at(place) for place, one in enumerate(answers.keys) if one == key), None)
    request = Node("request", key, stage=stage)
    node.sources = [request]
    if call is None:
        node.add("key", key, "differs", f"{answers.path} has no such call")
        return node
    _answered(node, call)
    body = json.loads(call.request)
    due = canonical.key(call.endpoint, call.request, call.sample, call.path)
    request.expect("key", key, due == key, "sha256 of the request", f"the request has {due}")
    request.add("endpoint", f"{call.endpoint}{call.path}")
    request.add("turns", len(body["messages"]))
    request.add("bytes", len(call.request))
    for name, value in body.items():
        if isinstance(value, str | int | float | bool):
            request.add(name, value)
    if call.sample:
        request.add("sample", call.sample)
    return node


def _answered(node: Node, call: Call) -> None:
    from stages.llm.journal.store import Journal
    from stages.machine import runtime

    reply = faults.kept(call.status, call.response)
    if reply.garbled:
        node.add("response", call.status, None, "is no answer")
    node.add("model", reply.model)
    node.add("finish", reply.finish)
    for name, n in reply.usage._asdict().items():
        if n is not None:
            node.add(f"{name} tokens" if name != "dollars" else name, n)
    home = runtime.home() / "journal.sqlite"
    if not home.is_file():
        node.add("journal", "none", "unchecked", "there is none here")
        return
    with Journal(home) as journal:
        kept = journal.get(call.key)
    if kept is None:
        node.add("journal", home.name, "unchecked", "this one never had the answer")
    else:
        node.expect(
            "journal",
            home.name,
            text(kept.response) == text(call.response),
            "has the same answer",
            "has another answer",
        )


def examples(project: Project, coder: str, latent: int, roles: tuple[str, ...]) -> Node:
    """The windows of a latent in some roles, compared with the store."""
    folder = paths.examples(coder)
    sample = Examples.open(folder)
    node = Node("examples", f"{folder} {latent} {' '.join(roles)}", stage=project.maker(folder))
    sources.locked(project, node, folder)
    of_latent = next(iter(sample.of([latent])), None)
    if of_latent is not None:
        parts = _parts(of_latent, roles)
        _named(project, node, parts)
        _as_stored(coder, latent, sample.meta, project.tokens.context_length, parts, node)
    node.sources = [sources.store(project, coder, sample.meta), *run.params_and_code(project, node.stage)[:1]]
    return node


def _parts(latent: LatentExamples, roles: tuple[str, ...]) -> dict[str, Windows]:
    names = {
        "train": {"train": latent.train, "train, silent": latent.train_negative},
        "validation": {"validation": latent.validation, "validation, silent": latent.validation_negative},
        "test": {"test": latent.test, "test, silent": latent.negative},
    }
    return {name: windows for role in roles for name, windows in names[role].items() if len(windows)}


def _named(project: Project, node: Node, parts: Mapping[str, Windows]) -> None:
    """Counts the windows and names the strongest of those that fire."""
    documents = Documents(project.tokens.documents)
    length = project.tokens.context_length
    for name, windows in parts.items():
        node.add(name, counted(len(windows), "window"))
        largest = windows.activations.max(axis=1)
        for place in np.argsort(-largest, kind="stable")[:SHOWN].tolist():
            if largest[place] > 0:
                position = int(windows.starts[place]) + int(windows.activations[place].argmax())
                row, column = divmod(position, length)
                node.add(
                    f"{name} {place + 1}",
                    f"row {row}, column {column}: {largest[place]:.4g}, decile {windows.deciles[place]}, in {documents.at(position)}",
                )


def _as_stored(
    coder: str, latent: int, meta: Mapping[str, Any], context: int, parts: Mapping[str, Windows], node: Node
) -> None:
    from stages.latents.store import LatentStore
    from stages.provenance.examples import dense, is_text

    path, n = paths.latents(coder), sum(map(len, parts.values()))
    if not path.is_dir():
        node.add("windows", n, "unchecked", f"{path} is not here")
        return
    try:
        positions, values = LatentStore.open(path).latent(latent)
        length, skipped = meta["window"], meta.get("skip_first", 0)
        same = True
        for windows in parts.values():
            stored, _ = dense(windows.starts, length, positions, values)
            counts = is_text(windows.starts, length, skipped, context)
            same &= bool((stored * counts == windows.activations).all())
        node.expect("windows", n, same, f"{path} has the same activations", f"{path} has other activations")
    except DAMAGE as error:
        node.add("windows", n, "differs", f"{path} can't be read: {said(error, whole=True)}")


def _again(project: Project, result: Result, latent: int, stored: pa.Table, node: Node, answer: Node | None) -> None:
    """Adds the text, and whether it comes out again: from the answer read anew, the request made anew."""
    row = stored.to_pylist()[0]
    text = row["explanation"] if row["explanation"] is not None else f"none: {row['reason']}"
    if answer is None and project.p.explainers[result.explainer]["kind"] != imports.KIND:
        # An explainer without a model may read the whole corpus first, which takes too long for one latent.
        node.add("text", text, "unchecked", "no model was asked; glossa audit explains anew")
        return
    from stages.provenance import replay, tables  # the clients of language models take a second to import

    try:
        why = replay.why_not(project, result)
        found = None if why else replay.replay(project, result, [latent])
    except DAMAGE as error:
        found, why = None, said(error, whole=True)
    if found is None or found.explanations is None:
        node.add("text", text, "unchecked", why or replay.COMPUTES)
        return
    differences = list(tables.differences(stored, found.explanations, ["latent"]))
    differing = "; ".join(one for _, one in differences)
    if answer is None:
        node.expect("text", text, not differences, "its file read anew", differing)
        return
    if found.unanswered:
        sent = found.answers.request(row["request"])
        differing = (
            bodies.difference(found.unanswered[0], sent) if sent else f"{found.answers.path} has no answer to it"
        )
        answer.sources[0].add("rendered anew", "", "differs", differing)
        node.add("text", text, "unchecked", "the prompt would be another")
        return
    answer.sources[0].add("rendered anew", "", "ok", "from the prompt file and the examples")
    node.expect("text", text, not differences, "the answer read anew", differing)
