from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages import params, paths
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.explainers.table import Explanation, rows
from stages.exports.neuronpedia import Source, _release, logits
from stages.outputs import write_table
from tests.results import furnished as f
from tests.results.furnished import HOSTILE, PARAMS, furnish

Export = Callable[..., Path]

TABLES = {
    "features": "modelId layer index sourceSetName creatorId createdAt maxActApprox hasVector vector vectorLabel "
    "vectorDefaultSteerStrength hookName topkCosSimIndices topkCosSimValues neuron_alignment_indices neuron_alignment_values "
    "neuron_alignment_l1 correlated_neurons_indices correlated_neurons_pearson correlated_neurons_l1 correlated_features_indices "
    "correlated_features_pearson correlated_features_l1 neg_str neg_values pos_str pos_values frac_nonzero "
    "freq_hist_data_bar_heights freq_hist_data_bar_values logits_hist_data_bar_heights logits_hist_data_bar_values "
    "decoder_weights_dist",
    "activations": "id modelId layer index tokens values maxValue maxValueTokenIndex minValue creatorId createdAt dataIndex "
    "dataSource dfaValues dfaTargetIndex dfaMaxValue lossValues logitContributions binMin binMax binContains "
    "qualifyingTokenIndex",
    "explanations": "id modelId layer index description authorId embedding triggeredById typeName explanationModelName notes "
    "createdAt",
    "source": "id modelId setName creatorId hasDashboards inferenceEnabled saelensConfig saelensRelease saelensSaeId hfRepoId "
    "hfFolderId visibility defaultOfModelId hasUmap hasUmapLogSparsity hasUmapClusters num_prompts num_tokens_in_prompt "
    "dataset notes createdAt",
    "sourceset": "modelId name creatorId hasDashboards visibility description type creatorName urls creatorEmail releaseName "
    "defaultOfModelId defaultRange defaultShowBreaks showDfa showCorrelated showHeadAttribution showUmap createdAt",
    "release": "name description creatorName creatorId visibility isNewUi featured descriptionShort urls creatorEmail "
    "creatorNameShort defaultSourceSetName defaultSourceId defaultUmapSourceIds createdAt",
    "model": "id instruct creatorId displayNameShort displayName tlensId dimension visibility defaultSourceSetName "
    "defaultSourceId inferenceEnabled layers neuronsPerLayer createdAt owner updatedAt website",
}
"""The columns of Neuronpedia's tables."""
REQUIRED = {
    "features": "modelId layer index",
    "activations": "modelId layer index tokens values maxValue maxValueTokenIndex minValue creatorId",
    "explanations": "id modelId layer index description authorId",
    "source": "id modelId setName creatorId",
    "sourceset": "modelId name description creatorName creatorId urls",
    "release": "name description creatorName creatorId urls",
    "model": "id creatorId layers neuronsPerLayer owner",
}
"""Those that may not be null and have no default."""


def records(place: Path, table: str) -> list[dict[str, Any]]:
    if (file := place / f"{table}.jsonl").is_file():
        text = file.read_text("utf-8")
    else:
        files = sorted((place / table).iterdir())
        text = "".join(gzip.decompress(file.read_bytes()).decode() for file in files)
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.mark.parametrize("table", TABLES)
def test_lines_have_columns_that_are_there_and_all_that_must_be(export: Export, table: str) -> None:
    place = export("neuronpedia") / "subject" / "0-one"
    found = records(place, table)
    assert found
    for record in found:
        assert list(record) == list(found[0]), "the importer goes by the first line"
        assert set(record) <= set(TABLES[table].split())
        assert all(record[name] is not None for name in REQUIRED[table].split())


def test_records_refer_to_each_other(export: Export) -> None:
    folder = export("neuronpedia")
    for source in ("0-one", "1-two"):
        place = folder / "subject" / source
        (about,), (group,), (release,), (model,) = (
            records(place, table) for table in ("source", "sourceset", "release", "model")
        )
        assert (about["id"], about["modelId"], about["setName"]) == (source, model["id"], group["name"])
        assert group["releaseName"] == release["name"]
        features = {(record["modelId"], record["layer"], record["index"]) for record in records(place, "features")}
        assert features == {(model["id"], source, "2"), (model["id"], source, "7")}
        for table in ("activations", "explanations"):
            found = records(place, table)
            assert {(record["modelId"], record["layer"], record["index"]) for record in found} <= features
            assert len({record["id"] for record in found}) == len(found)
            assert {len(record["id"]) for record in found} == {25}
        assert {file.name for file in (place / "features").iterdir()} == {
            file.name for file in (place / "activations").iterdir()
        }


