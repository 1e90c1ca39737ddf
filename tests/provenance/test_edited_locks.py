"""Edits by hand of lock files, fingerprints.json and made.json, of which each is found and named."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stages.provenance import files
from stages.provenance.project import Project
from stages.wiring import fingerprints
from tests.provenance.tampering import replace

LOCK = Path("pipelines/one/dvc.lock")


def an_edited_command() -> None:
    replace([LOCK], {"cmd: glossa explain one llm": "cmd: glossa explain one pattern"})


def an_edited_command_of_the_root() -> None:
    replace([Path("dvc.lock")], {"cmd: glossa compare": "cmd: glossa compare --fast"})


def an_edited_command_in_both_files() -> None:
    replace([LOCK, LOCK.with_suffix(".yaml")], {"cmd: glossa sample one": "cmd: cp -r elsewhere data/examples/one"})


def an_invented_stage() -> None:
    LOCK.write_text(f"{LOCK.read_text()}  explain@human:\n    cmd: glossa explain one human\n    outs: []\n")


def an_invented_stage_of_the_root() -> None:
    lock = Path("dvc.lock")
    lock.write_text(f"{lock.read_text()}  translate:\n    cmd: glossa translate\n")


def a_lock_of_an_invented_coder() -> None:
    shutil.copytree("pipelines/two", "pipelines/three")


def a_dropped_dependency() -> None:
    lines = LOCK.read_text().split("  explain@llm:\n")
    first, dep, behind = lines[1].partition("    deps:\n    - path: data/examples/one\n")
    rest = behind.split("\n", 4)[4]  # behind the hash of the only one
    LOCK.write_text(f"{lines[0]}  explain@llm:\n{first}{rest}")
    assert dep


def a_dropped_fingerprint() -> None:
    replace([LOCK], {"coders.one.sample:": "coders.one.simple:"})


def an_edited_hash_of_params() -> None:
    (said,) = [one for one in fingerprints.read().items() if one[0] == "coders.one.sample"]
    replace([LOCK], {said[1].split()[-1]: "0" * 16})


def an_edited_hash_of_code() -> None:
    replace([LOCK], {fingerprints.read()["coders.one.sample"].split()[1]: "0" * 16})


def an_edited_fingerprint() -> None:
    replace([Path("fingerprints.json")], {fingerprints.read()["coders.one.cache"].split()[-1]: "0" * 16})


def an_edited_fingerprint_of_code() -> None:
    replace([Path("fingerprints.json")], {fingerprints.read()["compare"].split()[1]: "0" * 16})


def an_invented_fingerprint() -> None:
    replace([Path("fingerprints.json")], {'"two": {': '"three": {'})


def a_noted_value() -> None:
    replace([LOCK.with_name("made.json")], {'"min_activations": 5': '"min_activations": 6'})


def a_truncated_note() -> None:
    os.truncate(LOCK.with_name("made.json"), 100)


class Edit(NamedTuple):
    make: Callable[[], None]
    found: tuple[str, str]
    """The one check that fails, and what its failure names."""


EDITS = [
    Edit(
        an_edited_command,
        (
            "lock",
            "pipelines/one/dvc.lock, explain@llm: says that 'glossa explain one pattern' ran, but "
            "pipelines/one/dvc.yaml says 'glossa explain one llm'; run dvc repro",
        ),
    ),
    Edit(
        an_edited_command_of_the_root,
        ("lock", "dvc.lock, compare: says that 'glossa compare --fast' ran, but dvc.yaml says 'glossa compare'"),
    ),
    Edit(
        an_edited_command_in_both_files,
        ("lock", "sample: says that 'cp -r elsewhere .*' ran, which should be 'glossa sample one'; run glossa wire"),
    ),
    Edit(
        an_invented_stage,
        ("lock", "one/dvc.lock, explain@human: pipelines/one/dvc.yaml has no such stage; run glossa wire"),
    ),
    Edit(an_invented_stage_of_the_root, ("lock", "dvc.lock, translate: dvc.yaml has no such stage")),
    Edit(a_lock_of_an_invented_coder, ("lock", "three/dvc.lock: is of a coder that params.yaml does not name; run")),
    Edit(
        a_dropped_dependency,
        (
            "lock",
            "explain@llm: says that it read not data/examples/one, which pipelines/one/dvc.yaml lists; run dvc repro",
        ),
    ),
    Edit(
        a_dropped_fingerprint,
        ("params", "one/dvc.lock, sample: .* should have the fingerprint coders.one.sample of sample, found None"),
    ),
    Edit(
        an_edited_hash_of_params,
        ("params", "params.yaml: gives other values than pipelines/one/dvc.yaml:sample ran with; run dvc repro"),
    ),
    Edit(an_edited_hash_of_code, ("code", "stages: has other code than pipelines/one/dvc.yaml:sample could execute")),
    Edit(
        an_edited_fingerprint,
        ("params", "fingerprints.json, coders.one.cache: says params 0{16}, but it is [0-9a-f]{16} here; run glossa"),
    ),
    Edit(an_edited_fingerprint_of_code, ("code", "fingerprints.json, compare: says code 0{16}, but it is")),
    Edit(
        an_invented_fingerprint,
        ("params", "fingerprints.json, coders.three.cache: is of no stage that params.yaml describes; run glossa"),
    ),
    Edit(
        a_noted_value,
        ("params", "one/made.json, sample one: .*made.json has other values of sample one than their hash there says"),
    ),
    Edit(a_truncated_note, ("params", "one/made.json, cache one: .*made.json can't be read; restore it from git")),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.make.__name__)
def test_an_edit_is_found_and_nothing_else_is(edit: Edit, project: Path) -> None:
    edit.make()
    found = {check.name: check for check in files.checks(Project.here())}
    name, expected = edit.found
    said = "\n".join(f"{failure.item}: {failure.said}" for failure in found[name].failures)
    assert re.search(expected, said), said
    assert [check for check in found if found[check].failed] == [name]
