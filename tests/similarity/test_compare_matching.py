"""By what latents are matched, and coders between which little can be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from stages import paths
from stages.cli import main
from stages.similarity import match, table
from tests.similarity.comparing import only, read, run
from tests.similarity.planted import KINDS, ORDER, another, change, explain, setting, weights

SIMILARITIES = ["decoder", "encoder", "both", "pearson", "jaccard"]


@pytest.mark.parametrize("kind", ["encoder", "both"])
def test_matching_by_other_directions(planted: Path, kind: str) -> None:
    weights("two", W_dec=np.roll(load_file("coders/two/sae.safetensors")["W_dec"], 1, axis=0))
    setting(match=kind)
    run()
    rows = read()[0].to_pylist()
    assert only()["matched_by"] == kind
    if kind == "encoder":
        assert [ORDER[row["latent_b"]] for row in rows] == list(range(24))
        assert np.mean([row["decoder_cosine"] for row in rows]) < 0.5
    mean = np.mean([(row["decoder_cosine"] + row["encoder_cosine"]) / 2 for row in rows])
    assert only()["similarity"]["both"]["value"] == pytest.approx(mean, abs=1e-5)


def test_matching_by_activations(planted: Path) -> None:
    setting(match="activations")
    run()
    pair = only()
    by_activations = pair["similarity"]["pearson"]["value"]
    assert pair["matched_by"] == "activations"
    change("match:", "activations: true, match:")
    change('"activations"', '"decoder"')
    run()
    assert only()["similarity"]["pearson"]["value"] < by_activations


def test_matching_by_meaning(planted: Path) -> None:
    setting(match="meaning")
    run()
    rows, pair = read()[0].to_pylist(), only()
    assert (pair["matched_by"], pair["n_matched"]) == ("meaning", 23)
    assert {row["latent_a"] for row in rows} <= set(range(24)) - {5}
    assert sum(row["explanation_a"] == row["explanation_b"] for row in rows) >= 22
    assert pair["similarity"]["decoder"]["value"] < 0.6
    reason = "latents were matched by their explanations, so that these are alike is no evidence"
    assert pair["meaning"]["significance"] == {"reason": reason}


def test_beyond_what_can_be_assigned_nearest_latents_are_sought_once(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    assigned = read()[0]
    sought = []
    nearest = match.nearest
    monkeypatch.setattr(match, "MOST", 20)
    monkeypatch.setattr(match, "nearest", lambda similarity: sought.append(similarity) or nearest(similarity))
    monkeypatch.setenv("GLOSSA_HOME", str(planted / "elsewhere"))
    run()
    assert only()["method"] == "mutual"
    assert read()[0].equals(assigned)
    assert len(sought) == 2, "by direction and by meaning"


def test_coders_of_other_widths_are_compared_by_meaning_alone(planted: Path, make_coder) -> None:
    make_coder(Path("coders/wide"), seed=3, width=20)
    another("wide", entry="{path: coders/wide, hookpoint: layers.1}")
    explain("wide", {0: "verb", 1: "the cat", 2: "a dog"})
    setting(pairs=[["one", "wide"]])
    run()
    pair = only()
    assert (len(read()[0]), pair["n_matched"], pair["method"]) == (0, 0, None)
    assert pair["reason"] == "the coders write to spaces of different widths, 16 and 20"
    assert pair["similarity"]["encoder"]["reason"] == "the coders read spaces of different widths, 16 and 20"
    assert pair["sets"]["best_b"]["value"] == pytest.approx(1, abs=1e-5)
    assert "value" in pair["firing"]["density_distance"]
    change("pairs:", "match: meaning, pairs:")
    run()
    assert only()["n_matched"] == 3
    assert only()["meaning"]["cosine"]["value"] == pytest.approx(1, abs=1e-5)


def test_coders_of_different_subjects(planted: Path) -> None:
    """The same weights read with a subject that was never trained; its examples say so."""
    another("untrained", entry="{path: coders/one, hookpoint: layers.0, weights: random}")
    file = paths.examples("untrained") / "meta.json"
    meta = json.loads(file.read_text())
    meta["subject"]["sha256"] = "0" * 64
    file.write_text(json.dumps(meta))
    explain("untrained", {latent: KINDS[latent % 4] for latent in range(24)})
    setting(pairs=[["one", "untrained"]], activations=True)
    run()
    pair = only()
    assert (pair["same_subject"], pair["layer_distance"]) == (False, None)
    assert pair["reason"] == "the coders belong to different subjects, whose activations share no space"
    assert {pair["similarity"][kind]["reason"] for kind in ("decoder", "encoder", "both")} == {pair["reason"]}
    assert pair["sets"]["cka"]["value"] == pytest.approx(1, abs=1e-5), "they fire on the same tokens"
    assert pair["sets"]["best_a"]["value"] == pytest.approx(1, abs=1e-5)


def test_a_coder_of_another_project(planted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other project"
    for path in (paths.examples("two"), paths.explanations("two", "pattern")):
        shutil.copytree(path, other / path)
    setting(others={"theirs": {"path": str(other), "coder": "two"}}, pairs=[["one", "theirs"]], match="meaning")
    run()
    pair = only()
    assert (pair["b"], pair["n_matched"]) == ("theirs", 23)
    assert pair["meaning"]["cosine"]["n"] == 23
    assert pair["similarity"]["decoder"]["reason"] == "a coder of another project has no weights or activations here"
    assert pair["meaning"]["floors"]["frequency"]["reason"] == "no two pairs can be exchanged"
    assert "value" in pair["meaning"]["floors"]["density"]
    change('{"theirs"', '{"one"')
    result = CliRunner().invoke(main, ["compare"])
    assert "the name compare.others.one should hold only a-z, 0-9 and _ and be no coder's; rename it" in result.stderr


def test_explanations_that_are_missing_are_named(planted: Path) -> None:
    (paths.explanations("two", "pattern") / "meta.json").unlink()
    result = CliRunner().invoke(main, ["compare"])
    assert result.exit_code == 1
    assert "expected glossa/explanations in data/explanations/two/pattern, but it has no meta.json" in result.stderr
    assert not paths.SIMILARITY.exists()


def test_controls_are_matched_by_what_they_write(planted: Path) -> None:
    another("neurons", entry="{kind: neurons, hookpoint: layers.1.mlp, k: 4}")
    another("random", entry="{kind: random, hookpoint: layers.1, latents: 40, k: 4}")
    another("inside", entry="{kind: random, hookpoint: layers.1.mlp.down_proj.input, latents: 40, k: 4}")
    for name in ("neurons", "random", "inside"):
        explain(name, {latent: KINDS[latent % 4] for latent in range(20)})
    down = load_file("subject/model.safetensors")["model.layers.1.mlp.down_proj.weight"]
    weights("one", W_dec=down.T[:24])
    run()
    _, meta = read()
    pairs = {(pair["a"], pair["b"]): pair for pair in meta["pairs"]}
    of_neurons = pairs["one", "neurons"]
    assert of_neurons["similarity"]["decoder"]["value"] == pytest.approx(1, abs=1e-5), (
        "its directions are some of theirs"
    )
    assert (
        of_neurons["similarity"]["encoder"]["reason"] == "the second coder has no encoder directions: it has no encoder"
    )
    assert (of_neurons["controls"], of_neurons["layer_distance"]) == (["neurons"], 1)
    assert abs(pairs["one", "random"]["similarity"]["decoder"]["value"]) < 0.8
    assert pairs["one", "inside"]["reason"] == (
        "the coders write to different spaces, the residual stream and layers.1.mlp.down_proj.input"
    )


def test_split_latents_are_found_as_splits(planted: Path) -> None:
    one = load_file("coders/one/sae.safetensors")["W_dec"]
    wide = np.concatenate([one[:20], one[20:] + 0.1 * one[:4], one[20:] - 0.1 * one[:4]])
    shutil.copytree("coders/one", "coders/wide")
    config = json.loads(Path("coders/wide/cfg.json").read_text())
    Path("coders/wide/cfg.json").write_text(json.dumps(config | {"num_latents": 28}))
    weights("wide", W_dec=wide, **{"encoder.weight": wide, "encoder.bias": np.zeros(28, np.float32)})
    another("wide", entry="{path: coders/wide, hookpoint: layers.0}")
    explain("wide", {0: "verb"})
    setting(pairs=[["one", "wide"]])
    run()
    found = pa.parquet.read_table(paths.SIMILARITY / "splits.parquet")
    assert found.schema.equals(table.splits_schema())
    split = [row for row in found.to_pylist() if row["latent"] >= 20 and row["coder"] == "one"]
    assert [(row["latent"], row["other"], sorted(row["latents"])) for row in split] == [
        (20 + i, "wide", [20 + i, 24 + i]) for i in range(4)
    ]
    assert [row["joint_cosine"] for row in split] == pytest.approx([1] * 4, abs=1e-4)


def test_the_lists_people_read(planted: Path) -> None:
    """Latent 3 means something else in ``two``, and latents 8 and 9 exchange a meaning that is theirs alone."""
    said = {latent: KINDS[latent % 4] for latent in range(24)}
    explain("one", said | {8: "the word", 9: "the verb of a cat"})
    theirs = said | {3: "the dog", 8: "the verb of a cat", 9: "the word"}
    explain("two", {place: theirs[latent] for place, latent in enumerate(ORDER.tolist())})
    run()
    lists = json.loads((paths.SIMILARITY / "lists.json").read_text())["pattern"]
    ((pair),) = lists["pairs"]
    assert (pair["a"], pair["b"], pair["direction"]) == ("one", "two", "decoder")
    noisy = pair["same_direction_different_meaning"]
    assert {entry["latent_a"] for entry in noisy[:3]} == {3, 8, 9}
    assert [entry["meaning"] for entry in noisy] == sorted(entry["meaning"] for entry in noisy)
    three = next(entry for entry in noisy if entry["latent_a"] == 3)
    assert (three["explanation_a"], three["explanation_b"]) == (KINDS[3], "the dog")
    assert (ORDER[three["latent_b"]], three["direction"]) == (3, pytest.approx(1, abs=1e-5))
    moved = {(entry["latent_a"], int(ORDER[entry["latent_b"]])) for entry in pair["same_meaning_different_direction"]}
    one = load_file("coders/one/sae.safetensors")["W_dec"]
    expected = {(8, 9), (9, 8)} if one[8] @ one[9] < 0.3 else set()
    assert moved == expected, "shared explanations are left out"
    unique = lists["unique"]["one"]
    assert len(unique) == 20
    assert unique[0]["nearest_coder"] == "two"
    assert unique[0]["direction"] == pytest.approx(1, abs=1e-5)
    (family,) = lists["chains"]
    assert (family["coders"], family["counts"]) == (["one", "two"], {"2": 24})
    assert all(ORDER[chain[1]["latent"]] == chain[0]["latent"] for chain in family["chains"])


def test_the_ceiling_is_what_the_explainer_says_of_two_halves(planted: Path) -> None:
    setting(ceiling=4)
    run()
    ceilings = read()[1]["ceilings"]
    assert set(ceilings) == {"pattern"}
    assert set(ceilings["pattern"]) == {"one", "two"}
    for found in ceilings["pattern"].values():
        assert found["n"] <= 4
        assert found.get("value", 0) <= 1 + 1e-6
    assert max(found["n"] for found in ceilings["pattern"].values()) > 0
    assert not (paths.SIMILARITY / "transcript.parquet").exists()
