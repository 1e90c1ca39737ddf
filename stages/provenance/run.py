"""What a stage ran with: its command, params and code, the commit, the packages."""

from __future__ import annotations

from stages import __version__, paths
from stages.errors import GlossaError
from stages.machine.versions import installed
from stages.outputs import file_sha256
from stages.provenance import lock, ran
from stages.provenance.node import Node
from stages.provenance.project import Project
from stages.provenance.values import shown
from stages.wiring import git, locks, made, reach

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


NAMED = 2
"""Differences of one kind that are named."""


def params_and_code(project: Project, stage: str | None) -> list[Node]:
    """The values of params.yaml and the code of a stage, compared with what it ran with."""
    if stage is None:
        return []
    params, code = Node("params", stage), Node("code", stage)
    locked, told, by = project.lock[stage], project.declared.get(stage), lock.place(stage)
    if told is None:
        params.add("command", locked.cmd, "differs", f"{locks.file_of(stage).with_suffix('.yaml')} has no such stage")
    elif told.cmd is None:
        params.add("command", locked.cmd, "unchecked", f"{told.file} gives it by variables")
    else:
        params.expect("command", locked.cmd, locked.cmd == told.cmd, str(told.file), f"{told.file} gives {told.cmd}")
    try:
        found = ran.of(project, stage)
    except GlossaError as error:
        params.add("fingerprint", "", "differs", str(error))
        return [params, code]
    _params(found, by, params)
    same, changed = found.is_same_code, found.changed_files(project)
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    said = f"{', '.join(changed[:NAMED])}{more} changed since" if changed else "the code here is other than it ran with"
    code.expect("hash", found.code, same, by, said)
    code.add("files", len(found.files))
    return [params, code]


def _params(found: ran.Ran, by: str, node: Node) -> None:
    noted = found.noted
    if noted.status != "ok":
        node.add(noted.file.name, "", noted.status, noted.said)
    if noted.values is None and not found.is_same_params:
        node.add("values", found.params, "differs", f"{paths.PARAMS} gives others, and {noted.file} does not say which")
        return
    values = found.values if noted.values is None else noted.values
    changed = found.changed_values()
    for key, was in values.items():
        wrong = [f"{place} is now {shown(now)}" for place, _, now in changed if _is_in(place, key)]
        by_what = str(noted.file) if noted.values is not None else f"by the hash in {by}"
        node.expect(key, shown(was), not wrong, by_what, "; ".join(wrong[:NAMED]))
    for place, _, now in changed:
        if not any(_is_in(place, key) for key in values):
            node.add(place, "", "differs", f"is now {shown(now)}")
    others = made.others({"this": {"packages": noted.packages}})
    for name, (then,) in others.items():
        node.add(name, then, "unchecked", f"here {made.packages().get(name, 'none')}, outputs may differ by rounding")


def _is_in(place: str, key: str) -> bool:
    return place.removeprefix("order of ").startswith(f"{key}.") or place in (key, f"order of {key}")


def prompts(project: Project, stage: str | None) -> list[Node]:
    """The files that hold what a stage tells a language model, compared with what it ran with."""
    if stage is None:
        return []
    try:
        found = ran.of(project, stage)
    except GlossaError:
        return []  # said beside the params
    nodes, changed = [], found.changed_files(project)
    for name in ran.prompts(found.now):
        node, file = Node("prompt file", name), reach.FOLDER.parent / name
        if found.is_same_code:
            node.add("sha256", file_sha256(file), "ok", f"part of the code in {lock.place(stage)}")
        elif name in changed:
            node.add("sha256", file_sha256(file), "differs", f"changed since {lock.place(stage)}")
        elif project.changed_code(locks.file_of(stage)) is not None:
            node.add("sha256", file_sha256(file), "ok", f"as in the commit of {locks.file_of(stage)}")
        else:
            node.add("sha256", file_sha256(file), "unchecked", "the code is another, and this may be why")
        if change := git.last_change(name):
            _committed(node, "commit", change, git.is_as_committed(name))
        nodes.append(node)
    return nodes


def environment(project: Project, coder: str) -> Node:
    """The commit and the packages: what is installed now, and what outputs were made with."""
    node = Node("environment", "here and now")
    node.add("glossa", __version__)
    if commit := git.head():
        node.add("commit", commit)
        for locked in (locks.LOCK, locks.of_coder(coder)):
            for file in (locked, locked.with_name(made.NAME)):
                if str(file) in project.vouched:
                    _committed(node, str(file), git.last_change(file) or "", project.vouched[str(file)])
    else:
        node.add("commit", "none", "unchecked", "this is no git repository")
    pins = _pins()
    noted = ran.packages(project)
    then, known = made.others(noted), {name for entry in noted.values() for name in entry["packages"]}
    for package in dict.fromkeys((*PACKAGES, *then)):
        here = installed(package) or "none"
        if here == "none" and package not in then:
            continue
        pinned = pins.get(package, here)
        is_pinned = here.partition("+")[0] == pinned.partition("+")[0]
        value = here if is_pinned else f"{here} ({paths.CONSTRAINTS}: {pinned})"
        if package in then:
            node.add(package, value, "unchecked", f"outputs were made with {', '.join(sorted(then[package]))}")
        elif package in known:
            node.add(package, value, "ok", "outputs were made with it")
        else:
            node.add(package, value)
    return node


def _committed(node: Node, name: str, value: str, is_same: bool | None) -> None:
    if is_same:
        node.add(name, value, "ok", "as committed")
    else:
        node.add(name, value, "unchecked", "is in no commit" if is_same is None else "is not as committed")


def _pins() -> dict[str, str]:
    if not paths.CONSTRAINTS.is_file():
        return {}
    lines = (line.partition("#")[0].strip() for line in paths.CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("==") for line in lines if line.count("==") == 1)
    return {name.strip().lower(): pin.strip() for name, pin in pairs}
