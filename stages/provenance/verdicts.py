"""From a score down to the verdicts, the answers and the explanation it rests on."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import said
from stages.provenance import run, sources, tables
from stages.provenance.answers import Answers
from stages.provenance.chain import called, examples
from stages.provenance.check import DAMAGE
from stages.provenance.node import Node
from stages.provenance.project import Project, Result
from stages.provenance.scores import KEYS, anew
from stages.scorers import table


def score(project: Project, result: Result, latent: int, explanation: Node | None) -> Node | None:
    """The score of a latent's own explanation and all that it was made from; None if the scorer's sample leaves it out.

    Raises:
        GlossaError: the output of the scorer is missing or damaged.
    """
    scores, meta = table.read(result.folder)
    (own,) = _of(scores, latent).to_pylist() or [None]
    if own is None:
        return None
    stage = project.maker(result.folder)
    node = Node("score", f"{result.coder} {latent} {result.explainer} {result.scorer}", stage=stage)
    sources.locked(project, node, result.folder)
    verdicts = _of(table.read_verdicts(result.folder), latent)
    _figure(project, result, latent, scores, verdicts, meta["metric"], node)
    node.sources = [
        _verdicts(project, result, latent, verdicts, explanation),
        *run.params_and_code(project, stage),
    ]
    return node


def _of(found: pa.Table, latent: int) -> pa.Table:
    return found.filter(pc.and_(pc.equal(found["latent"], latent), pc.equal(found["explanation"], table.OWN)))


def _figure(
    project: Project, result: Result, latent: int, scores: pa.Table, verdicts: pa.Table, metric: str, node: Node
) -> None:
    stored = _of(scores, latent)
    row = stored.to_pylist()[0]
    value = f"none: {row['reason']}" if row["score"] is None else round(row["score"], 4)
    name = metric.replace("_", " ")
    if len(verdicts):
        wrong = list(tables.differences(stored, anew(project, result, verdicts).scores, KEYS[:2]))
        node.expect(name, value, not wrong, "calculated anew", "; ".join(said for _, said in wrong))
    else:
        node.add(name, value)
    if row["low"] is not None:
        node.add("interval", f"{row['low']:.4f} to {row['high']:.4f}")
    node.add("examples", f"{row['n']} judged, {row['unscored']} not")
    floor = scores.filter(pc.and_(pc.equal(scores["latent"], latent), pc.equal(scores["explanation"], table.SHUFFLED)))
    if len(floor) and floor["score"][0].as_py() is not None:
        node.add("floor", round(floor["score"][0].as_py(), 4))


def _verdicts(project: Project, result: Result, latent: int, verdicts: pa.Table, explanation: Node | None) -> Node:
    stage = project.maker(result.folder)
    node = Node("verdicts", f"{result.folder} {latent}", stage=stage)
    right = pc.sum(pc.equal(verdicts["predicted"], verdicts["active"])).as_py()
    node.add("verdicts", len(verdicts))
    if right is not None:
        node.add("right", right)
    answers = Answers(result.folder)
    keys = list(dict.fromkeys(key for key in verdicts["request"].to_pylist() if key is not None))
    asked = []
    if answers.path.is_file():
        try:
            asked = [called(answers, key, stage) for key in keys]
            wrong = [fact for one in asked for part in one.walk() for fact in part.facts if fact.status == "differs"]
            node.expect(
                "answers",
                len(asked),
                not wrong,
                "keys are the sha256 of what was sent",
                "; ".join({f.said for f in wrong}),
            )
        except DAMAGE as error:
            node.add("answers", len(keys), "differs", f"can't be read: {said(error, whole=True)}")
    shown = examples(project, result.coder, latent, ("test",))
    for one in asked:
        one.sources[0].sources = [*run.prompts(project, stage), shown]
    node.sources = [*asked, *([] if asked else [shown]), *([explanation] if explanation else [])]
    return node
