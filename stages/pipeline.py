"""The parts of dvc.yaml that follow from params.yaml and from what the code imports.

DVC loops over entries, but among dependencies it can't put in a list, leave one out or name all outputs of a loop, and
it follows no imports. So these lines are generated: a block stands below a mark such as ``# wired: score.code`` and
reaches to the next mark or the end of its list. All else in dvc.yaml is written by hand and kept as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from stages import artifacts, imports, paths, scorers
from stages.errors import GlossaError, nearest
from stages.params import LATENT, Coder, InstalledDocs, LocalText, Params, Subject

STAGES = ("tokenize", "cache", "sample", "compare", "report")
"""Those written by hand, whose code follows."""
UNITS = frozenset({"explainers", "scorers"})
"""The rooms whose units are chosen by an entry's ``kind``; every entry has a stage of its own."""

TOKENIZER = ("added_tokens", "merges", "special_tokens", "tokenizer", "vocab")
OWN_LINES = {
    "artifacts": r" |explanations-",
    "cache.entries": r"[ #]|(?!- )",
    "explain": r" |explain-",
    "score": r" |score-",
}
"""How lines of a block that is no list begin behind its indentation."""
LIST_LINES = r"[ #]|- "

MARK = re.compile(r"( *)# wired: ([a-z.]+)")
PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
NOT_PLAIN = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


class Block(NamedTuple):
    """Generated lines in dvc.yaml: those from index ``start``, behind the mark, up to ``end``."""

    name: str
    indent: str
    start: int
    end: int


def blocks(p: Params) -> dict[str, list[str]]:
    """Returns the generated lines of every block, without their indentation.

    Raises:
        GlossaError: an entry names a kind or provider that is unknown, code is not there, or the subject's folder is
            missing.
    """
    coders, explainers = list(p.coders), list(p.explainers)
    saved = {name: entry for name, entry in p.coders.items() if isinstance(entry, Coder)}
    folders = {name: Path(entry.path) for name, entry in saved.items() if is_local(entry.path)}
    # A coder from elsewhere and a control have no folder to depend on (params.yaml pins them), but a loop can't leave a
    # dependency out: they get one that the stage has anyway.
    script = imports.file_of("stages.cache")
    explained = [paths.explanations(*pair) for pair in product(coders, explainers)]
    scored = [paths.scores(*triple) for triple in scorers.wanted(p)]
    code = {stage: imports.files(f"stages.{stage}") for stage in STAGES}
    own = {name: unit_code("explain", "explainers", name, entry) for name, entry in p.explainers.items()}
    if p.compare.ceiling:
        code["compare"].update(*own.values())
    found = {
        "tokenize.data": _list(_sources(p)),
        "cache.entries": [_entry(c, coder=c, weights=folders.get(c, script)) for c in coders],
        "cache.data": _list(_folder(p.subject)),
        "explain": _apart(_explain(name, entry, own[name]) for name, entry in p.explainers.items()),
        "score": _apart(_score(name, entry) for name, entry in p.scorers.items()),
        "compare.data": _list(
            [
                paths.TOKENS,
                *map(paths.examples, coders),
                *explained,
                *_compared(p),
                *(path for entry in p.explainers.values() if p.compare.ceiling for path in _imported(entry)),
                *_folder(p.subject),
                *list(dict.fromkeys(folders.values())),
            ]
        ),
        "artifacts": artifacts.lines(p),
        "report.data": _list([*map(paths.examples, coders), *explained, *scored]),
    }
    return found | {f"{stage}.code": _list(folded(files)) for stage, files in code.items()}


def unit_code(stage: str, room: str, name: str, entry: Mapping[str, Any]) -> set[Path]:
    """Returns the files that ``stage`` needs for an entry of ``room``."""
    return imports.files(f"stages.{stage}").union(*map(imports.files, _modules(room, name, entry)))


def _explain(name: str, entry: Mapping[str, Any], files: set[Path]) -> list[str]:
    coder = "${item.coder}"
    return _stage(
        f"explain-{name}",
        '{coder: "${coders}"}',
        f"A coder's examples -> an explanation of every latent by {name}.",
        f"glossa explain {coder} {name}",
        f"explainers.{name}",
        [paths.TOKENS, paths.examples(coder), *_imported(entry), *_rooms(files)],
        paths.explanations(coder, name),
    )


