"""What earlier code wrote is still read, and means the same: a small output of every version of every form, read by the code of today.

Where a form gets another version, its output is added by `GLOSSA_ARCHIVE=1 pytest tests/archives`; those that are there are never written anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.corpus import tokens
from stages.corpus.tokens import Tokens
from stages.dataset import folder as dataset
from stages.examples import table as examples
from stages.examples.table import Examples
from stages.explainers import table as explanations
from stages.latents import spec
from stages.latents.store import LatentStore
from stages.llm.journal import transcript
from stages.outputs import dumps, read_meta, read_table
from stages.scorers import table as scores
from stages.similarity import table as similarity
from tests.wiring.conftest import Finished

HERE = Path(__file__).parent
FORMS = {
    "tokens": (tokens.VERSION, "data/tokens"),
    "latents": (spec.VERSION, "data/latents/one.zarr"),
    "examples": (examples.VERSION, "data/examples/one"),
    "explanations": (explanations.VERSION, "data/explanations/one/pattern"),
    "scores": (scores.VERSION, "data/scores/one/pattern/local"),
    "similarity": (similarity.VERSION, "data/similarity"),
    "dataset": (dataset.VERSION, "results/dataset"),
}
"""The version that is written today, and where the stages write it."""


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _rows(table: pa.Table) -> str:
    return _hash(json.dumps(row, sort_keys=True, default=str).encode() for row in table.to_pylist())


def _tokens(path: Path) -> dict[str, Any]:
    found = Tokens.open(path)
    vocabulary = found.vocabulary
    return {
        "shape": list(found.array.shape),
        "ids": _hash([np.asarray(found.array[:], np.int64).tobytes()]),
        "text": vocabulary.text(np.asarray(found.array[0])),
        "documents": found.documents.num_rows,
    }


def _latents(path: Path) -> dict[str, Any]:
    found = LatentStore.open(path)
    csr = found.csr()
    parts = [
        np.asarray(part, kind).tobytes() for part, kind in ((csr.indptr, "i8"), (csr.indices, "i8"), (csr.data, "f4"))
    ]
    return {"shape": list(found.shape), "events": int(csr.nnz), "matrix": _hash(parts)}


def _examples(path: Path) -> dict[str, Any]:
    found = Examples.open(path)
    latents = list(found)
    windows = [
        part
        for one in latents
        for of in (one.train, one.test, one.negative)
        for part in (of.tokens.tobytes(), of.activations.astype(np.float32).tobytes(), of.deciles.tobytes())
    ]
    return {
        "kept": found.kept,
        "windows": _hash(windows),
        "kinds": sorted({kind or "" for one in latents for kind in one.negative.kinds}),
    }


def _explanations(path: Path) -> dict[str, Any]:
    read_meta(path, explanations.SCHEMA, explanations.VERSION)
    return {"texts": {str(latent): text for latent, text in explanations.texts(path).items()}}


def _scores(path: Path) -> dict[str, Any]:
    found, meta = scores.read(path)
    calls = list(transcript.read(path / transcript.NAME))
    return {
        "scores": _rows(found),
        "measures": _rows(scores.read_measures(path)),
        "verdicts": _rows(scores.read_verdicts(path)),
        "metric": meta["metric"],
        "calls": _hash(part for call in calls for part in (call.key.encode(), call.request, call.response)),
    }


def _similarity(path: Path) -> dict[str, Any]:
    found, meta = similarity.read(path)
    vectors, _ = similarity.read_embeddings(path)
    return {
        "matches": _rows(found),
        "pairs": len(meta["pairs"]),
        "vectors": {name: list(v.shape) for name, v in vectors.items()},
    }


def _dataset(path: Path) -> dict[str, Any]:
    meta = read_meta(path, dataset.SCHEMA, dataset.VERSION)
    return {
        "meta": sorted(meta),
        "tables": {file.name: _rows(read_table(file)) for file in sorted(path.glob("*.parquet"))},
    }


READ: dict[str, Callable[[Path], dict[str, Any]]] = {
    "tokens": _tokens,
    "latents": _latents,
    "examples": _examples,
    "explanations": _explanations,
    "scores": _scores,
    "similarity": _similarity,
    "dataset": _dataset,
}

ARCHIVES = sorted(path.name for path in HERE.iterdir() if (path / "expected.json").is_file())
NEEDS = {"examples": ["data/tokens"]}
"""What else a form is read with."""


def archive_missing(project: Path) -> None:
    """Adds the archives that there are not, of a folder in which every stage has run."""
    for form, (version, place) in FORMS.items():
        archive = HERE / f"{form}-{version}"
        if archive.exists():
            continue
        for part in (place, *NEEDS.get(form, [])):
            shutil.copytree(project / part, archive / part)
        (archive / "expected.json").write_text(dumps(read(archive)), encoding="utf-8")


def read(archive: Path) -> dict[str, Any]:
    """Returns what the code of today makes of an archive."""
    form = archive.name.partition("-")[0]
    with chdir(archive):
        return READ[form](Path(FORMS[form][1]))


@pytest.mark.skipif("GLOSSA_ARCHIVE" not in os.environ, reason="GLOSSA_ARCHIVE asks for new archives")
def test_new_versions_are_archived(finished: Finished) -> None:
    archive_missing(finished.bench.folder)


@pytest.mark.parametrize("form", FORMS)
def test_the_version_that_is_written_has_an_archive(form: str) -> None:
    assert f"{form}-{FORMS[form][0]}" in ARCHIVES, "run GLOSSA_ARCHIVE=1 pytest tests/archives"


@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_archive_is_read_as_it_was_meant(archive: str) -> None:
    assert read(HERE / archive) == json.loads((HERE / archive / "expected.json").read_text(encoding="utf-8"))
