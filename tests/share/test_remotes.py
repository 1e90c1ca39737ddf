"""Remotes that are no folder, that lack something, and none."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.repositories import Repository
from tests.share.sharing import (
    LLM,
    Published,
)


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
    from botocore.config import Config
    from moto import settings
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        login = {"region_name": "eu-central-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        patient = Config(
            read_timeout=600, retries={"max_attempts": 0}
        )  # the first answer is slow; tried again, the user exists
        users = boto3.client("iam", endpoint_url=endpoint, config=patient, **login)
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
