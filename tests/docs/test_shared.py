"""docs/share.md as it is printed: somebody publishes, others read it, follow it and go on from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.docs.places import Terminal
from tests.docs.printed import snippets
from tests.docs.steps import CHANGED, CONTINUED, FOLLOWED, PUBLISHED, READ
from tests.repositories import Repository
from tests.share.test_remotes import Store, store

__all__ = ["store"]
PAGE = "docs/share.md"


def test_a_project_is_published_read_followed_and_gone_on_from(project: Terminal, store: Store, tmp_path: Path) -> None:
    bare, producer = tmp_path / "published.git", project.repository
    producer.run("git", "clone", "-q", "--bare", ".", str(bare))
    producer.run("git", "remote", "add", "origin", str(bare))
    producer.run("git", "push", "-q", "-u", "origin", "main")
    given = {"s3://bucket": "s3://explanations", "https://s3.example.org": store.endpoint, "REPOSITORY": str(bare)}

    def terminal(repository: Repository) -> Terminal:
        return Terminal(repository, given, dict(store.keys))

    terminal(producer).type_all(PUBLISHED[PAGE])
    reader = Repository.empty(tmp_path / "reader")
    terminal(reader).type_all(READ[PAGE])
    (program,) = (snippet.text for snippet in snippets(PAGE) if "DVCFileSystem" in snippet.text)
    program = f"{program}\nprint(len(explanations), set(explanations.coder))".replace("REPOSITORY", repr(str(bare)))
    assert re.search(r"^\d\d \{'resid2'\}$", reader.run("python", "-c", program, **store.keys), re.MULTILINE)

    _change(producer)
    producer.run("dvc", "repro", "-q")
    producer.commit("Second run")
    producer.run("dvc", "push", "-q", **store.keys)
    producer.run("git", "tag", "v2.0.0")
    producer.run("git", "push", "-q", "origin", "main", "v2.0.0")
    terminal(reader).type_all(FOLLOWED[PAGE])
    assert reader.read("dataset") == producer.read("results/dataset")

    (beside := tmp_path / "colleague").mkdir()
    colleague = terminal(Repository(beside))
    colleague.type_all([*CONTINUED[PAGE], *CONTINUED["docs/llm.md"]])
    _change(colleague.repository, 2)
    colleague.type_all(CHANGED[PAGE])


def test_the_data_set_is_read_as_printed(demo: Repository, tmp_path: Path) -> None:
    (program,) = (snippet.text for snippet in snippets(PAGE) if "load_dataset" in snippet.text)
    said = demo.run("python", "-c", f"{program}\nprint(len(own))", HF_DATASETS_CACHE=str(tmp_path), TQDM_DISABLE="1")
    assert int(said.splitlines()[-1]) > 100


def test_activations_are_read_as_printed(demo: Repository) -> None:
    (program,) = (snippet.text for snippet in snippets("docs/format.md") if snippet.kind == "python")
    assert demo.run("python", "-c", f"{program}\nprint(matrix.shape[0])").splitlines()[-1] == "4096"


def _change(repository: Repository, windows: int = 4) -> None:
    file = repository.folder / "params.yaml"
    params = json.loads(file.read_text())
    params["report"]["examples"] = windows
    file.write_text(json.dumps(params, indent=1))
