"""data/explanations/<coder>/<explainer>: what an explainer said of every latent, or why it said nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stages.explainers.parroted import alike
from stages.llm.journal.transcript import Recorder
from stages.outputs import hashes, new_directory, read_meta, read_table, write_meta, write_table

SCHEMA, VERSION = "glossa/explanations", 2


class Explanation(NamedTuple):
    """One latent's explanation: a text, or the reason why there is none."""

    latent: int
    text: str | None
    reason: str | None
    evidence: dict[str, Any]
    """What the explainer went by, for people and audits."""
    request: str | None = None
    """The journal's key of the call that brought it; None when no model was asked."""


def write(
    directory: Path, explanations: list[Explanation], meta: dict[str, Any], transcript: Recorder | None = None
) -> None:
    """Writes the explanations in the order of their latents and, if a model was called, the transcript."""
    missing: dict[str, int] = {}
    for explanation in sorted(explanations, key=lambda explanation: explanation.latent):
        if explanation.text is None:
            reason = explanation.reason or "no reason given"
            missing[reason] = missing.get(reason, 0) + 1
    content = {
        **meta,
        "latents": len(explanations),
        "explained": len(explanations) - sum(missing.values()),
        "unexplained": missing,
        "alike": alike(explanation.text for explanation in explanations),
        "asked_again": sum("asked_again" in explanation.evidence for explanation in explanations),
    }
    with new_directory(directory) as partial:
        write_table(partial / "explanations.parquet", rows(explanations))
        if transcript is not None:
            transcript.save(partial)
        write_meta(partial, SCHEMA, VERSION, {**content, "files": hashes(partial)})


def rows(explanations: list[Explanation]) -> pa.Table:
    """Returns explanations as the table that is written: latent, explanation, reason, evidence, request."""
    ordered = sorted(explanations, key=lambda explanation: explanation.latent)
    return pa.table(
        {
            "latent": pa.array([e.latent for e in ordered], pa.int32()),
            "explanation": pa.array([e.text for e in ordered], pa.string()),
            "reason": pa.array([e.reason for e in ordered], pa.string()),
            "evidence": pa.array([json.dumps(e.evidence, sort_keys=True) for e in ordered], pa.string()),
            "request": pa.array([e.request for e in ordered], pa.string()),
        }
    )


def read(directory: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Returns the table (latent, explanation, reason, evidence, request) and the meta of an explainer's output."""
    meta = read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "explanations.parquet"), meta


def texts(directory: Path) -> dict[int, str]:
    """Returns {latent: explanation} of the latents that have one."""
    table, _ = read(directory)
    pairs = zip(table["latent"].to_pylist(), table["explanation"].to_pylist(), strict=True)
    return {latent: text for latent, text in pairs if text is not None}
