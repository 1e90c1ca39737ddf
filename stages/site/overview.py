"""The pages that need no script: the overview, and what the coders have in common."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.figures import controls, deciles, distance, plots
from stages.figures import overview as figures
from stages.figures.picture import DARK, LIGHT
from stages.machine.counted import listed
from stages.results import measures, relations, similarity
from stages.results.doubts import Doubt
from stages.results.reading import Results
from stages.similarity.table import MATCHED_BY, SAME
from stages.site import scorecards
from stages.site.cost import Cost
from stages.site.manifest import subject_of
from stages.site.picked import Picked
from stages.site.provenance import place
from stages.site.work import Asked
from stages.text.display import sentence


def index(
    results: Results,
    costs: Mapping[Asked, Cost],
    made: Mapping[str, str] | None = None,
    picked: Sequence[Picked] = (),
    judges: Mapping[str, Sequence[str]] | None = None,
    doubts: Sequence[Doubt] = (),
) -> str:
    """Returns the overview, which opens with the latents ``picked``.

    ``costs`` is what every stage asked of language models, ``made`` how explanations were made elsewhere, ``judges``, by what they
    are called, those other than the subject that judge by probabilities, for the scorers that they judge for, and ``doubts`` what to know before
    the figures are believed.
    """
    told, by_decile = plots.of_matched(plots.similarity_records(results)), deciles.records(results)
    return (
        _environment()
        .get_template("overview.html")
        .render(
            here="index.html",
            results=results,
            subject=subject_of(results),
            picked=picked,
            cards=scorecards.cards(results),
            cards_of_latents=scorecards.cards(results, of_latents=True),
            similarity=_both_themes(partial(figures.similarity, coders=results.compared), told) if told else None,
            uncompared=similarity.left_out(results.choice),
            controls=_controls(results),
            measures=measures.tables(results),
            deciles=_both_themes(deciles.draw, by_decile) if by_decile else None,
            matched_by=_matched_by(results),
            costs=cost_rows(results, costs),
            judges={sentence(place(judge)): listed(scorers) for judge, scorers in (judges or {}).items()},
            left_out=left_out(results),
            made=made or {},
            doubts=doubts,
        )
    )


def similar_latents(results: Results) -> str:
    """Returns the page on what the coders have in common."""
    pairs = plots.similarity_records(results)
    return (
        _environment()
        .get_template("similar.html")
        .render(
            here="similar-latents.html",
            results=results,
            matched_by=_matched_by(results),
            has_ceiling=any(pair["ceiling"] is not None for pair in results.pairs),
            distance=_both_themes(distance.draw, plots.of_matched(pairs) or pairs) if pairs else None,
            lists=relations.shown(results),
            uncompared=similarity.left_out(results.choice),
            same=SAME,
        )
    )


def cost_rows(results: Results, costs: Mapping[Asked, Cost]) -> list[tuple[str, dict[str, Cost], Cost]]:
    """Returns, for every stage in which a language model had a part, what it is called, its cost by coder and that of all coders."""
    found: dict[str, dict[str, Cost]] = {}
    for asked, cost in costs.items():
        if cost.calls or cost.read:
            is_plain = asked.scorer is None or len(results.explainers) == 1 or asked.explainer not in results.explainers
            stage = (
                asked.scorer
                if asked.scorer and is_plain
                else " of ".join(filter(None, (asked.scorer, asked.explainer)))
            )
            found.setdefault(stage, {})[asked.coder] = cost
    return [(stage, by_coder, sum(by_coder.values(), Cost())) for stage, by_coder in found.items()]


def left_out(results: Results) -> list[tuple[str, int, str]]:
    """Returns (coder, latents, why) of all that were chosen but have no explanation or no score."""
    found = []
    for coder in results.coders.values():
        found += [(coder.name, n, f"dropped: {reason}") for reason, n in sorted(coder.meta["dropped"].items())]
        for explainer, scorers in coder.scores.items():
            found += [
                (coder.name, n, f"not explained by {explainer}: {reason}")
                for reason, n in sorted(coder.unexplained(explainer).items())
            ]
            for scorer, scores in scorers.items():
                found += [
                    (coder.name, n, f"explained by {explainer}, unscored by {scorer}: {reason}")
                    for reason, n in scores.unscored["latents_by_reason"].items()
                ]
        for scorer, scores in coder.of_latents.items():
            reasons = scores.unscored["latents_by_reason"]
            found += [(coder.name, n, f"unscored by {scorer}: {reason}") for reason, n in reasons.items()]
    return found


def _controls(results: Results) -> dict[str, Any] | None:
    """What controls.html shows, None if there are no controls."""
    if not (found := controls.records(results)):
        return None
    return {
        "scorers": controls.tables(found),
        "subjects": controls.SUBJECT,
        "explainers": len({record["explainer"] for record in found}),
        "figure": _both_themes(controls.draw, found),
    }


def _matched_by(results: Results) -> str:
    return next((MATCHED_BY[pair["matched_by"]] for pair in results.pairs), "nothing")


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"grouped": "{:,}".format, "breakable": _breakable}
    return found


def _breakable(name: str) -> Markup:
    """A name that may go on in another line behind any of its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def _both_themes(draw: Any, records: list[dict[str, Any]]) -> dict[str, str]:
    """A figure for a light and for a dark page, as data URLs: the policy does not reach the styles of a picture."""
    palettes = {"light": LIGHT, "dark": DARK}
    return {theme: _data_url(draw(records, "svg", palette)) for theme, palette in palettes.items()}


def _data_url(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
