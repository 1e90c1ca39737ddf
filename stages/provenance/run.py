"""What a stage ran with: its command, params and code, the commit, the packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stages import __version__, paths
from stages.outputs import file_sha256
from stages.provenance import git
from stages.provenance.lock import LOCK
from stages.provenance.node import Node
from stages.provenance.project import Project
from stages.provenance.values import at, differences, shown

PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "tokenizers",
    "sentence-transformers",
    "zarr",
    "numpy",
    "pyarrow",
    "dvc",
)


def params_and_code(project: Project, stage: str | None) -> list[Node]:
    """The values of params.yaml and the code of a stage, compared with what it ran with."""
    if stage is None:
        return []
    locked = project.lock[stage]
    params = Node("params", stage)
    params.add("command", locked.cmd)
    for file, values in locked.params.items():
        raw = project.params_of(file)
        for key, was in values.items():
            wrong = list(differences(key, was, at(raw, key)))
            said = "; ".join(f"{place} is now {shown(now)}" for place, _, now in wrong[:2])
            params.expect(key, shown(was), not wrong, file, said)
    code = Node("code", stage)
    own = [dep for dep in locked.deps if dep.path.startswith("stages/")]
    changed = [dep.path for dep in own if project.disk.md5(dep.path) != dep.md5]
    more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
    code.expect("files", len(own), not changed, f"{LOCK}, {stage}", f"{', '.join(changed[:2])}{more} changed since")
    return [params, code]


def prompts(project: Project, stage: str | None) -> list[Node]:
    """The files of a stage that hold what a model is told."""
    found = []
    for dep in project.lock[stage].deps if stage is not None else ():
        if dep.path.startswith("stages/") and dep.path.endswith(".md"):
            node = Node("prompt file", dep.path)
            if Path(dep.path).is_file():
                node.add("sha256", file_sha256(Path(dep.path)))
            node.expect("md5", dep.md5, project.disk.md5(dep.path) == dep.md5, f"{LOCK}, {stage}", "changed since")
            if change := git.last_change(dep.path):
                same = git.is_as_committed(dep.path)
                node.expect("commit", change, bool(same), "as committed", "not as committed")
            found.append(node)
    return found


def environment() -> Node:
    """The commit and the packages: what is installed now, as no output says what was when it was made."""
    node = Node("environment", "here and now")
    node.add("glossa", __version__)
    if commit := git.head():
        node.add("commit", commit)
        same = git.is_as_committed(LOCK)
        if same is None:
            node.add(str(LOCK), "", "unchecked", "is in no commit")
        else:
            node.expect(str(LOCK), git.last_change(LOCK), same, "as committed", "not as committed")
    else:
        node.add("commit", "none", "unchecked", "this is no git repository")
    pins = _pins()
    for package in PACKAGES:
        try:
            installed = version(package)
        except PackageNotFoundError:
            continue
        pinned = pins.get(package, installed)
        is_pinned = installed.partition("+")[0] == pinned.partition("+")[0]
        node.add(package, installed if is_pinned else f"{installed} ({paths.CONSTRAINTS}: {pinned})")
    return node


def _pins() -> dict[str, str]:
    if not paths.CONSTRAINTS.is_file():
        return {}
    lines = (line.partition("#")[0].strip() for line in paths.CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line.count("==") == 1)
    return {name.strip().lower(): pin.strip() for name, pin in pairs}
