"""Our export for delphi, read by delphi's own analysis."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.latents.store import LatentStore
from stages.scorers import table
from tests.dataset.conftest import shared
from tests.exports.conftest import export

__all__ = ["export", "shared"]

peer = pytest.importorskip("delphi.log.result_analysis", exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings(
    "ignore:The behavior of DataFrame concatenation:FutureWarning", "ignore:DataFrameGroupBy.apply"
)

FRAME = {
    "text",
    "distance",
    "activating",
    "prediction",
    "probability",
    "correct",
    "activations",
    "latent_idx",
    "score_type",
    "module",
}
SCORERS = {
    "detection": {"kind": "detection", "model": {"provider": "pattern"}},
    "fuzzing": {"kind": "fuzzing", "model": {"provider": "pattern"}},
}


def test_without_activations_there_are_no_counts(export: Callable[..., Path]) -> None:
    folder = export("delphi") / "one-llm"
    frame, counts = peer.load_data(folder / "scores", ["layers.0"])
    assert counts is None
    assert set(frame.columns) == FRAME
    one, two = frame[frame.score_type == "detection"].to_dict("records")
    assert (one["text"], one["distance"], one["prediction"], one["probability"], one["correct"]) == (
        " a\n\u202e<end>",
        0,
        True,
        0.75,
        True,
    )
    assert (two["distance"], two["activating"], two["prediction"]) == (-1, False, None)


@pytest.fixture
def folder(finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The export of a coder whose latents were explained and judged by two scorers and, made up, by embeddings."""
    place = tmp_path / "place"
    shutil.copytree(finished_workplace, place)
    monkeypatch.chdir(place)
    embedding = {"embedding": {"kind": "embedding", "embedder": "none"}}
    with Path("params.yaml").open("a") as file:
        file.write(f"scorers: {json.dumps(SCORERS | embedding)}\n")
    for words in (["explain", "one", "pattern"], *(["score", "one", "pattern", name] for name in SCORERS)):
        assert CliRunner().invoke(main, words).exit_code == 0
    shutil.copytree(paths.scores("one", "pattern", "detection"), paths.scores("one", "pattern", "embedding"))
    judged = paths.scores("one", "pattern", "embedding") / "verdicts.parquet"
    verdicts = table.read_verdicts(judged.parent)
    import pyarrow as pa
    import pyarrow.parquet as pq

    similar = pa.array(np.where(verdicts["active"].to_numpy(zero_copy_only=False), 0.75, 0.25))
    none = pa.nulls(len(verdicts), pa.bool_())
    for name, values in (("value", similar), ("predicted", none)):
        verdicts = verdicts.set_column(verdicts.column_names.index(name), name, values)
    pq.write_table(verdicts, judged)
    said = CliRunner().invoke(main, ["export", "delphi", "out", "--coder", "one"])
    assert said.exit_code == 0, said.output
    assert "no firing counts" not in said.output
    return Path("out/one-pattern")


def test_scores_and_firing_counts_are_read_and_come_to_the_same(folder: Path) -> None:
    modules = json.loads((folder / "run_config.json").read_text())["hookpoints"]
    frame, counts = peer.load_data(folder / "scores", modules)
    assert set(frame.columns) == FRAME | {"firing_count"}
    stored = LatentStore.open(paths.latents("one")).statistic("count")
    assert counts[modules[0]].tolist() == stored.tolist()
    found = peer.get_agg_metrics(frame, counts).set_index("score_type")
    assert set(found.index) == {"detection", "fuzz", "embedding"}
    for scorer, name in (("detection", "detection"), ("fuzzing", "fuzz")):
        verdicts = table.read_verdicts(paths.scores("one", "pattern", scorer)).to_pandas()
        own = verdicts[(verdicts.explanation == "own") & verdicts.predicted.notna()]
        right = own.predicted.astype(bool) == own.active
        accuracy = (right[own.active].mean() + right[~own.active].mean()) / 2
        assert found.loc[name, "accuracy"] == pytest.approx(accuracy)
        assert found.loc[name, "total_examples"] == len(own)
    assert found.loc["embedding", "auc"] == 1.0
    assert found.loc["embedding", "total_examples"] == 0, "similarities are no predictions"
    assert set(peer.add_latent_f1(frame).columns) >= {"f1_score"}