def test_a_feature_tells_density_logits_and_histogram(export: Export) -> None:
    found = records(export("neuronpedia") / "subject" / "0-one", "features")[0]
    assert (found["frac_nonzero"], found["maxActApprox"], found["hookName"]) == (0.1875, 8.0, "layers.0")
    assert (found["pos_str"], found["pos_values"]) == ([" cat", "</script>"], [1.5, 1.25])
    assert (found["neg_str"], found["neg_values"]) == (["\x1b[2J"], [-1.0])
    assert found["freq_hist_data_bar_heights"] == [6, 4, 2]
    assert found["freq_hist_data_bar_values"] == pytest.approx([8 / 6, 4, 40 / 6])


def test_parts_of_characters_among_logits_are_spelt() -> None:
    facts = {"top_tokens": [f.CAT, f.E1, f.E2], "top_values": [3.0, 2.0, 1.0]}
    assert logits(facts, "top", f.vocabulary()) == ([" cat", r"\xc3", r"\xa9"], [3.0, 2.0, 1.0])


def test_activations_are_the_windows_the_strongest_first(export: Export) -> None:
    found = [row for row in records(export("neuronpedia") / "subject" / "0-one", "activations") if row["index"] == "2"]
    assert [row["maxValue"] for row in found] == [8.0, 7.0, 5.0, 4.0, 2.0, 0.25]
    assert (found[0]["tokens"], found[0]["values"]) == ([" cat", "</script>", " a", " a"], [8.0, 0.0, 0.0, 0.0])
    assert (found[1]["maxValueTokenIndex"], found[1]["minValue"], found[1]["dataIndex"]) == (1, 0.0, "4")
    assert {row["binMin"] for row in found} == {-1}


