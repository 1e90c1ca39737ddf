"""The audit as one page that opens from disk, in the look of the report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages import __version__
from stages.provenance import ran
from stages.provenance.check import KEPT, Check
from stages.provenance.outcome import outcome
from stages.provenance.project import Project
from stages.text.display import sentence, visible
from stages.wiring import git, made

HERE = Path(__file__).parent
LOOK = HERE.parent / "site/assets/site.css"
NAMED = 3
"""Files that are named."""
MARKS = {"right": "✓", "wrong": "✗", "unknown": "·"}


def page(project: Project, found: Sequence[Check], strict: bool = False) -> str:
    """Returns the page; nothing in it is loaded from elsewhere or run."""
    came_to = outcome(project, found, strict)
    css = LOOK.read_text(encoding="utf-8") + (HERE / "page.css").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src {_hash(css)}; base-uri 'none'; form-action 'none'"
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    looked = "all windows" if project.full else f"{project.sample} windows of every coder"
    return environment.get_template("page.html").render(
        csp=policy,
        css=Markup(css),
        verdict=came_to.said,
        state=came_to.state,
        looked=f"{came_to.counted}. Activations were computed anew in {looked}.",
        facts=_facts(project),
        checks=[_shown(check) for check in found],
        marks=MARKS,
    )


def _facts(project: Project) -> list[tuple[str, str]]:
    commit, change = git.head(), git.last_change(*project.vouched)
    left = [file for file, is_same in project.vouched.items() if not is_same]
    other = f", without {', '.join(left[:NAMED])}{' …' if len(left) > NAMED else ''} as they are"
    facts = [
        ("audited", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("commit", commit or "this is no git repository"),
        ("lock files", "in no commit" if change is None else f"{change}{other if left else ''}"),
        ("subject", visible(project.p.subject.model)),
        ("coders", ", ".join(project.p.coders)),
        ("glossa", __version__),
    ]
    then = made.others(ran.packages(project))
    said = (f"{name} {', '.join(sorted(of))} (here {made.packages().get(name, 'none')})" for name, of in then.items())
    return [*facts, ("made with", "; ".join(said))] if then else facts


def _shown(check: Check) -> dict[str, Any]:
    gaps = [
        {"why": sentence(why), "n": len(items), "shown": [sentence(item) for item in items[:KEPT]]}
        for why, items in check.unknown.items()
    ]
    failures = [{"item": sentence(one.item), "said": sentence(one.said)} for one in check.failures]
    return {
        "name": check.name,
        "covers": check.covers,
        "checked": check.checked,
        "failed": check.failed,
        "unknown": sum(gap["n"] for gap in gaps),
        "state": "wrong" if check.failed else "right" if check.checked else "unknown",
        "failures": failures,
        "gaps": gaps,
        "told": bool(failures or gaps),
    }


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
