"""Whether outputs name each other rightly: every one says by hashes what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages import paths
from stages.corpus.tokens import identity_of, sha256_of
from stages.examples.table import Examples
from stages.explainers import table as explanations_table
from stages.latents.store import LatentStore
from stages.outputs import file_sha256, fingerprint, identity, read_meta
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project
from stages.similarity import table as similarity_table


def checks(project: Project) -> Iterator[Check]:
    """Yields the one check."""
    check = Check("identities", "what every output says it was made from, and what lies there")
    if not paths.TOKENS.is_dir():
        check.skip(str(paths.TOKENS), GONE)
    else:
        with check.reading(str(paths.TOKENS)):
            found = sha256_of(project.tokens.matrix)
            check.expect(
                found == project.tokens.sha256, str(paths.TOKENS), "holds other tokens than its meta.json says"
            )
    for coder in project.p.coders:
        _of_coder(project, coder, check)
    for result in project.explained:
        if not result.folder.is_dir():
            check.skip(str(result.folder), GONE)
            continue
        with check.reading(str(result.folder)):
            _, meta = explanations_table.read(result.folder)
            _corpus(project, str(result.folder), meta, check)
            _chain(project, result.folder, meta, check)
    _similarity(project, check)
    yield check


def _of_coder(project: Project, coder: str, check: Check) -> None:
    folder, store = paths.examples(coder), paths.latents(coder)
    if not folder.is_dir():
        check.skip(str(folder), GONE)
        return
    with check.reading(str(folder)):
        meta = Examples.open(folder).meta
        _corpus(project, str(folder), meta, check)
        _chain(project, folder, meta, check)
        for part in ("coder", "subject"):
            check.expect(_sound(meta[part]), f"{folder}, {part}", "has a sha256 that is not that of what it lists")
        if not store.is_dir():
            check.skip(str(store), GONE)
            return
        with check.reading(str(store)):
            made = LatentStore.open(store).meta
            for part in ("coder", "subject", "hookpoint", "tokens_sha256", "n_events"):
                check.expect(made[part] == meta[part], f"{store}, {part}", f"is another than {folder} was made from")


def _sound(identity: dict[str, Any]) -> bool:
    """Whether an identity has the hash of its parts; where it lies does not count, nor where it was fetched from."""
    left_out = ("sha256", "path", "model", "repository", "commit")
    parts = {key: value for key, value in identity.items() if key not in left_out}
    if "revision" in identity:  # a subject from the Hub is its name and commit
        parts["repository"] = identity["repository"]
    return fingerprint(parts) == identity["sha256"]


def _corpus(project: Project, item: str, meta: dict[str, Any], check: Check) -> None:
    if paths.TOKENS.is_dir():
        check.expect(
            meta["tokens_sha256"] == project.tokens.sha256, item, "was made from other tokens than data/tokens"
        )


def _chain(project: Project, folder: Path, meta: dict[str, Any], check: Check) -> None:
    """What lies in ``folder`` is what its ``meta.json`` names, and so is what that says it was made from: on both DVC relies."""
    for name, sha256 in meta.get("files", {}).items():
        with check.reading(f"{folder / name}"):
            check.expect(file_sha256(folder / name) == sha256, f"{folder / name}", "is not what its meta.json names")
    for source, sha256 in meta.get("made_from", {}).items():
        if Path(source).is_dir():
            found = identity_of(project.tokens) if Path(source) == paths.TOKENS else identity(Path(source))
            check.expect(found == sha256, str(folder), f"was made from another {source} than is here")


def _similarity(project: Project, check: Check) -> None:
    if not paths.SIMILARITY.is_dir():
        check.skip(str(paths.SIMILARITY), GONE)
        return
    with check.reading(str(paths.SIMILARITY)):
        meta = read_meta(paths.SIMILARITY, similarity_table.SCHEMA, similarity_table.VERSION)
        _chain(project, paths.SIMILARITY, meta, check)
        for result in project.explained:
            path = result.folder / "explanations.parquet"
            if path.is_file():
                was = meta["explanations_sha256"][result.explainer][result.coder]
                check.expect(file_sha256(path) == was, str(path), f"is not what {paths.SIMILARITY} was made from")
