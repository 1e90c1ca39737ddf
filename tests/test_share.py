"""A producer, consumers and colleagues, each with git and DVC of their own, between them a bare repository and a remote."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.clones import ROOT
from tests.llm.scripted_server import Server
from tests.provenance import small
from tests.repositories import Repository

LLM = "data/explanations/one/llm"
CODERS = list(small.PARAMS["coders"])
SCORES = [f"score {coder} {explainer} detection" for coder in CODERS for explainer in small.EXPLAINERS]


class Published(NamedTuple):
    """A project that was pushed, code to a bare repository and data to a folder, under the tag v1.0.0."""

    producer: Repository
    bare: Path
    store: Path


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]
) -> Published:
    place = tmp_path_factory.mktemp("share")
    built = small.built(place / "built", subject_folder, make_coder)
    shutil.copytree(built, place / "producer")
    for name in ("tmp", "site"):
        shutil.rmtree(place / "producer/.dvc" / name)
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, place / "producer" / name)
    producer = Repository(place / "producer")
    producer.run("git", "init", "-q", "-b", "main")
    producer.run("dvc", "remote", "add", "-q", "-d", "store", str(place / "store"))
    producer.commit("First run")
    found = Published(producer, place / "bare.git", place / "store")
    producer.run("git", "clone", "-q", "--bare", ".", str(found.bare))
    producer.run("git", "remote", "add", "origin", str(found.bare))
    publish(producer, "v1.0.0")
    return found


def publish(producer: Repository, tag: str) -> None:
    producer.run("dvc", "push")
    producer.run("git", "tag", tag)
    producer.run("git", "push", "-q", "origin", "main", tag)


@pytest.fixture
def consumer(tmp_path: Path) -> Repository:
    return Repository.empty(tmp_path / "consumer")


@pytest.fixture
def colleague(published: Published, tmp_path: Path) -> Repository:
    return Repository.clone(published.bare, tmp_path / "colleague", "v1.0.0")


@pytest.fixture
def server(colleague: Repository) -> Iterator[Server]:
    """The language model, where the colleague's runtime.yaml says."""
    with Server() as server:
        serve(colleague, server)
        yield server


def serve(repository: Repository, server: Server) -> None:
    endpoints = {"lab": {"base_url": server.url, "concurrency": 8}}
    (repository.folder / "runtime.yaml").write_text(json.dumps({"device": "cpu", "endpoints": endpoints}))


def change(repository: Repository, value: object, *keys: str) -> None:
    """Sets a value of params.yaml."""
    file = repository.folder / "params.yaml"
    params = section = json.loads(file.read_text())
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    file.write_text(json.dumps(params, indent=1))


def locked(repository: Repository) -> dict[str, str]:
    """The outputs in DVC's lock files, and their hashes; without fingerprints.json, which is in git and follows params.yaml."""
    outs = (out for stage in stages_locked(repository).values() for out in stage["outs"])
    return {out["path"]: out["md5"] for out in outs if out["path"] != "fingerprints.json"}


def stages_locked(repository: Repository) -> dict[str, Any]:
    """The entries of DVC's lock files by what DVC calls the stages."""
    found: dict[str, Any] = dict(YAML(typ="safe").load(repository.folder / "dvc.lock")["stages"])
    for file in sorted(repository.folder.glob("pipelines/*/dvc.lock")):
        pipeline = file.relative_to(repository.folder).with_suffix(".yaml").as_posix()
        found |= {f"{pipeline}:{name}": entry for name, entry in YAML(typ="safe").load(file)["stages"].items()}
    return found


def test_all_but_the_activations_and_what_is_in_git_is_pushed(published: Published) -> None:
    hashes = locked(published.producer)
    at_remote = {file.parent.name + file.name for file in published.store.rglob("*") if file.is_file()}
    missing = {path for path, md5 in hashes.items() if md5 not in at_remote}
    assert missing == {"data/latents/one.zarr", "data/latents/two.zarr", "results/metrics.json"}
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


def test_a_colleague_reruns_only_what_changed(published: Published, colleague: Repository) -> None:
    was = locked(published.producer)
    colleague.run("dvc", "pull", "--allow-missing")
    change(colleague, 2, "report", "examples")
    assert colleague.repro("--allow-missing") == ["report"]
    now = locked(colleague)
    assert {path for path in now if now[path] != was[path]} == {"results/report"}
    assert not list((colleague.folder / "data/latents").iterdir())


def test_what_a_changed_stage_reads_is_pulled_on_the_way(colleague: Repository) -> None:
    options = ("--pull", "--allow-missing")
    assert colleague.repro(*options) == []
    assert not (colleague.folder / "data").exists()
    change(colleague, 2, "report", "examples")
    assert colleague.repro(*options) == ["report"]
    assert not (colleague.folder / "data/latents").exists()