def _score(name: str, entry: Mapping[str, Any]) -> list[str]:
    coder, explainer = "${item.coder}", "${item.explainer}"
    matrix, explained = '{coder: "${coders}", explainer: "${explainers}"}', [paths.explanations(coder, explainer)]
    if entry["kind"] in scorers.OF_LATENTS:
        matrix, explainer, explained = '{coder: "${coders}"}', LATENT, []
    return _stage(
        f"score-{name}",
        matrix,
        f"Held-out examples{' and explanations' if explained else ''} -> verdicts and scores by {name}.",
        f"glossa score {coder} {explainer} {name}",
        f"scorers.{name}",
        [paths.TOKENS, paths.examples(coder), *explained, *_rooms(unit_code("score", "scorers", name, entry))],
        paths.scores(coder, explainer, name),
    )


def _stage(name: str, matrix: str, desc: str, cmd: str, section: str, deps: Iterable[Path], out: Path) -> list[str]:
    return [
        f"{name}:",
        f"  matrix: {matrix}",
        f"  desc: {desc}",
        f"  cmd: {cmd}",
        f"  params: [seed, {section}]",
        "  deps:",
        *(f"    - {_dependency(path)}" for path in deps),
        "  outs:",
        f"    - {out}",
    ]


def _imported(entry: Mapping[str, Any]) -> list[Path]:
    """Where an explainer that asks nobody finds what others have written."""
    return [Path(entry["path"])] if entry["kind"] == "imported" and "path" in entry else []


def _dependency(path: Path) -> str:
    """A path of ours, in which ``${item.coder}`` is DVC's to fill in, or one that a user gave, in which nothing is."""
    return path.as_posix() if path.parts[0] in ("data", "stages") else _scalar(path)


def _rooms(files: Iterable[Path]) -> list[Path]:
    """Returns ``files`` in order, those of explainers and scorers one by one and of any other room the room itself.

    These stages are many, and dvc.lock, which DVC writes anew after each, has a paragraph for every dependency of each. A
    change in a room that they merely use reruns them all, in which language models' answers come from the journal.
    """
    rooms = {file: Path(*file.parts[:2]) for file in files}
    whole = {room for room in rooms.values() if room.is_dir() and room.name not in UNITS}
    return sorted([*folded(file for file, room in rooms.items() if room not in whole), *whole])


def folded(files: Iterable[Path]) -> list[Path]:
    """Returns ``files`` in order, a folder in place of all that lies in it: dvc.lock has a paragraph for each, in every stage."""
    left = set(files)
    for folder in sorted({file.parent for file in left}, key=lambda path: -len(path.parts)):
        inside = {file for file in folder.rglob("*") if file.is_file() and not _is_ignored(file)}
        if len(inside) > 1 and inside <= left:
            left = left - inside | {folder}
    return sorted(left)


def _is_ignored(file: Path) -> bool:
    return "__pycache__" in file.parts or file.name.startswith(".")


def find(text: str) -> list[Block]:
    """Returns the blocks that dvc.yaml holds, in their order.

    Raises:
        GlossaError: the same mark is there twice.
    """
    lines = text.splitlines()
    found: list[Block] = []
    for i, line in enumerate(lines):
        if mark := MARK.fullmatch(line):
            indent, name = mark.groups()
            if name in {block.name for block in found}:
                raise GlossaError(
                    f"{paths.PIPELINE} line {i + 1} has the mark '# wired: {name}' again; remove one of them"
                )
            own = f"{indent}(?:{OWN_LINES.get(name, LIST_LINES)})"
            found.append(Block(name, indent, i + 1, _end(lines, i + 1, own)))
    return found


def rewrite(text: str, generated: Mapping[str, list[str]]) -> str:
    """Returns dvc.yaml with the ``generated`` lines in its blocks.

    Raises:
        GlossaError: a mark is missing, unknown or there twice.
    """
    lines = text.splitlines()
    found = find(text)
    for block in found:
        if block.name not in generated:
            hint = nearest(block.name, generated)
            raise GlossaError(
                f"{paths.PIPELINE} line {block.start} has the unknown mark '# wired: {block.name}'; {hint}"
            )
    if missing := generated.keys() - {block.name for block in found}:
        raise GlossaError(f"{paths.PIPELINE} should have the mark '# wired: {min(missing)}'; restore it from git")
    for block in reversed(found):
        lines[block.start : block.end] = [(block.indent + line).rstrip() for line in generated[block.name]]
    return "\n".join(lines) + "\n"


