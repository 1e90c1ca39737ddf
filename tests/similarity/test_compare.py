import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from stages import paths
from stages.cli import main
from stages.explainers.table import Explanation, write
from stages.outputs import file_sha256
from stages.similarity import table
from tests.folders import tree

ORDER = np.random.default_rng(7).permutation(24)
KINDS = ["the cat", "a dog", "number of the word", "verb"]


def explain(coder: str, texts: dict[int, str | None], explainer: str = "pattern") -> None:
    found = [Explanation(latent, text, None if text else "nothing in common", {}) for latent, text in texts.items()]
    write(paths.explanations(coder, explainer), found, {"coder": coder})


def change(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


def weights(coder: str, **changed: np.ndarray) -> None:
    file = Path("coders") / coder / "sae.safetensors"
    save_file(load_file(file) | changed, file)


@pytest.fixture
def planted(workplace: Path, model_folder: Path) -> Path:
    """Coder ``two`` is ``one`` with its latents in another ORDER, and they are explained alike, save for two."""
    directions = load_file("coders/one/sae.safetensors")["W_dec"]
    weights("two", W_dec=directions[ORDER] * 2)
    explain("one", {latent: KINDS[latent % 4] for latent in range(24) if latent != 5})
    explain("two", {place: KINDS[latent % 4] if latent != 6 else None for place, latent in enumerate(ORDER.tolist())})
    with Path("params.yaml").open("a") as file:
        file.write(f"compare: {{embedder: {model_folder}}}\n")
    return workplace


def run() -> str:
    result = CliRunner().invoke(main, ["compare"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_permuted_coder_is_found_again_and_means_the_same(planted: Path) -> None:
    said = run()
    assert said == ("compare: 1 pairs of coders, 24 matches, 22 of them explained on both sides, 4 texts embedded\n")
    matches, meta = table.read(paths.SIMILARITY)
    assert matches.schema.equals(table.matches_schema())
    rows = matches.to_pylist()
    assert [row["latent_a"] for row in rows] == list(range(24))
    assert [ORDER[row["latent_b"]] for row in rows] == list(range(24))
    assert {(row["coder_a"], row["coder_b"], row["explainer"]) for row in rows} == {("one", "two", "pattern")}
    assert [row["decoder_cosine"] for row in rows] == pytest.approx([1] * 24, abs=1e-5)
    assert (rows[5]["explanation_a"], rows[5]["explanation_b"]) == (None, "a dog")
    assert (rows[6]["explanation_a"], rows[6]["explanation_b"]) == ("number of the word", None)
    cosines = [row["explanation_cosine"] for row in rows]
    assert [i for i, value in enumerate(cosines) if value is None] == [5, 6]
    assert [value for value in cosines if value is not None] == pytest.approx([1] * 22, abs=1e-5)

    (pair,) = meta["pairs"]
    assert (pair["a"], pair["b"], pair["explainer"]) == ("one", "two", "pattern")
    assert (pair["n_matched"], pair["n_explained"], pair["reason"]) == (24, 22, None)
    assert pair["decoder_cosine"] == pytest.approx(1, abs=1e-5)
    assert abs(pair["decoder_cosine_random"]) < 0.1
    assert pair["explanation_cosine"] == pytest.approx(1, abs=1e-5)
    assert pair["low"] == pytest.approx(1, abs=1e-5)
    assert pair["floor_low"] < pair["floor"] < pair["floor_high"] < pair["low"]


def test_the_meta_says_what_it_was_made_from(planted: Path, model_folder: Path) -> None:
    run()
    meta = json.loads((paths.SIMILARITY / "meta.json").read_text())
    assert (meta["schema"], meta["version"]) == ("glossa/similarity", 1)
    file = paths.explanations("two", "pattern") / "explanations.parquet"
    assert meta["explanations_sha256"]["pattern"]["two"] == file_sha256(file)
    assert meta["coders"]["one"]["weights_sha256"] == file_sha256(Path("coders/one/sae.safetensors"))
    assert meta["embedder"]["files"] == {"model.safetensors": file_sha256(model_folder / "model.safetensors")}


def test_the_same_bytes_run_after_run(planted: Path) -> None:
    run()
    before = tree(paths.SIMILARITY)
    run()
    assert tree(paths.SIMILARITY) == before
    assert set(before) == {"matches.parquet", "meta.json"}


def test_every_two_coders_and_every_explainer_in_the_order_of_params(planted: Path) -> None:
    change("  two:", "  a_third: {path: coders/one, hookpoint: layers.1}\n  two:")
    change("  pattern: {kind: pattern}", "  pattern: {kind: pattern}\n  another: {kind: pattern}")
    explain("a_third", {latent: KINDS[latent % 4] for latent in range(24)})
    for coder in ("one", "a_third", "two"):
        explain(coder, {0: "the cat"}, "another")
    run()
    matches, meta = table.read(paths.SIMILARITY)
    expected = [
        (a, b, explainer)
        for a, b in (("one", "a_third"), ("one", "two"), ("a_third", "two"))
        for explainer in ("pattern", "another")
    ]
    assert [(pair["a"], pair["b"], pair["explainer"]) for pair in meta["pairs"]] == expected
    rows = matches.select(["coder_a", "coder_b", "explainer", "latent_a"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(*key, latent) for key in expected for latent in range(24)]
    by_key = {(pair["a"], pair["b"], pair["explainer"]): pair for pair in meta["pairs"]}
    assert by_key["one", "a_third", "another"]["reason"].startswith("only one matched pair has both explanations")
    assert by_key["one", "a_third", "pattern"]["n_explained"] == 23


def test_a_pair_does_not_depend_on_the_others(planted: Path) -> None:
    run()
    alone = table.read(paths.SIMILARITY)[1]["pairs"][0]
    change("  two:", "  third: {path: coders/one, hookpoint: layers.1}\n  two:")
    explain("third", {latent: KINDS[latent % 4] for latent in range(24)})
    run()
    pairs = table.read(paths.SIMILARITY)[1]["pairs"]
    assert alone in pairs
    assert len(pairs) == 3


def test_one_coder_has_nothing_to_be_compared_with_and_needs_no_embedder(planted: Path) -> None:
    change("  two: {path: coders/two, hookpoint: layers.1}\n", "")
    change("embedder: ", "embedder: nowhere")
    assert run().startswith("compare: 0 pairs of coders, 0 matches")
    matches, meta = table.read(paths.SIMILARITY)
    assert matches.schema.equals(table.matches_schema())
    assert (len(matches), meta["pairs"], meta["embedder"]) == (0, [], None)


def test_nothing_explained_still_matches_the_decoders(planted: Path) -> None:
    explain("two", dict.fromkeys(range(24)))
    run()
    matches, meta = table.read(paths.SIMILARITY)
    (pair,) = meta["pairs"]
    assert (len(matches), pair["n_matched"], pair["n_explained"]) == (24, 24, 0)
    assert pair["decoder_cosine"] == pytest.approx(1, abs=1e-5)
    assert (pair["explanation_cosine"], pair["floor"]) == (None, None)
    assert pair["reason"].startswith("no matched pair has both explanations")


def test_coders_of_other_widths_say_so_and_stop_nothing(planted: Path, make_coder) -> None:
    make_coder(Path("coders/wide"), seed=3, width=20)
    change("  two:", "  wide: {path: coders/wide, hookpoint: layers.1}\n  two:")
    explain("wide", {0: "verb"})
    run()
    matches, meta = table.read(paths.SIMILARITY)
    assert len(matches) == 24
    (pair,) = (pair for pair in meta["pairs"] if (pair["a"], pair["b"]) == ("one", "wide"))
    assert (pair["n_matched"], pair["decoder_cosine"], pair["explanation_cosine"]) == (0, None, None)
    assert "should have the same width to be compared, found 16 and 20" in pair["reason"]


def test_explanations_that_are_missing_are_named(planted: Path) -> None:
    (paths.explanations("two", "pattern") / "meta.json").unlink()
    result = CliRunner().invoke(main, ["compare"])
    assert result.exit_code == 1
    assert "expected glossa/explanations in data/explanations/two/pattern, but it has no meta.json" in result.stderr
    assert not paths.SIMILARITY.exists()


def test_controls_are_matched_by_what_they_write(planted: Path) -> None:
    change(
        "  two:",
        "  neurons: {kind: neurons, hookpoint: layers.1.mlp, k: 4}\n"
        "  random: {kind: random, hookpoint: layers.1, latents: 40, k: 4}\n"
        "  inside: {kind: random, hookpoint: layers.1.mlp.down_proj.input, latents: 40, k: 4}\n"
        "  two:",
    )
    down = load_file("subject/model.safetensors")["model.layers.1.mlp.down_proj.weight"]
    weights("one", W_dec=np.ascontiguousarray(down.T[:24]))
    for coder in ("neurons", "random", "inside"):
        explain(coder, {latent: KINDS[latent % 4] for latent in range(20)})
    run()
    _, meta = table.read(paths.SIMILARITY)
    pairs = {(pair["a"], pair["b"]): pair for pair in meta["pairs"]}
    assert pairs["one", "neurons"]["decoder_cosine"] == pytest.approx(1, abs=1e-5), (
        "its directions are some of the neurons'"
    )
    assert abs(pairs["one", "random"]["decoder_cosine"]) < 0.8
    assert pairs["one", "inside"]["reason"].startswith("decoder directions should have the same width")
    assert meta["coders"]["neurons"]["format"] == "neurons"
    assert meta["coders"]["random"]["seeds"] == [0, 0]
