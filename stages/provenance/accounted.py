"""Whether every latent is accounted for: explained and scored, or left out for a reason."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages import params, paths
from stages.examples import by_kind
from stages.examples.table import ROLES, Examples
from stages.explainers import table as explanations_table
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project, Result
from stages.scorers import table as scores_table


def checks(project: Project) -> Iterator[Check]:
    """Yields the one check."""
    check = Check("accounted", "every latent that was chosen: explained, scored, or left out for a reason")
    for coder in project.p.coders:
        folder = paths.examples(coder)
        if not folder.is_dir():
            check.skip(str(folder), GONE)
            continue
        with check.reading(str(folder)):
            examples = Examples.open(folder)
            _chosen(project.p.sampling.latents, examples, check)
            _windows(examples, check)
            for result in project.explained:
                if result.coder == coder:
                    _explained(result, set(examples.kept), check)
            for result in project.scored:
                if result.coder == coder:
                    _scored(result, set(examples.kept), check)
    yield check


def _chosen(choice: params.Choice, examples: Examples, check: Check) -> None:
    """As many as params.yaml asks for, of those that there are; and those that are dropped say why."""
    n_latents, chosen = examples.meta["n_latents"], examples.latents["latent"].to_pylist()
    due = {"all": n_latents, "list": len(set(choice.latents))}.get(choice.how, min(choice.n or 0, n_latents))
    item = str(examples.directory)
    check.expect(len(chosen) == due, item, f"has {len(chosen)} latents, but params.yaml asks for {due}")
    check.expect(len(set(chosen)) == len(chosen), item, "has a latent twice")
    reasons = examples.latents["dropped"].to_pylist()
    nameless = [latent for latent, reason in zip(chosen, reasons, strict=True) if reason == ""]
    check.expect(not nameless, item, f"drops latents without a reason: {_few(nameless)}")


def _windows(examples: Examples, check: Check) -> None:
    """The table of latents counts the windows that are there."""
    windows = examples.windows.select(["latent", "role", "kind"])
    kept = examples.latents.filter(examples.latents["dropped"].is_null())
    order = kept["latent"].to_numpy()
    owners = np.searchsorted(order, windows["latent"].to_numpy())
    known = (owners < len(order)) & (order[np.minimum(owners, len(order) - 1)] == windows["latent"].to_numpy())
    check.expect(bool(known.all()), str(examples.directory), "has windows of latents that were not kept")
    kinds = windows["kind"].fill_null("").to_numpy(zero_copy_only=False)
    roles = windows["role"].to_numpy(zero_copy_only=False)
    told = {(role, ""): kept[f"n_{role}"].to_numpy() for role in ROLES}
    negatives = by_kind.numbers(kept["n_negatives"])
    for kind in sorted({*negatives, *kinds[roles == "test"]} - {""}):
        told["test", kind] = negatives.get(kind, np.zeros(len(order), np.int64))
    for (role, kind), numbers in told.items():
        counts = np.bincount(owners[known & (roles == role) & (kinds == kind)], minlength=len(order))
        wrong = order[counts != numbers]
        name = f"n_negatives of the kind {kind}" if kind else f"n_{role}"
        check.passed(len(order) - len(wrong))
        for latent in wrong.tolist():
            check.fail(f"{examples.directory}, latent {latent}", f"has another number of windows than {name} says")


def _explained(result: Result, kept: set[int], check: Check) -> None:
    if not result.folder.is_dir():
        check.skip(str(result.folder), GONE)
        return
    with check.reading(str(result.folder)):
        table, _ = explanations_table.read(result.folder)
        _same(result, kept, table["latent"].to_pylist(), check)
        columns = (table[name].to_pylist() for name in ("latent", "explanation", "reason"))
        for latent, text, reason in zip(*columns, strict=True):
            if (text is None) == (reason is None):
                what = "neither an explanation nor a reason" if text is None else "an explanation and a reason for none"
                check.fail(f"{result.folder}, latent {latent}", f"has {what}")


def _scored(result: Result, kept: set[int], check: Check) -> None:
    if not result.folder.is_dir():
        check.skip(str(result.folder), GONE)
        return
    with check.reading(str(result.folder)):
        scores, meta = scores_table.read(result.folder)
        scorable = kept if result.of_latent else set(explanations_table.texts(Result(*result[:2]).folder))
        own = scores.filter(pa.compute.equal(scores["explanation"], scores_table.OWN))["latent"].to_pylist()
        most = meta["options"].get("latents") or len(scorable)
        if len(scorable) > most:  # a sample, which the scorer draws
            check.expect(len(own) == most, str(result.folder), f"has scores of {len(own)} latents, not of {most}")
            scorable &= set(own)
        _same(result, scorable, own, check)
        columns = (scores[name].to_pylist() for name in ("latent", "score", "reason"))
        for latent, score, reason in zip(*columns, strict=True):
            if score is None and reason is None:
                check.fail(f"{result.folder}, latent {latent}", "has neither a score nor a reason for none")


def _same(result: Result, due: set[int], found: list[int], check: Check) -> None:
    """Every latent that is due is there once, and no other."""
    check.passed(len(due & set(found)))
    for latent in sorted(due - set(found)):
        check.fail(f"{result.folder}, latent {latent}", "is missing")
    for latent in sorted(set(found) - due):
        check.fail(f"{result.folder}, latent {latent}", "is there, but should not be")
    if len(found) > len(set(found)):
        check.fail(str(result.folder), "has a latent twice")


def _few(latents: list[int]) -> str:
    return ", ".join(map(str, latents[:3])) + (" …" if len(latents) > 3 else "")
