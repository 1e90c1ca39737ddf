"""The HTML report: an overview and one page per coder, each a single file that opens from disk without a network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.outputs import write_table
from stages.publish import controls, deciles, distance, figures, measures, plots, relations
from stages.publish.embedded import embed, page_data
from stages.publish.results import CoderResults, Results
from stages.publish.text import visible
from stages.similarity.table import MATCHED_BY, SAME

HERE = Path(__file__).parent


def write(directory: Path, results: Results, n_windows: int) -> None:
    """Writes index.html, <coder>.html for every coder, similar-latents.html and matches.parquet."""
    (directory / "index.html").write_text(index(results), encoding="utf-8")
    (directory / "similar-latents.html").write_text(similar_latents(results), encoding="utf-8")
    write_table(directory / "matches.parquet", relations.scored_matches(results))
    for coder in results.coders.values():
        (directory / f"{coder.name}.html").write_text(page(results, coder, n_windows), encoding="utf-8")


def index(results: Results) -> str:
    """Returns the overview."""
    css = _source("page.css")
    scores, pairs = plots.score_records(results), plots.similarity_records(results)
    by_decile = deciles.records(results)
    template = _environment().get_template("index.html")
    return template.render(
        csp=_policy(css),
        css=Markup(css),
        results=results,
        subject=visible(_subject(results)),
        metrics=_metrics(results),
        overview=_both_themes(figures.overview, scores) if scores else None,
        similarity=_both_themes(figures.similarity, pairs) if pairs else None,
        controls=_controls(results),
        measures=measures.tables(results),
        deciles=_both_themes(deciles.draw, by_decile) if by_decile else None,
        matched_by=_matched_by(results),
        left_out=left_out(results),
    )


def similar_latents(results: Results) -> str:
    """Returns the page on what the coders have in common."""
    css = _source("page.css")
    pairs = plots.similarity_records(results)
    template = _environment().get_template("similar-latents.html")
    return template.render(
        csp=_policy(css),
        css=Markup(css),
        results=results,
        matched_by=_matched_by(results),
        has_ceiling=any(pair["ceiling"] is not None for pair in results.pairs),
        distance=_both_themes(distance.draw, pairs) if pairs else None,
        lists=relations.shown(results),
        same=SAME,
    )


def page(results: Results, coder: CoderResults, n_windows: int) -> str:
    """Returns the page of one coder."""
    css, script = _source("page.css"), _source("page.js")
    data = page_data(coder, results.tokens, n_windows)
    template = _environment().get_template("page.html")
    return template.render(
        csp=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        data=Markup(embed(data)),
        coder=coder,
        coders=list(results.coders),
        shown=len(data["latents"]),
        l0=results.l0(coder),
    )


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
        "rows": controls.table(found),
        "subjects": controls.SUBJECT,
        "explainers": len({record["explainer"] for record in found}),
        "figure": _both_themes(controls.draw, found),
    }


def _metrics(results: Results) -> dict[str, str]:
    """What each scorer's metric is called."""
    coder = next(iter(results.coders.values()))
    scored = [*coder.scores.values(), coder.of_latents]
    return {scorer: scores.metric for scorers in scored for scorer, scores in scorers.items()}


def _matched_by(results: Results) -> str:
    return next((MATCHED_BY[pair["matched_by"]] for pair in results.pairs), "nothing")


def _subject(results: Results) -> str:
    subject = next(iter(results.coders.values())).meta["subject"]
    return f"{subject['model']} with random weights" if subject["weights"] == "random" else subject["model"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(css: str, script: str | None = None) -> str:
    """The content security policy of a page: our style and script by hash, pictures as data, nothing else."""
    parts = ["default-src 'none'", f"style-src {_hash(css)}", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    if script is not None:
        parts.insert(1, f"script-src {_hash(script)}")
    return "; ".join(parts)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _both_themes(draw: Any, records: list[dict[str, Any]]) -> dict[str, str]:
    """A figure for a light and for a dark page, as data URLs: the policy does not reach the styles of a picture."""
    palettes = {"light": figures.LIGHT, "dark": figures.DARK}
    return {theme: _data_url(draw(records, "svg", palette)) for theme, palette in palettes.items()}


def _data_url(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