def test_weaker_windows_stand_under_their_decile(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.exports.neuronpedia.TOP", 4)
    found = [row for row in records(export("neuronpedia") / "subject" / "0-one", "activations") if row["index"] == "2"]
    bins = [(row["binMin"], row["binMax"], row["binContains"]) for row in found]
    # The third decile holds a train window of 2 and a test window of 0.25.
    assert bins == [(-1, -1, -1)] * 4 + [(0.25, 2.0, 0.1)] * 2


def test_a_feature_has_its_vector_and_the_histogram_of_its_logits(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(finished_workplace, place)
    monkeypatch.chdir(place)
    assert CliRunner().invoke(main, ["explain", "one", "pattern"]).exit_code == 0
    said = CliRunner().invoke(main, ["export", "neuronpedia", "out", "--coder", "one", "--model-id", "tiny-llama"])
    assert said.exit_code == 0, said.output
    assert "no vectors" not in said.output
    found = records(Path("out/tiny-llama/0-one"), "features")
    assert len(found) > 10
    for feature in found:
        assert feature["modelId"] == "tiny-llama"
        assert (feature["hasVector"], len(feature["vector"])) == (True, 16)
        assert np.linalg.norm(feature["vector"]) == pytest.approx(1, rel=1e-5)
        heights, centres = (feature[f"logits_hist_data_bar_{name}"] for name in ("heights", "values"))
        assert len(heights) == len(centres) == 50
        assert all(centres[0] < value < centres[-1] + 1 for value in feature["pos_values"])
    (model,) = records(Path("out/tiny-llama/0-one"), "model")
    assert (model["id"], model["displayName"]) == ("tiny-llama", "subject")


def test_what_a_model_is_called_there_is_said_for_formats_that_name_one(shared: Path, export: Export) -> None:
    assert (
        (export("neuronpedia-upload", "--model-id", "gpt2-small") / "0-one/batch-0.json")
        .read_text()
        .startswith('{"modelId": "gpt2-small"')
    )
    said = CliRunner().invoke(main, ["export", "csv", "out", "--model-id", "gpt2-small"])
    assert said.exit_code == 1
    assert (
        said.output
        == "Error: --model-id is an option of neuronpedia and neuronpedia-upload, not of csv; leave it out\n"
    )


def test_scores_stand_in_the_notes_and_names_that_are_not_registered_too(export: Export) -> None:
    found = {
        row["notes"].split(" ")[0]: row
        for row in records(export("neuronpedia") / "subject" / "0-one", "explanations")[:2]
    }
    assert found["llm"]["description"] == HOSTILE
    assert (found["llm"]["typeName"], found["pattern"]["typeName"]) == ("eleuther_acts_top20", None)
    assert found["llm"]["explanationModelName"] is None
    assert "detection balanced_accuracy 0.800 [0.700, 0.900], floor 0.500" in found["llm"]["notes"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Logit(Strict):
    token: str
    value: float


class Explained(Strict):
    text: Annotated[str, Field(min_length=1, max_length=512)]
    methodName: Annotated[str, Field(min_length=1)]  # noqa: N815
    modelName: Annotated[str, Field(min_length=1)]  # noqa: N815


class Activation(Strict):
    tokens: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1024)]
    values: list[float]
    quantileMax: float  # noqa: N815
    quantileMin: float  # noqa: N815
    quantileFraction: Annotated[float, Field(ge=0, le=1)]  # noqa: N815

    @model_validator(mode="after")
    def a_value_for_every_token(self) -> Activation:
        assert len(self.tokens) == len(self.values)
        return self


class Feature(Strict):
    index: Annotated[int, Field(ge=0, le=10_000_000)]
    density: Annotated[float, Field(ge=0, le=1)]
    topLogits: Annotated[list[Logit], Field(max_length=20)]  # noqa: N815
    bottomLogits: Annotated[list[Logit], Field(max_length=20)]  # noqa: N815
    explanations: list[Explained]
    activations: Annotated[list[Activation], Field(min_length=1)]


class Body(Strict):
    """What upload-batch accepts."""

    modelId: str  # noqa: N815
    source: str
    features: Annotated[list[Feature], Field(min_length=1, max_length=128)]


def test_uploads_are_what_the_api_accepts(export: Export) -> None:
    folder = export("neuronpedia-upload")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")) == [
        "0-one/batch-0.json",
        "1-two/batch-0.json",
    ]
    body = Body.model_validate(json.loads((folder / "0-one" / "batch-0.json").read_bytes()))
    assert (body.modelId, body.source) == ("subject", "0-one")
    two, seven = body.features
    assert (two.index, seven.index) == (2, 7)
    assert {text.methodName: text.text for text in two.explanations} == {
        "glossa_pattern": "the word cat",
        "eleuther_acts_top20": HOSTILE,
    }
    assert [text.text for text in seven.explanations] == ["dogs"], "a latent without an explanation says none"
    assert two.activations[0].values == [8.0, 0.0, 0.0, 0.0]
    assert (two.activations[-1].quantileMin, two.activations[-1].quantileMax) == (0.25, 2.0)


def test_a_long_explanation_is_cut_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.exports import neuronpedia_upload

    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    entry = "llm: {kind: default, model: {provider: openai, endpoint: lab, model: org/big-70b}}"
    (tmp_path / "params.yaml").write_text(PARAMS.replace("llm: {kind: default}", entry))
    long = rows([Explanation(2, "x" * 600, None, {}), Explanation(7, "a\0b", None, {})])
    write_table(paths.explanations("one", "llm") / "explanations.parquet", long)
    out = tmp_path / "out"
    out.mkdir()
    said = neuronpedia_upload.write(params.load(), out)
    assert said == "4 latents, 1 explanations cut to 512 characters"
    body = Body.model_validate(json.loads((out / "0-one" / "batch-0.json").read_bytes()))
    texts = [text for feature in body.features for text in feature.explanations if text.modelName == "big-70b"]
    assert [text.text for text in texts] == ["x" * 511 + "…", "a␀b"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "saelens://gemma-scope-2b-pt-res/layer_0/width_16k@v1",
            ("gemma-scope-2b-pt-res", "layer_0/width_16k", None, None),
        ),
        ("hub://some/coders/resid1", (None, None, "some/coders", "resid1")),
        ("coders/one", (None, None, None, None)),
    ],
)
def test_a_source_names_where_its_coder_lies(
    shared: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: tuple[str | None, ...]
) -> None:
    monkeypatch.chdir(shared)
    p = params.load()
    moved = p.model_copy(update={"coders": {"one": p.coders["one"].model_copy(update={"path": path})}})
    coder: Any = SimpleNamespace(name="one", hookpoint="layers.0")
    source = dict(_release(moved, coder, Source.of(p, coder), Tokens.open()))["source"]
    assert tuple(source[key] for key in ("saelensRelease", "saelensSaeId", "hfRepoId", "hfFolderId")) == expected
