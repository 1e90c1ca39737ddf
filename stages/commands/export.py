"""``glossa export``: results in a format that others read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from stages import exports, params, registry
from stages.errors import GlossaError, check_name
from stages.outputs import new_directory


def _help() -> str:
    width = max(map(len, registry.EXPORTS)) + 2
    kinds = (f"{kind:<{width}}{registry.summary(registry.EXPORTS, kind)}" for kind in sorted(registry.EXPORTS))
    return "\n".join(["Write results in FORMAT into FOLDER, which must be new or empty.", "", "\b", *kinds])


@click.command("export", help=_help())
@click.argument("kind", metavar="FORMAT", type=click.Choice(list(registry.EXPORTS)))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--coder", "coders", multiple=True, help="Only this coder; may be given several times.")
@click.option("--explainer", "explainers", multiple=True, help="Only this explainer; may be given several times.")
@click.option("--model-id", help="What the subject is called there [neuronpedia; default: the last part of its name].")
def command(
    kind: str, folder: Path, coders: tuple[str, ...], explainers: tuple[str, ...], model_id: str | None
) -> None:
    """Writes an export, whole or not at all."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise GlossaError(
            f"expected a new or empty folder to write into, found {folder} with something in it; name another"
        )
    p = params.load()
    chosen = {
        "coders": _chosen("coder", p.coders, coders),
        "explainers": _chosen("explainer", p.explainers, explainers),
    }
    with new_directory(folder) as partial:
        told = exports.write(kind, p.model_copy(update=chosen), partial, model_id=model_id)
    click.echo(f"export {kind}: {folder}, {told}")


def _chosen(what: str, entries: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        check_name(what, name, entries)
    return {name: entry for name, entry in entries.items() if not names or name in names}
