"""``ro-crate``: the run as a Workflow Run RO-Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5), over RO-Crate 1.1.

The crate holds dvc.yaml, dvc.lock and those of the sparse coders, params.yaml, the prompts, explanations, scores, similarities and
metrics. The corpus, the activations and the pages are described by their hashes and left out: they are large, and the text has
owners of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages import __version__, paths
from stages.errors import GlossaError
from stages.outputs import file_sha256
from stages.params import Coder, Params
from stages.provenance import ran
from stages.provenance.lock import Entry
from stages.provenance.project import Project
from stages.wiring import fingerprints, git, reach
from stages.wiring.locks import LOCK, of_coder

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
"""Defines sha256."""

BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
ENCODINGS = {
    ".json": "application/json",
    ".lock": "application/yaml",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".yaml": "application/yaml",
}

COPIED = ("data/explanations/", "data/scores/", paths.SIMILARITY.as_posix(), paths.METRICS.as_posix())
"""How the paths of outputs begin that are in the crate."""

RIGHTS = (
    "No licence is stated for these data. Transcripts and examples may quote the corpus, whose text belongs to its authors; "
    "subject, sparse coders and language models have licences of their own."
)


def write(p: Params, folder: Path) -> str:
    """Writes the crate; see ``exports.Export``.

    Raises:
        GlossaError: rocrate is not installed, nothing has run, or an output is not here.
    """
    try:
        from rocrate.model.computerlanguage import ComputerLanguage
        from rocrate.model.contextentity import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise GlossaError(
            "the export ro-crate needs the package rocrate; run pip install -c constraints.txt -e '.[export]'"
        ) from None

    project, locks = Project(p, 0), [LOCK, *map(of_coder, p.coders)]
    _, when = project.lock, _when(locks)  # says first what is missing or damaged
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    root = crate.root_dataset
    for uri, name in PROFILES.items():
        version = uri.rsplit("/", 1)[-1]
        profile = {"@type": "CreativeWork", "name": name, "version": version}
        root.append_to("conformsTo", crate.add(ContextEntity(crate, uri, properties=profile)))
    root["name"] = f"Explanations of sparse coders of {p.subject.model}"
    root["description"] = (
        f"Natural-language explanations, with scores, of latents of {', '.join(p.coders)}, sparse coders of {p.subject.model}; "
        f"made by Glossa {__version__}."
    )
    root["datePublished"] = when.isoformat()
    rights = {"@type": "CreativeWork", "name": "Rights", "description": RIGHTS}
    root["license"] = crate.add(ContextEntity(crate, "#rights", properties=rights))

    dvc = {"name": "DVC", "url": {"@id": "https://dvc.org"}, "identifier": {"@id": "https://dvc.org"}}
    language = crate.add(ComputerLanguage(crate, "https://dvc.org/#pipelines", properties=dvc))
    facts = {"name": "Glossa", "version": __version__, "encodingFormat": ENCODINGS[".yaml"]}
    workflow = crate.add_workflow(
        paths.PIPELINE,
        paths.PIPELINE,
        main=True,
        lang=language,
        properties={**facts, "conformsTo": {"@id": BIOSCHEMAS}},
    )
    for file, description in _pipeline(project, locks):
        if file.is_file():
            _file(crate, file, description)
    for prompt in _prompts(project):
        _file(crate, Path(prompt), "What a language model is told", reach.FOLDER.parent / prompt)
    objects = _inputs(crate, project, workflow)
    results = _outputs(crate, project, workflow)
    ran = {"name": "dvc repro", "description": "The run that the lock files describe"}
    who = git.last_author(*locks)
    if who:  # it is committed, so that the time is the same for all
        ran["endTime"] = when.isoformat()
    action = crate.add_action(workflow, "#run", object=objects, result=results, properties=ran)
    if who:
        action["agent"] = root["author"] = crate.add(
            ContextEntity(crate, "#agent", properties={"@type": "Person", "name": who})
        )
    root["mentions"] = action
    crate.write(folder)
    return f"{len(results)} outputs, {sum(1 for _ in folder.rglob('*') if _.is_file())} files"


def _pipeline(project: Project, locks: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The files beside dvc.yaml that say what runs and what ran, each with a description."""
    for coder in project.p.coders:
        yield paths.pipeline(coder), f"The stages of {coder}, which belong to dvc.yaml"
    for file in locks:
        yield file, "What every stage read and wrote, by md5"
    for file in project.made:
        yield file, "The values and the versions of packages that every stage ran with"
    yield (
        paths.FINGERPRINTS,
        "For every stage a hash of the code that it can execute and one of the values that it reads",
    )


