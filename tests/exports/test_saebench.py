from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tests.results.furnished import HOSTILE


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Config(Strict):
    model_name: str
    n_latents: int
    override_latents: list[int] | None
    dead_latent_threshold: float
    random_seed: int
    dataset_name: str
    llm_context_size: int
    llm_batch_size: int
    llm_dtype: str
    buffer: int
    no_overlap: bool
    act_threshold_frac: float
    total_tokens: int
    scoring: bool
    max_tokens_in_explanation: int
    use_demos_in_explanation: bool
    n_top_ex_for_generation: int
    n_iw_sampled_ex_for_generation: int
    n_top_ex_for_scoring: int
    n_random_ex_for_scoring: int
    n_iw_sampled_ex_for_scoring: int


class Metrics(Strict):
    autointerp_score: float
    autointerp_std_dev: float


class Latent(Strict):
    latent: int
    explanation: str
    logs: str
    predictions: list[Annotated[int, Field(ge=1)]]
    correct_seqs: Annotated[list[Annotated[int, Field(ge=1)]], Field(alias="correct seqs")]
    score: Annotated[float, Field(ge=0, le=1)]


class Evaluation(Strict):
    """Every field that SAEBench's autointerp output has."""

    eval_type_id: Literal["autointerp"]
    eval_config: Config
    eval_id: str
    datetime_epoch_millis: Annotated[int, Field(ge=0, le=9_999_999_999_999)]
    eval_result_metrics: dict[Literal["autointerp"], Metrics]
    eval_result_details: list[Any]
    sae_bench_commit_hash: str
    sae_lens_id: str
    sae_lens_release_id: str
    sae_lens_version: str
    sae_cfg_dict: dict[str, Any]
    eval_result_unstructured: dict[str, Latent]


def test_an_evaluation_has_every_field_and_the_accuracy_of_the_verdicts(export: Callable[..., Path]) -> None:
    (path,) = export("saebench").iterdir()  # of the others no verdict is known
    found = Evaluation.model_validate(json.loads(path.read_bytes()))
    assert path.name == f"{found.sae_lens_release_id}_{found.sae_lens_id}_eval_results.json"
    assert path.name == "glossa_llm_detection_one_eval_results.json"
    UUID(found.eval_id)
    (latent,) = found.eval_result_unstructured.values()
    assert (latent.latent, latent.explanation) == (2, HOSTILE)
    assert (latent.predictions, latent.correct_seqs, latent.score) == ([1], [1], 1.0), "what was not judged is left out"
    assert found.eval_result_metrics["autointerp"] == Metrics(autointerp_score=1.0, autointerp_std_dev=0.0)
    assert found.eval_config.n_latents == 1


def test_the_same_results_have_the_same_name(export: Callable[..., Path], shared: Path) -> None:
    import shutil

    (path,) = export("saebench").iterdir()
    before = path.read_bytes()
    shutil.rmtree(path.parent)
    (path,) = export("saebench").iterdir()
    assert path.read_bytes() == before