def test_what_a_changed_stage_reads_beside_its_dependencies_is_pulled_too(
    published: Published, colleague: Repository, server: Server
) -> None:
    change(colleague, 3, "scorers", "detection", "examples_per_prompt")
    assert sorted(colleague.repro("--pull", "--allow-missing")) == sorted([*SCORES, "report"])
    assert server.calls
    read = ["data/tokens", *(f"data/{kind}/{coder}" for kind in ("examples", "explanations") for coder in CODERS)]
    for folder in read:
        assert colleague.read(folder) == published.producer.read(folder)
    assert not (colleague.folder / "data/latents").exists()
    assert audited(colleague)["identities"]["failed"] == 0


def test_what_a_stage_reads_beside_its_dependencies_is_asked_for_in_one_sentence(colleague: Repository) -> None:
    colleague.run("dvc", "pull", "data/explanations/one/pattern")
    colleague.run("dvc", "remote", "remove", "store")
    change(colleague, 3, "scorers", "detection", "examples_per_prompt")
    stage = "pipelines/one/dvc.yaml:score@pattern-detection"
    said = colleague.run("dvc", "repro", "--allow-missing", stage, code=255)
    assert re.search(
        r"Error: score one pattern detection reads data/tokens, data/examples/one, which should be here, but is not, and dvc pull does not "
        r"bring it \(.*\); run dvc pull data/tokens data/examples/one, or dvc repro without --allow-missing, which makes it anew\n",
        said,
    )
    assert "Traceback" not in said


