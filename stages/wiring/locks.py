"""DVC's lock files: dvc.lock, and one of each sparse coder. DVC never takes out the entry of a stage that is no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages import params, paths
from stages.errors import GlossaError, said
from stages.outputs import write_text
from stages.wiring import coder, matrix

LOCK = Path("dvc.lock")
SCHEMA = "2.0"
EARLIER = re.compile(r"(cache|sample|explain-\w+|score-\w+)@")
"""Stages of sparse coders, as dvc.lock named them when it held those of all coders."""
CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})", re.MULTILINE)
"""Where git leaves a merge to people."""

REMEDY = "run glossa wire, which restores it"


def of_coder(name: str) -> Path:
    """Returns the lock file of a coder's stages."""
    return paths.pipeline(name).with_suffix(".lock")


def file_of(stage: str) -> Path:
    """Returns the lock file that holds a stage, by what DVC calls it from the root."""
    pipeline, _, name = stage.rpartition(":")
    return Path(pipeline).with_suffix(".lock") if name != stage else LOCK


def files() -> list[Path]:
    """Returns all lock files that are here, the root's first."""
    return [file for file in (LOCK, *sorted(paths.PIPELINES.glob(f"*/{LOCK}"))) if file.is_file()]


def read(file: Path) -> dict[str, Any]:
    """Returns what a lock file says of every stage it names.

    Raises:
        GlossaError: it is damaged, so that DVC would refuse it: DVC writes it in place, and a kill meanwhile leaves half of it.
    """
    try:
        return stages_of(file.read_bytes())
    except ValueError as error:
        raise GlossaError(f"expected stages in {file}, but it is damaged ({error}); {REMEDY}") from None


def is_conflict(file: Path) -> bool:
    """Whether a merge that git could not finish left its marks in a file."""
    return CONFLICT.search(file.read_bytes()) is not None


def stages_of(content: bytes) -> dict[str, Any]:
    """Returns the stages of a lock file; raises ValueError, with the reason on one line, if DVC would refuse it."""
    parsed = yaml(content)
    if not isinstance(parsed, dict) or parsed.get("schema") != SCHEMA:
        raise ValueError(f"it does not say that its schema is {SCHEMA}" if content.strip() else "it is empty")
    stages = parsed.get("stages", {})
    if not isinstance(stages, dict) or not all(isinstance(name, str) for name in stages):
        raise ValueError("it does not map the names of stages to what they are")
    for name, entry in stages.items():
        if not _is_entry(entry):
            raise ValueError(f"the entry of {name} is cut short or is none")
    return stages


def yaml(content: bytes) -> Any:
    """Returns what YAML holds, by the parser in C where it is installed; raises ValueError, with the reason on one line, if it is none."""
    try:
        return YAML(typ="safe").load(content.decode())
    except MarkedYAMLError as error:
        if CONFLICT.search(content):
            raise ValueError("a merge that git could not finish left its marks in it") from None
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}" if mark else ""
        raise ValueError(" ".join(f"{error.problem or error.context}{where}".split())) from None
    except (
        YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # a ValueError is bytes that are no text, or a number that is none
        raise ValueError(said(error, whole=True)) from None


def _is_entry(entry: Any) -> bool:
    """Whether DVC takes it for what a stage ran with."""
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str | list):
        return False
    values = entry.get("params", {})
    return (
        entry.keys() <= {"cmd", "deps", "params", "outs"}
        and all(isinstance(of := entry.get(key, []), list) and all(map(_is_file, of)) for key in ("deps", "outs"))
        and isinstance(values, dict)
        and all(
            isinstance(file, str) and isinstance(one, dict) and all(isinstance(key, str) for key in one)
            for file, one in values.items()
        )
    )


def _is_file(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("path"), str) or None in value.values():
        return False
    sums = [value[key] for key in ("md5", "etag", "checksum") if key in value]
    return all(isinstance(value.get(key, 0), int) for key in ("size", "nfiles")) and all(
        isinstance(one, str | int) and len(str(one)) >= 3 for one in sums
    )


def drop_unknown(p: params.Params) -> tuple[int, bool]:
    """Takes entries of stages that are no more out of all lock files.

    Returns how many there were, and whether some are of the layout in which dvc.yaml held the stages of all coders.
    """
    known = {LOCK: matrix.filled(params.read_yaml(paths.PIPELINE)["stages"])}
    known |= {path.with_suffix(".lock"): matrix.filled(stages) for path, stages in coder.stages(p).items()}
    dropped, was_earlier = 0, False
    for lock, names in known.items():
        if not lock.is_file():
            continue
        lines = lock.read_text(encoding="utf-8").splitlines(keepends=True)
        entries = _entries("".join(lines))
        gone = [name for name in entries if matrix.find(names, name) is None]
        was_earlier |= lock == LOCK and any(map(EARLIER.match, gone))
        if gone:
            dropped += len(gone)
            left = {line for name in gone for line in entries[name]}
            kept = "".join(line for number, line in enumerate(lines) if number not in left)
            write_text(lock, kept if len(gone) < len(entries) else re.sub("(?m)^stages:$", "stages: {}", kept))
    return dropped, was_earlier


def _entries(text: str) -> dict[str, range]:
    """The lines, from 0, of the entry of every stage in a lock file: from its name to the next."""
    document = YAML(typ="safe", pure=True).compose(text)
    stages = next((value for key, value in document.value if key.value == "stages"), None) if document else None
    if stages is None or not stages.value:
        return {}
    begin = [key.start_mark.line for key, _ in stages.value]
    return {
        key.value: range(first, after)
        for (key, _), first, after in zip(stages.value, begin, [*begin[1:], stages.end_mark.line], strict=True)
    }
