"""``glossa wire``: the files that tell DVC what to run follow params.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from stages import params, paths, plan
from stages.errors import GlossaError
from stages.machine.counted import counted, listed
from stages.outputs import write_text
from stages.wiring import aliases, coder, copies, fingerprints, leftovers, locks, made, root, running


@click.command("wire")
@click.option("--check", is_flag=True, help="Write nothing; fail unless the files follow from params.yaml.")
def command(check: bool) -> None:
    """Write the lists of dvc.yaml, and pipelines/<coder>/dvc.yaml for every coder, as they follow from params.yaml.

    Run it after adding, removing or renaming a coder, an explainer or a scorer. Stages of coders that params.yaml names no more are
    taken away. YAML aliases of models become their names, as DVC loses what -S says of an alias. Outputs that no entry makes any more are named, and stay. A lock file that DVC could not finish writing, or git could not merge, is
    restored as it was before.
    """
    running.check()
    for restored in _locks(check):
        click.echo(f"wire: {restored}")
    p = params.load()
    if not check and (n := aliases.write_names()):
        click.echo(
            f"wire: {paths.PARAMS} names {counted(n, 'model')} that {'was' if n == 1 else 'were'} a YAML alias, which dvc exp run -S loses"
        )
    wanted, _ = files(p), fingerprints.current(p)  # so that nothing is written if an entry can't be wired
    changed = [path for path, text in wanted.items() if _read(path) != text]
    gone = leftovers.pipelines(p)
    if check:
        _check(p, wanted, changed, gone)
        return
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, wanted[path])
    for path in gone:
        path.unlink()
    for folder in {path.parent for path in gone}:
        if not any(folder.iterdir()):
            folder.rmdir()
    dropped, was_earlier = locks.drop_unknown(p)
    old, new = fingerprints.refresh(p)
    said = [f"wrote {_listed(changed)}"] if changed else []
    said += [f"removed {_listed(gone)}"] if gone else []
    said += (
        [f"dropped {counted(dropped, 'entry', 'entries')} of stages that are no more from {locks.LOCK}"]
        if dropped
        else []
    )
    click.echo(f"wire: {'; '.join(said) or f'{paths.PIPELINE} and {paths.PIPELINES}/ follow params.yaml already'}")
    if changed_prints := list(fingerprints.changes(old, new)):
        click.echo(
            f"wire: {len(changed_prints)} of {counted(len(new), 'fingerprint')} changed; dvc status names the stages that will run"
        )
    if was_earlier:
        stages = " ".join(("code", "tokenize", *(coder.address(name, "cache") for name in p.coders)))
        click.echo(
            "wire: dvc.lock was of the layout before pipelines/, by which DVC can't tell what is up to date. Activations that a finished "
            f"dvc repro left in data/latents are taken over, without running, by: dvc commit --force {stages}\n"
            "wire: all else has another form now; dvc repro makes it anew, with the answers of language models that are in the journal"
        )
    for model, scorers in plan.foreign_judges(p).items():
        click.echo(
            f"wire: {model}, and not the subject {p.subject.model}, judges for {listed(scorers)}; provider: subject is the subject"
        )
    if warning := made.warning():
        click.echo(f"wire: {warning}")
    if left := leftovers.outputs(p):
        click.echo(f"wire: no entry makes these any more, delete them if you like: {' '.join(map(str, left))}")


def files(p: params.Params) -> dict[Path, str]:
    """Returns what the files that tell DVC what to run should say.

    Raises:
        GlossaError: there is no dvc.yaml, its marks are damaged, or an entry of params.yaml can't be wired.
    """
    if not paths.PIPELINE.is_file():
        raise GlossaError(f"expected {paths.PIPELINE} here, but there is no such file; run Glossa in a clone of it")
    return {paths.PIPELINE: root.rewrite(_read(paths.PIPELINE), root.blocks(p)), **coder.pipelines(p)}


def _locks(check: bool) -> list[str]:
    """What was restored; only looks if it is a ``check``."""
    if not check:
        return copies.restore()
    for lock in locks.files():
        locks.read(lock)
    return []


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _check(p: params.Params, wanted: dict[Path, str], changed: list[Path], gone: list[Path]) -> None:
    for path in changed:
        lines, due = _read(path).splitlines(), wanted[path].splitlines()
        number = next(
            (i for i, (a, b) in enumerate(zip(lines, due, strict=False)) if a != b), min(len(lines), len(due))
        )
        found = f"'{lines[number].strip()}'" if number < len(lines) else "the end of the file"
        expected = f"'{due[number].strip()}'" if number < len(due) else "the end of the file"
        raise GlossaError(f"{path} line {number + 1} should be {expected}, found {found}; run glossa wire")
    old, new = fingerprints.read(), fingerprints.current(p)
    if differing := fingerprints.changes(old, new):
        raise GlossaError(
            f"{paths.FINGERPRINTS} has another {differing[0]} than the code and params.yaml give; run glossa wire"
        )
    if gone:
        raise GlossaError(f"{gone[0]} is of a coder that params.yaml does not name; run glossa wire")
    click.echo(f"wire: {paths.PIPELINE} and {paths.PIPELINES}/ follow params.yaml")


def _listed(files: list[Path], most: int = 4) -> str:
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return f"{', '.join(map(str, files[:most]))}{more}"
