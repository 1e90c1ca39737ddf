"""What a producer publishes, and consumers who follow its versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.llm.scripted_server import Server
from tests.provenance import small
from tests.repositories import Repository
from tests.share.sharing import (
    CODERS,
    LLM,
    Published,
    change,
    locked,
    publish,
    serve,
    set_up,
)


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]
) -> Published:
    """One of its own, as it publishes a second version."""
    return set_up(tmp_path_factory.mktemp("share"), small.built(tmp_path_factory, subject_folder, make_coder))


def test_all_but_the_activations_and_what_is_in_git_is_pushed(published: Published) -> None:
    hashes = locked(published.producer)
    at_remote = {file.parent.name + file.name for file in published.store.rglob("*") if file.is_file()}
    missing = {path for path, md5 in hashes.items() if md5 not in at_remote}
    assert missing == {"data/latents/one.zarr", "data/latents/two.zarr", "results/metrics"}
    folders = [hashes[path] for path in hashes.keys() - missing]
    listed = [json.loads((published.store / "files/md5" / md5[:2] / md5[2:]).read_text()) for md5 in folders]
    assert at_remote == {*folders, *(file["md5"] for files in listed for file in files)}
    assert "Everything is up to date" in published.producer.run("dvc", "push")


def test_a_consumer_follows_the_versions_of_a_producer(published: Published, consumer: Repository) -> None:
    producer, bare, _ = published
    first, dataset = producer.read(LLM), producer.read("results/dataset")
    assert "transcript.parquet" in first
    consumer.run("dvc", "import", str(bare), LLM)
    consumer.run("dvc", "import", str(bare), "results/dataset", "--rev", "v1.0.0")
    assert consumer.read("llm") == first
    assert consumer.read("dataset") == dataset
    consumer.commit("Import")

    change(producer, 40, "explainers", "llm", "model", "max_tokens")
    with Server() as lab:
        serve(producer, lab)
        ran = producer.repro()
        assert lab.calls
    llms = {
        f"{stage} {coder} llm{rest}" for coder in CODERS for stage, rest in (("explain", ""), ("score", " detection"))
    }
    assert sorted(ran) == sorted({*llms, "compare", "report"})
    producer.commit("Second run")
    publish(producer, "v2.0.0")

    consumer.run("dvc", "update", "llm.dvc", "dataset.dvc")
    assert consumer.read("llm") == producer.read(LLM) != first
    assert consumer.read("dataset") == dataset
    consumer.run("dvc", "update", "dataset.dvc", "--rev", "v2.0.0")
    assert consumer.read("dataset") == producer.read("results/dataset") != dataset
    consumer.run("dvc", "get", str(bare), LLM, "--rev", "v1.0.0", "-o", "before")
    assert consumer.read("before") == first
    consumer.run("git", "checkout", "-q", "HEAD", "llm.dvc")
    consumer.run("dvc", "checkout", "-q", "llm.dvc")
    assert consumer.read("llm") == first


def test_a_named_artifact_is_got_by_its_version(published: Published, consumer: Repository) -> None:
    producer, bare, _ = published
    producer.run("git", "checkout", "-q", "v1.0.0")
    producer.run("dvc", "checkout", "-q", "--allow-missing")
    for name in ("explanations-one-llm", "dataset"):
        producer.run("gto", "register", name, "--version", "v1.0.0")
    producer.run("git", "push", "-q", "--tags")
    consumer.run("dvc", "artifacts", "get", str(bare), "explanations-one-llm", "--rev", "v1.0.0", "-o", "got")
    assert consumer.read("got") == producer.read(LLM)
    consumer.run("dvc", "artifacts", "get", str(bare), "dataset")
    assert consumer.read("dataset") == producer.read("results/dataset")
    assert "v1.0.0" in consumer.run("gto", "show", "dataset", "--repo", str(bare))
    said = consumer.run("dvc", "artifacts", "get", str(bare), "explanations-one-llm", "--rev", "v9.0.0", code=1)
    assert "Unable to find artifact 'explanations-one-llm @ v9.0.0'" in said


PROGRAM = """
import dvc.api, json, pandas, pyarrow.parquet
from datasets import load_dataset
with dvc.api.open("{llm}/explanations.parquet", repo="{bare}", rev="v1.0.0", mode="rb") as file:
    explained = pyarrow.parquet.read_table(file).num_rows
files = dvc.api.DVCFileSystem("{bare}", rev="v1.0.0")
texts = pandas.read_parquet("results/dataset/explanations/one.parquet", filesystem=files)
scores = load_dataset("dataset", "scores", split="train", cache_dir="cache")
print(json.dumps([explained, len(texts), sorted(set(scores["coder"])), len(scores)]))
"""


def test_programs_read_a_version_without_and_with_an_import(published: Published, consumer: Repository) -> None:
    consumer.run("dvc", "import", str(published.bare), "results/dataset", "--rev", "v1.0.0")
    said = consumer.run("python", "-c", PROGRAM.format(bare=published.bare, llm=LLM)).splitlines()
    scores = sum(pq.read_metadata(file).num_rows for file in (consumer.folder / "dataset/scores").iterdir())
    assert json.loads(said[-1]) == [24, 48, ["one", "two"], scores]