def _inputs(crate: Any, project: Project, workflow: Any) -> list[Any]:
    """Params, the subject, the sparse coders and the corpus."""
    p = project.p
    params = _file(crate, paths.PARAMS, "Every value that can change a result")
    found = [_played(crate, workflow, "input", params, "File", "params")]
    deps = {dep.path: dep for name in project.lock for dep in project.lock[name].deps}
    sources = {"subject": (p.subject.model, p.subject.revision)}
    sources |= {
        f"coder {name}": (entry.path, None) if isinstance(entry, Coder) else (str(entry.model_dump()), None)
        for name, entry in p.coders.items()
    }
    corpus = p.corpus.model_dump()
    sources["corpus"] = (str(corpus.get("path") or corpus["source"]), corpus.get("revision"))
    for name, (place, revision) in sources.items():
        facts = {"name": name, "description": place}
        if revision:
            facts["version"] = revision
        entity = _left_out(crate, f"#{name.replace(' ', '-')}", facts, deps.get(place))
        found.append(_played(crate, workflow, "input", entity, "Dataset", name))
    return found


def _outputs(crate: Any, project: Project, workflow: Any) -> list[Any]:
    found = []
    for output in project.outputs:
        if (name := project.maker(output)) is None:
            raise GlossaError(
                f"expected a stage that wrote {output} in the lock files of DVC, but none did; run dvc repro"
            )
        for out in project.lock[name].outs:
            facts = {"name": out.path, "description": f"Output of {name}"}
            path = Path(out.path)
            if not out.path.startswith(COPIED):
                entity = _left_out(crate, f"#{out.path}", facts, out)
            elif path.is_dir():
                entity = crate.add_dataset(dest_path=path, properties={**facts, **_hash(out)})
                files = sorted(file for file in path.iterdir() if file.is_file())
                entity["hasPart"] = [_file(crate, file, f"Part of {out.path}") for file in files]
            elif path.is_file():
                entity = _file(crate, path, facts["description"])
            else:
                raise GlossaError(f"expected {path}, an output of {name}, but it is not here; run dvc pull")
            kind = "File" if path.is_file() else "Dataset"
            found.append(_played(crate, workflow, "output", entity, kind, out.path))
    return found


def _played(crate: Any, workflow: Any, role: str, entity: Any, kind: str, name: str) -> Any:
    """Ties an input or output of the run to the parameter of the workflow that it is."""
    parameter = crate.add_formal_parameter(name, kind, f"#{role}-{name.replace(' ', '-')}")
    workflow.append_to(role, parameter)
    entity["exampleOfWork"] = parameter
    return entity


def _file(crate: Any, path: Path, description: str, source: Path | None = None) -> Any:
    """Puts a file into the crate; it lies at ``source`` if not at ``path``."""
    source = source or path
    facts = {"name": path.name, "description": description, "sha256": file_sha256(source)}
    if path.suffix in ENCODINGS:
        facts["encodingFormat"] = ENCODINGS[path.suffix]
    return crate.add_file(source, path, properties=facts, record_size=True)


def _left_out(crate: Any, identifier: str, facts: dict[str, Any], entry: Entry | None) -> Any:
    """Something that is described and not in the crate."""
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": "Dataset", **facts, **_hash(entry)}))


def _hash(entry: Entry | None) -> dict[str, str]:
    """The hash in a lock file, under which DVC finds the bytes."""
    return {"identifier": f"md5:{entry.md5}"} if entry and entry.md5 else {}


def _prompts(project: Project) -> list[str]:
    """What explain and score stages tell language models, as files of the code that runs."""
    keys = {due.key for due in project.due if due.words[0] in ran.SECTIONS}
    return sorted({prompt for key in keys for prompt in ran.prompts(fingerprints.part(project.p, key))})


def _when(locks: Sequence[Path]) -> datetime:
    """When a lock file was last committed, or else written."""
    if change := git.last_change(*locks):
        return datetime.fromisoformat(change.split()[1])
    if not LOCK.is_file():
        raise GlossaError(f"expected {LOCK} here, but there is no such file; run dvc repro")
    return datetime.fromtimestamp(max(int(file.stat().st_mtime) for file in locks if file.is_file()), UTC)