def _end(lines: list[str], start: int, own: str) -> int:
    """The index behind the last of a block's lines, which begin as ``own`` says, or are empty between such."""
    end = start
    for i in range(start, len(lines)):
        if lines[i].strip():
            if not re.match(own, lines[i]) or MARK.fullmatch(lines[i]):
                break
            end = i + 1
    return end


def leftovers(p: Params) -> list[Path]:
    """Returns the outputs that no entry of params.yaml makes any more, the topmost folder of every branch."""
    wanted = {path for coder in p.coders for path in (paths.latents(coder), paths.examples(coder))}
    wanted |= {paths.explanations(*pair) for pair in product(p.coders, p.explainers)}
    wanted |= {paths.scores(*triple) for triple in scorers.wanted(p)}
    parents = {parent for path in wanted for parent in path.parents}

    def unused(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path in parents:
                yield from unused(path)
            elif path not in wanted and not path.name.startswith("."):
                yield path

    rooms = {Path(*path.parts[:2]) for path in (*wanted, paths.scores("x", "x", "x"))}
    return [path for room in sorted(rooms) for path in unused(room)]


def is_local(coder_path: str) -> bool:
    """Whether a coder's path names a folder here, and is no address such as ``hub://…``."""
    return "://" not in coder_path


def _modules(room: str, name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """The modules that an entry loads by name: its unit, and the provider of every model it describes."""
    chosen = [(f"{room}.{name}.kind", entry["kind"], imports.registry(room, "KINDS"))]
    providers = imports.registry("llm", "PROVIDERS")
    for key, model in entry.items():
        if isinstance(model, dict) and "provider" in model:
            chosen.append((f"{room}.{name}.{key}.provider", model["provider"], providers))
    for key, choice, known in chosen:
        if choice not in known:
            raise GlossaError(f"{paths.PARAMS}: {key} is {choice!r}, which is unknown; {nearest(str(choice), known)}")
        yield known[choice]


def _sources(p: Params) -> Iterator[Path]:
    match p.corpus:
        case InstalledDocs():
            yield paths.CONSTRAINTS
        case LocalText(path=path):
            yield Path(path)
    for folder in _folder(p.subject):
        yield from sorted(file for file in folder.iterdir() if file.is_file() and file.name.startswith(TOKENIZER))


def _compared(p: Params) -> Iterator[Path]:
    """What compare reads only if params.yaml says so: activations, which are not pushed, and other projects."""
    if p.compare.reads_stores:
        yield from map(paths.latents, p.coders)
    for other in p.compare.others.values():
        yield Path(other.path) / paths.examples(other.coder)
        yield from (Path(other.path) / paths.explanations(other.coder, explainer) for explainer in p.explainers)


def _folder(subject: Subject) -> list[Path]:
    """The subject's folder, or nothing if the subject is a repository on the Hub."""
    folder = Path(subject.model)
    if folder.is_dir():
        return [folder]
    if folder.is_absolute() or (len(folder.parts) > 1 and folder.parent.is_dir()):
        raise GlossaError(
            f"{paths.PARAMS}: subject.model should be a folder or a repository on the Hub, but there is nothing at "
            f"{folder}; fetch it, or correct the path"
        )
    return []


def _apart(stages: Iterable[list[str]]) -> list[str]:
    return [line for stage in stages for line in ("", *stage)][1:]


def _list(values: Iterable[Path]) -> list[str]:
    return [f"- {_scalar(value)}" for value in values]


def _entry(name: str, **fields: str | Path) -> str:
    inside = [f"{key}: {_scalar(value)}" for key, value in fields.items()]
    return f"{_scalar(name)}: {{{', '.join(inside)}}}"


def _scalar(value: str | Path) -> str:
    """A string as YAML in which DVC finds no ``${…}``."""
    text = (value.as_posix() if isinstance(value, Path) else value).replace("${", r"\${")
    return text if PLAIN.fullmatch(text) and text.lower() not in NOT_PLAIN else json.dumps(text, ensure_ascii=False)
