import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.outputs import file_sha256
from stages.similarity import table
from tests.folders import tree
from tests.similarity.comparing import only, read, run
from tests.similarity.planted import KINDS, ORDER, another, change, explain, setting

SIMILARITIES = ["decoder", "encoder", "both", "pearson", "jaccard"]


def test_a_permuted_coder_is_found_again_and_means_the_same(planted: Path) -> None:
    said = run()
    assert said == "compare: 1 pairs of coders, 24 matches, 22 of them explained on both sides, 4 explanations\n"
    matches, meta = read()
    assert matches.schema.equals(table.matches_schema())
    rows = matches.to_pylist()
    assert [row["latent_a"] for row in rows] == list(range(24))
    assert [ORDER[row["latent_b"]] for row in rows] == list(range(24))
    assert {(row["coder_a"], row["coder_b"], row["explainer"]) for row in rows} == {("one", "two", "pattern")}
    assert [row["decoder_cosine"] for row in rows] == pytest.approx([1] * 24, abs=1e-5)
    assert [row["encoder_cosine"] for row in rows] == pytest.approx([1] * 24, abs=1e-5)
    assert {row["activation_correlation"] for row in rows} == {None}
    assert (rows[5]["explanation_a"], rows[5]["explanation_b"]) == (None, "a dog")
    assert (rows[6]["explanation_a"], rows[6]["explanation_b"]) == ("number of the word", None)
    cosines = [row["explanation_cosine"] for row in rows]
    assert [i for i, value in enumerate(cosines) if value is None] == [5, 6]
    assert [value for value in cosines if value is not None] == pytest.approx([1] * 22, abs=1e-5)

    (pair,) = meta["pairs"]
    assert (pair["a"], pair["b"], pair["explainer"]) == ("one", "two", "pattern")
    assert (pair["n_matched"], pair["matched_by"], pair["method"], pair["reason"]) == (
        24,
        "decoder",
        "assignment",
        None,
    )
    assert (pair["same_subject"], pair["layer_distance"], pair["controls"]) == (True, 1, [])
    for kind in ("decoder", "encoder", "both"):
        assert pair["similarity"][kind]["value"] == pytest.approx(1, abs=1e-5)
        assert abs(pair["similarity"][kind]["random"]) < 0.15
    assert pair["similarity"]["pearson"] == {
        "n": 0,
        "reason": "activations are not read unless compare.activations is true",
    }
    meaning = pair["meaning"]
    assert (meaning["cosine"]["n"], meaning["cosine"]["value"]) == (22, pytest.approx(1, abs=1e-5))
    for floor in ("random", "shuffled", "density", "frequency"):
        assert meaning["floors"][floor]["low"] < meaning["floors"][floor]["value"] < 0.95, floor
    # four classes, exchanged in 24 ways, one of which is the observed one
    assert meaning["significance"] == {"classes_a": 4, "classes_b": 4, "p": pytest.approx(1 / 24, abs=0.02)}
    assert [pair["sets"][side]["value"] for side in ("best_a", "best_b")] == pytest.approx([1, 1], abs=1e-5)
    assert pair["sets"]["energy"]["p"] > 0.5
    assert pair["sets"]["cka"]["reason"].startswith("activations are not read")
    assert -1 <= pair["firing"]["density_correlation"]["value"] <= 1
    assert pair["firing"]["density_distance"]["value"] > 0


def test_the_meta_says_what_it_was_made_from(planted: Path, model_folder: Path) -> None:
    run()
    meta = json.loads((paths.SIMILARITY / "meta.json").read_text())
    assert (meta["schema"], meta["version"]) == ("glossa/similarity", 3)
    file = paths.explanations("two", "pattern") / "explanations.parquet"
    assert meta["explanations_sha256"]["pattern"]["two"] == file_sha256(file)
    assert meta["coders"]["one"]["weights_sha256"] == file_sha256(Path("coders/one/sae.safetensors"))
    assert meta["embedder"]["files"]["model.safetensors"] == file_sha256(model_folder / "model.safetensors")