def test_a_change_of_the_vocabulary_alone_reaches_what_depends_on_no_tokens(
    colleague: Repository, server: Server
) -> None:
    """No stage behind the sample depends on the tokens: the hashes that outputs hold of each other carry the change."""
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    file = colleague.folder / "data/tokens/vocabulary.parquet"
    table = pq.read_table(file)
    counts = pa.array([count + 1 for count in table["count"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(table.column_names.index("count"), "count", counts), file)
    colleague.run("dvc", "commit", "-f", "tokenize")
    ran = colleague.repro("pipelines/one/dvc.yaml:score@pattern-detection")
    assert ran == ["cache one", "sample one", "explain one pattern", "score one pattern detection"]
    after = locked(colleague)
    changed = {path for path in after if after[path] != before[path]}
    assert {"data/tokens", "data/examples/one", "data/explanations/one/pattern"} <= changed
    assert "data/latents/one.zarr" not in changed, "they name the matrix alone, which is the same"


def test_activations_that_nobody_pushed_are_made_anew(colleague: Repository) -> None:
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    examples = colleague.read("data/examples/one")
    change(colleague, 6, "sampling", "min_activations")
    said = colleague.run("dvc", "repro", "--allow-missing", "pipelines/one/dvc.yaml:sample", code=255)
    assert re.search(
        r"failed to reproduce 'pipelines/one/dvc.yaml:sample': .* No such file or directory: '.*/data/latents/one.zarr'",
        said,
    )
    assert locked(colleague) == before
    colleague.run("dvc", "checkout", "data/examples/one")  # which DVC took away before it looked for the activations
    assert colleague.read("data/examples/one") == examples
    assert colleague.repro("pipelines/one/dvc.yaml:sample") == ["cache one", "sample one"]
    after = locked(colleague)
    assert {path for path in after if after[path] != before[path]} <= {"data/examples/one"}
    assert not list(colleague.folder.rglob("*.partial"))


def test_transcripts_that_were_pulled_answer_all_questions(colleague: Repository, server: Server) -> None:
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    assert "288 answers are new, 0 known, from 6" in colleague.run("glossa", "journal", "import", "data")
    lock = stages_locked(colleague)
    asked = {LLM: "explain one llm", "data/scores/one/llm/detection": "score one llm detection"}
    names = [name for name, stage in lock.items() if stage["outs"][0]["path"] in asked]
    assert sorted(colleague.repro("--force", "--single-item", *names)) == sorted(asked.values())
    assert server.calls == []
    assert locked(colleague) == before


def test_an_audit_tells_what_it_can_not_check_of_what_was_pulled(colleague: Repository) -> None:
    nothing = audited(colleague, code=2)
    assert nothing["activations"]["checked"] == 0
    colleague.run("dvc", "pull", "--allow-missing")
    found = audited(colleague)
    without = {name: check["not_checkable"][0]["items"] for name, check in found.items() if check["not_checkable"]}
    stores = ["data/latents/one.zarr", "data/latents/two.zarr"]
    examples = ["data/examples/one", "data/examples/two"]
    assert without.pop("journal")
    assert without == {
        "outputs": stores,
        "identities": stores,
        "stores": stores,
        "silent": examples,
        "windows": examples,
    }
    assert {name for name, check in found.items() if not check["checked"]} == {
        "stores", "silent", "windows", "journal", "held_out",
    }  # fmt: skip


def audited(repository: Repository, code: int = 0) -> dict[str, dict[str, Any]]:
    """What an audit that finds nothing wrong says of every check; one that finds nothing at all ends with the ``code`` 2."""
    said = repository.run("glossa", "audit", "--json", code=code)
    told = json.loads(said[said.index("{") :])  # behind the bars
    assert told["sound"] == (code == 0)
    return {check["name"]: check for check in told["checks"]}


class Store(NamedTuple):
    """A store of objects that speaks S3, with a bucket `explanations`, and lets nobody in without the keys."""

    endpoint: str
    keys: dict[str, str]
    """Environment of whoever may read and write."""
    client: Any

    @property
    def objects(self) -> set[str]:
        """The keys of all objects."""
        return {found["Key"] for found in self.client.list_objects_v2(Bucket="explanations").get("Contents", ())}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    import boto3
    from moto import settings
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        login = {"region_name": "eu-central-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        users = boto3.client("iam", endpoint_url=endpoint, **login)
        users.create_user(UserName="lab")
        everything = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, "Version": "2012-10-17"}
        users.put_user_policy(UserName="lab", PolicyName="all", PolicyDocument=json.dumps(everything))
        made = users.create_access_key(UserName="lab")["AccessKey"]
        login |= {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        client = boto3.client("s3", endpoint_url=endpoint, **login)
        client.create_bucket(
            Bucket="explanations", CreateBucketConfiguration={"LocationConstraint": login["region_name"]}
        )
        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from here on keys are checked
        names = {"AWS_DEFAULT_REGION": "region_name"} | {name.upper(): name for name in login if name.startswith("aws")}
        yield Store(endpoint, {name: login[key] for name, key in names.items()}, client)
    finally:
        server.stop()


def test_an_s3_compatible_store_is_a_remote(
    published: Published, colleague: Repository, consumer: Repository, store: Store, tmp_path: Path
) -> None:
    colleague.run("git", "switch", "-q", "-c", "s3")
    colleague.run("dvc", "pull", "-q", "--allow-missing")
    colleague.run("dvc", "remote", "add", "-q", "-d", "s3", "s3://explanations/demo")
    colleague.run("dvc", "remote", "modify", "s3", "endpointurl", store.endpoint)
    colleague.commit("Another remote")
    bare = tmp_path / "bare.git"
    colleague.run("git", "clone", "-q", "--bare", ".", str(bare))

    wrong = store.keys | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    assert "Unable to locate credentials" in colleague.run("dvc", "push", code=255)
    assert "Forbidden" in colleague.run("dvc", "push", code=255, **wrong)
    assert store.objects == set()
    colleague.run("dvc", "push", **store.keys)
    files = {str(file.relative_to(published.store)) for file in published.store.rglob("*") if file.is_file()}
    assert {key.removeprefix("demo/") for key in store.objects} <= files

    consumer.commit("Start")
    assert "Forbidden" in consumer.run("dvc", "import", str(bare), LLM, code=255, **wrong)
    assert consumer.run("git", "status", "--porcelain") == ""
    consumer.run("dvc", "import", str(bare), LLM, **store.keys)
    assert consumer.read("llm") == colleague.read(LLM)
    other = Repository.clone(bare, tmp_path / "other", "s3")
    other.run("dvc", "pull", "--allow-missing", **store.keys)
    for folder in ("data", "results"):
        assert other.read(folder) == colleague.read(folder)


def test_what_is_not_at_the_remote_is_an_error(
    published: Published, colleague: Repository, consumer: Repository, tmp_path: Path
) -> None:
    colleague.run("git", "switch", "-q", "-c", "elsewhere")
    colleague.run("dvc", "remote", "modify", "-q", "store", "url", str(tmp_path / "store"))
    colleague.commit("Another remote")
    bare = tmp_path / "bare.git"
    colleague.run("git", "clone", "-q", "--bare", ".", str(bare))
    consumer.commit("Start")
    assert "failed to load directory" in consumer.run("dvc", "import", str(bare), LLM, code=255)
    assert consumer.run("git", "status", "--porcelain") == ""

    shutil.copytree(published.store, tmp_path / "store")
    md5 = hashlib.md5(published.producer.read(LLM)["meta.json"]).hexdigest()
    (tmp_path / "store/files/md5" / md5[:2] / md5[2:]).unlink()
    assert "No storage files available" in consumer.run("dvc", "get", str(bare), LLM, "-o", "got", code=255)
    assert "files failed to download" in colleague.run("dvc", "pull", "--allow-missing", code=1)
    assert not (colleague.folder / "data").exists()
    shutil.copytree(published.store, tmp_path / "store", dirs_exist_ok=True)
    shutil.rmtree(consumer.folder / "got")  # of which DVC left a part; it would put the whole into that
    consumer.run("dvc", "get", str(bare), LLM, "-o", "got")
    assert consumer.read("got") == published.producer.read(LLM)
    colleague.run("dvc", "pull", "--allow-missing")
    assert colleague.read(LLM) == published.producer.read(LLM)


def test_without_a_remote_a_push_says_so(colleague: Repository) -> None:
    colleague.run("dvc", "remote", "remove", "store")
    assert "no remote specified" in colleague.run("dvc", "push", code=1)
