from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from stages import outputs, paths
from stages.errors import GlossaError
from stages.examples import older, table
from stages.examples.table import Examples, latents_schema

COLUMNS = [name for name in latents_schema().names if name != "n_negatives"]
PLACE = COLUMNS.index("n_test") + 1
OF_VERSION_2 = [*COLUMNS[:PLACE], *(f"n_{kind}" for kind in older.KINDS), *COLUMNS[PLACE:]]


def before(folder: Path, **numbers: int) -> Path:
    """Turns a sample into what version 2 was; ``numbers`` of kinds are the same for every latent."""
    found = outputs.read_table(folder / "latents.parquet")
    random = [dict(one)["random"] for one in found["n_negatives"].to_pylist()]
    columns = {f"n_{kind}": pa.array([numbers.get(kind, 0)] * len(found), pa.int32()) for kind in older.KINDS}
    columns |= {"n_random": pa.array(random, pa.int32()), **{name: found[name] for name in COLUMNS}}
    outputs.write_table(folder / "latents.parquet", pa.table(columns).select(OF_VERSION_2))
    meta = json.loads((folder / "meta.json").read_text())
    meta["negatives"] |= {kind: {} for kind in numbers}
    (folder / "meta.json").write_text(json.dumps(meta | {"version": 2}))
    return folder


def test_a_sample_of_version_2_reads_as_one_of_today(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_workplace / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    now = Examples.open(paths.examples("one"))
    latents, facts = now.latents, [latent.facts for latent in now]
    then = Examples.open(before(paths.examples("one")))
    assert then.latents.equals(latents)
    assert then.latents.schema.equals(latents_schema())
    assert [latent.facts for latent in then] == facts
    assert [len(latent.negative) for latent in then] == [latent.facts["n_negatives"]["random"] for latent in then]


def test_kinds_of_version_2_that_were_not_asked_for_are_not_counted(finished_workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_workplace / "data/examples/two", tmp_path / "two")
    found = Examples.open(before(tmp_path / "two", surface=7)).latents["n_negatives"].to_pylist()
    assert all([kind for kind, _ in one] == ["random", "surface"] and one[1][1] == 7 for one in found)


def test_no_other_version_is_read(finished_workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_workplace / "data/examples/one", tmp_path / "one")
    meta = json.loads((tmp_path / "one" / "meta.json").read_text())
    assert (meta["version"], older.VERSION) == (table.VERSION, table.VERSION - 1)
    for version in (1, table.VERSION + 1):
        (tmp_path / "one" / "meta.json").write_text(json.dumps(meta | {"version": version}))
        with pytest.raises(
            GlossaError,
            match=rf"expected glossa/examples version {table.VERSION} in .*one, found .* version {version};",
        ):
            Examples.open(tmp_path / "one")