def test_the_same_bytes_run_after_run_whatever_is_remembered(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    before = tree(paths.SIMILARITY)
    run()
    assert tree(paths.SIMILARITY) == before
    monkeypatch.setenv("GLOSSA_HOME", str(planted / "elsewhere"))
    monkeypatch.setenv("GLOSSA_EMBED_AT_ONCE", "5")
    run()
    assert tree(paths.SIMILARITY) == before
    assert set(before) == {"embeddings.parquet", "lists.json", "matches.parquet", "meta.json", "splits.parquet"}


def test_only_changed_explanations_are_embedded_again(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.embeddings.embedder import Embedder

    run()
    embedded = []
    stream = Embedder.stream
    monkeypatch.setattr(Embedder, "stream", lambda self, texts: embedded.extend(texts) or stream(self, texts))
    explain("one", {latent: KINDS[latent % 4] if latent else "the dog" for latent in range(24)})
    run()
    assert embedded == ["the dog"]
    vectors, _ = table.read_embeddings(paths.SIMILARITY)
    assert sorted(vectors) == sorted([*KINDS, "the dog"])
    assert np.linalg.norm(vectors["the dog"]) == pytest.approx(1)


def test_every_two_coders_and_every_explainer_in_the_order_of_params(planted: Path) -> None:
    another("a_third")
    change("  pattern: {kind: pattern}", "  pattern: {kind: pattern}\n  another: {kind: pattern}")
    explain("a_third", {latent: KINDS[latent % 4] for latent in range(24)})
    for coder in ("one", "a_third", "two"):
        explain(coder, {0: "the cat"}, "another")
    run()
    matches, meta = read()
    expected = [
        (a, b, explainer)
        for a, b in (("one", "a_third"), ("one", "two"), ("a_third", "two"))
        for explainer in ("pattern", "another")
    ]
    assert [(pair["a"], pair["b"], pair["explainer"]) for pair in meta["pairs"]] == expected
    rows = matches.select(["coder_a", "coder_b", "explainer", "latent_a"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(*key, latent) for key in expected for latent in range(24)]
    by_key = {(pair["a"], pair["b"], pair["explainer"]): pair for pair in meta["pairs"]}
    reason = by_key["one", "a_third", "another"]["meaning"]["cosine"]["reason"]
    assert reason.startswith("only one matched pair has both explanations")
    assert by_key["one", "a_third", "pattern"]["meaning"]["cosine"]["n"] == 23


def test_only_the_pairs_that_are_asked_for(planted: Path) -> None:
    another("third")
    explain("third", {0: "verb"})
    setting(pairs=[["two", "third"], ["one", "two"]])
    run()
    assert [(pair["a"], pair["b"]) for pair in read()[1]["pairs"]] == [("two", "third"), ("one", "two")]


def test_the_order_of_two_coders_changes_no_figure(planted: Path) -> None:
    explain("one", {latent: KINDS[latent % 3] for latent in range(0, 24, 2)})
    setting(pairs=[["one", "two"]], activations=True)
    run()
    one = only()
    change('["one", "two"]', '["two", "one"]')
    run()
    other = only()
    assert (one["a"], one["b"]) == (other["b"], other["a"])
    for kind in SIMILARITIES:
        assert one["similarity"][kind]["value"] == pytest.approx(other["similarity"][kind]["value"], abs=1e-6), kind
    for floor in ("random", "shuffled"):
        found = [pair["meaning"]["floors"][floor]["value"] for pair in (one, other)]
        assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert one["meaning"]["cosine"]["value"] == pytest.approx(other["meaning"]["cosine"]["value"], abs=1e-6)
    sets = {**other["sets"], "best_a": other["sets"]["best_b"], "best_b": other["sets"]["best_a"]}
    for name, figure in one["sets"].items():
        assert figure["value"] == pytest.approx(sets[name]["value"], abs=1e-5), name
    assert one["firing"]["density_distance"]["value"] == pytest.approx(other["firing"]["density_distance"]["value"])


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([["one", "too"]], "compare.pairs names too, which is no coder; did you mean two?"),
        ([["one", "one"]], "compare.pairs should be all, neighbours, or a list of pairs of different coders"),
        ("every", "compare.pairs should be all, neighbours, or a list of pairs of different coders"),
    ],
)
def test_pairs_that_can_not_be(planted: Path, pairs: object, said: str) -> None:
    setting(pairs=pairs)
    result = CliRunner().invoke(main, ["compare"])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_pair_does_not_depend_on_the_others(planted: Path) -> None:
    run()
    alone = only()
    another("third")
    explain("third", {latent: KINDS[latent % 4] for latent in range(24)})
    run()
    pairs = read()[1]["pairs"]
    assert alone in pairs
    assert len(pairs) == 3


def test_one_coder_has_nothing_to_be_compared_with(planted: Path) -> None:
    change("  two: {path: coders/two, hookpoint: layers.1}\n", "")
    assert run() == "compare: 0 pairs of coders, 0 matches, 0 of them explained on both sides, 4 explanations\n"
    matches, meta = read()
    assert matches.schema.equals(table.matches_schema())
    assert (len(matches), meta["pairs"]) == (0, [])


def test_nothing_explained_still_matches_the_decoders_and_needs_no_embedder(planted: Path) -> None:
    explain("one", dict.fromkeys(range(24)))
    explain("two", dict.fromkeys(range(24)))
    change("embedder: ", "embedder: nowhere")
    run()
    pair = only()
    assert (len(read()[0]), pair["n_matched"], pair["meaning"]["cosine"]["n"]) == (24, 24, 0)
    assert pair["similarity"]["decoder"]["value"] == pytest.approx(1, abs=1e-5)
    assert pair["meaning"]["cosine"]["reason"].startswith("no matched pair has both explanations")
    assert pair["sets"]["energy"]["reason"] == "no latent of one of the coders is explained"
    assert table.read_embeddings(paths.SIMILARITY)[0] == {}
    assert read()[1]["embedder"] is None


def test_one_side_explained_or_one_latent_only(planted: Path) -> None:
    explain("one", dict.fromkeys(range(24)))
    run()
    assert only()["sets"]["best_a"]["reason"] == "no latent of one of the coders is explained"
    explain("one", {3: KINDS[3]})
    run()
    pair = only()
    assert (pair["meaning"]["cosine"]["n"], pair["sets"]["best_a"]["n"]) == (1, 1)
    assert pair["meaning"]["floors"]["random"]["reason"].startswith("only one matched pair has both explanations")
    assert pair["sets"]["best_a"]["value"] == pytest.approx(1, abs=1e-5)
    assert pair["sets"]["energy"]["reason"] == "fewer than two latents of one of the coders are explained"


def test_identical_coders(planted: Path) -> None:
    another("same", entry="{path: coders/one, hookpoint: layers.0}")
    explain("same", {latent: KINDS[latent % 4] for latent in range(24) if latent != 5})
    setting(pairs=[["one", "same"]], activations=True)
    run()
    pair = only()
    assert pair["layer_distance"] == 0
    rows = read()[0].to_pylist()
    assert [row["latent_a"] for row in rows] == [row["latent_b"] for row in rows]
    assert {kind: pair["similarity"][kind]["value"] for kind in SIMILARITIES} == pytest.approx(
        dict.fromkeys(SIMILARITIES, 1), abs=1e-5
    )
    assert pair["sets"]["cka"]["value"] == pytest.approx(1, abs=1e-5)
    assert pair["firing"]["density_distance"]["value"] == 0
    assert pair["firing"]["density_correlation"]["value"] == pytest.approx(1)


def test_activations_are_compared_when_asked_for(planted: Path) -> None:
    setting(activations=True)
    run()
    rows, pair = read()[0].to_pylist(), only()
    assert pair["matched_by"] == "decoder"
    known = [row for row in rows if row["activation_correlation"] is not None]
    assert len(known) == pair["similarity"]["pearson"]["n"] > 5
    assert all(-1 <= row["activation_correlation"] <= 1 and 0 <= row["activation_jaccard"] <= 1 for row in known)
    cka = pair["sets"]["cka"]
    assert 0 < cka["low"] < cka["value"] < cka["high"] < 1
