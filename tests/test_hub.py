"""Fetching from a server on this machine with the client library itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from stages import hub as fetching
from stages import paths
from stages.cli import main
from stages.errors import GlossaError
from stages.hub import Fetched, fetch
from stages.latents.store import LatentStore
from tests.clones import ROOT
from tests.folders import tree
from tests.hub_server import Hub, Repository, serving

CODERS = ROOT / "tests/toy/coders"
WEIGHTS = "sae.safetensors"


@pytest.fixture
def repository(hub: Hub) -> Repository:
    return hub.add("some/coders", CODERS / "resid1", CODERS / "mlp2")


def mistake(address: str) -> str:
    with pytest.raises(GlossaError) as caught:
        fetch(address)
    message = str(caught.value)
    assert "\n" not in message
    return message


def cached(hub_cache: Path) -> set[str]:
    """The files in the cache that hold content, as snapshots name them."""
    return {
        file.relative_to(hub_cache).as_posix().split("/", 3)[3]
        for file in hub_cache.glob("*/snapshots/*/**/*")
        if file.is_file()
    }


@pytest.mark.parametrize("revision", ["", "@main", "commit"])
def test_one_folder_is_fetched_and_pinned(hub: Hub, repository: Repository, tmp_path: Path, revision: str) -> None:
    commit = repository.branches["main"]
    found = fetch("hub://some/coders/resid1" + revision.replace("commit", f"@{commit}"))
    assert (found.repository, found.commit) == ("some/coders", commit)
    assert (found.path / WEIGHTS).read_bytes() == (CODERS / "resid1" / WEIGHTS).read_bytes()
    assert cached(tmp_path / "hub") == {"resid1/cfg.json", "resid1/sae.safetensors"}


def test_of_many_weights_none_is_fetched(hub: Hub, tmp_path: Path) -> None:
    files = {f"layer_{i}.safetensors": b"weights" for i in range(36)}
    hub.add("mwhanna/qwen3-4b-transcoders").commit({**files, "config.yaml": b"{}", "wandb-config.yaml": b"{}"})
    said = mistake("hub://mwhanna/qwen3-4b-transcoders")
    assert "holds 36 files of weights, and a coder is in one; nothing of them was fetched" in said
    assert (
        "such as hub://mwhanna/qwen3-4b-transcoders/layer_0.safetensors, of layer_0.safetensors, layer_1.safetensors"
        in said
    )
    assert cached(tmp_path / "hub") == {"config.yaml", "wandb-config.yaml"}
    one = fetch("hub://mwhanna/qwen3-4b-transcoders/layer_7.safetensors")
    assert one.path.read_bytes() == b"weights"
    assert cached(tmp_path / "hub") == {"config.yaml", "wandb-config.yaml", "layer_7.safetensors"}


def test_of_a_folder_only_its_coder_is_fetched(hub: Hub, tmp_path: Path) -> None:
    files = dict.fromkeys(("cfg.json", "sae.safetensors", "optimizer.pt", "notes.md", "more.pt"), b"{}")
    hub.add("some/more").commit({f"layers.2/{name}": content for name, content in files.items()})
    fetch("hub://some/more/layers.2")
    assert cached(tmp_path / "hub") == {"layers.2/cfg.json", "layers.2/sae.safetensors"}


def test_the_decoder_of_a_cross_layer_transcoder_comes_along(hub: Hub, tmp_path: Path) -> None:
    names = ("W_enc_0.safetensors", "W_dec_0.safetensors", "W_enc_1.safetensors", "config.yaml")
    hub.add("some/clt").commit(dict.fromkeys(names, b"{}"))
    fetch("hub://some/clt/W_enc_0.safetensors")
    assert cached(tmp_path / "hub") == {"W_enc_0.safetensors", "W_dec_0.safetensors", "config.yaml"}


def test_a_revision_keeps_its_content_when_the_branch_moves_on(hub: Hub, repository: Repository) -> None:
    first = fetch("hub://some/coders/resid1")
    second = repository.commit({"resid1/cfg.json": b"{}"})
    repository.commit({"resid1/cfg.json": b"{1}"}, branch="other/branch")
    assert fetch("hub://some/coders/resid1@main").commit == second
    assert (fetch("hub://some/coders/resid1/").path / "cfg.json").read_bytes() == b"{}"
    assert fetch(f"hub://some/coders/resid1@{first.commit}") == first
    assert (fetch("hub://some/coders/resid1@other/branch").path / "cfg.json").read_bytes() == b"{1}"


def test_what_is_cached_is_not_asked_for(hub: Hub, repository: Repository) -> None:
    commit = fetch("hub://some/coders/resid1").commit
    hub.asked.clear()
    assert fetch(f"hub://some/coders/resid1@{commit}").commit == commit
    assert hub.asked == []
    assert fetch("hub://some/coders/resid1@main").commit == commit
    assert hub.asked == ["GET /api/models/some/coders/revision/main"]


@pytest.mark.parametrize("offline", [True, False])
def test_the_cache_serves_when_the_hub_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offline: bool) -> None:
    with serving(monkeypatch, tmp_path / "hub") as hub:
        hub.add("some/coders", CODERS / "resid1", CODERS / "mlp2")
        before = fetch("hub://some/coders/resid1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    assert fetch("hub://some/coders/resid1") == fetch(f"hub://some/coders/resid1@{before.commit}") == before
    for address in ("hub://some/coders/mlp2", "hub://some/other/resid1"):
        why = "HF_HUB_OFFLINE keeps it from being fetched" if offline else "can't be reached; connect, and run again"
        message = mistake(address)
        assert message.startswith(
            f"{address} can't be fetched: {'/'.join(address.split('/')[2:4])} is not in the local cache"
        )
        assert why in message


def test_only_checkpoints_count_among_the_folders_inside(hub: Hub, tmp_path: Path) -> None:
    names = [
        "a/hyperparams.json",
        "a/checkpoints/final.safetensors",
        "a/checkpoints/readme.md",
        "a/b/x.npz",
        "a/b/c/x.npz",
        "x.npz",
    ]
    hub.repositories["some/coders"] = Repository()
    hub.repositories["some/coders"].commit({name: name.encode() for name in names})
    fetch("hub://some/coders/a")
    assert cached(tmp_path / "hub") == {"a/hyperparams.json", "a/checkpoints/final.safetensors"}
    found = fetch("hub://some/coders")
    assert {file.name for file in found.path.iterdir() if file.is_file()} == {"x.npz"}


def test_a_file_comes_with_its_config(hub: Hub, tmp_path: Path) -> None:
    names = [
        "set/layer_0.safetensors",
        "set/layer_1.safetensors",
        "set/config.yaml",
        "set/old/config.yaml",
        "config.yaml",
    ]
    hub.repositories["some/coders"] = Repository()
    hub.repositories["some/coders"].commit({name: name.encode() for name in names})
    found = fetch("hub://some/coders/set/layer_1.safetensors")
    assert found.path.read_bytes() == b"set/layer_1.safetensors"
    assert cached(tmp_path / "hub") == {"set/layer_1.safetensors", "set/config.yaml"}


@pytest.mark.parametrize("root", ["", "layer6/"])
def test_a_checkpoint_comes_with_the_config_above_it(hub: Hub, tmp_path: Path, root: str) -> None:
    names = ["config.json", "layer6/config.json", "layer6/checkpoints/ae_5.pt", "layer6/checkpoints/ae_9.pt"]
    names += ["checkpoints/ae_5.pt", "checkpoints/ae_9.pt", "layer6/ae.pt", "ae.pt", "layer7/config.json"]
    hub.repositories["some/coders"] = Repository()
    hub.repositories["some/coders"].commit({name: name.encode() for name in names})
    found = fetch(f"hub://some/coders/{root}checkpoints/ae_5.pt")
    assert found.path.read_bytes() == f"{root}checkpoints/ae_5.pt".encode()
    assert cached(tmp_path / "hub") == {f"{root}checkpoints/ae_5.pt", f"{root}config.json"}


def test_folders_that_only_hold_folders_are_no_coder(hub: Hub) -> None:
    names = [f"layer_{n}/width_16k/average_l0_5/params.npz" for n in (10, 9)]
    names += [
        "layer_9/width_1m/average_l0_5/params.npz",
        "layer_9/notes/readme.md",
        "llama/x/checkpoints/final.safetensors",
    ]
    names += [f"many/{n}/sae.safetensors" for n in range(30)]
    hub.repositories["some/coders"] = Repository()
    commit = hub.repositories["some/coders"].commit(dict.fromkeys(names, b""))
    assert mistake("hub://some/coders/layer_9") == (
        f"some/coders has only folders in layer_9 at commit {commit}; point at one of layer_9/width_1m/average_l0_5, "
        "layer_9/width_16k/average_l0_5"
    )
    assert mistake("hub://some/coders/llama").endswith("point at one of llama/x")
    assert mistake("hub://some/coders/many").endswith("many/9, many/10, many/11, …")
    assert "did you mean layer_9" in mistake("hub://some/coders/layer_8")


def test_brackets_are_no_pattern(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["some/coders"] = Repository()
    hub.repositories["some/coders"].commit({"a[1]/cfg.json": b"one", "a1/cfg.json": b"other"})
    assert (fetch("hub://some/coders/a[1]").path / "cfg.json").read_bytes() == b"one"
    assert cached(tmp_path / "hub") == {"a[1]/cfg.json"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hub://some/coders/resid2", "some/coders has no resid2 at commit {commit}; did you mean resid1"),
        (
            "hub://some/coders/resid1/cfg.jso",
            "some/coders has no resid1/cfg.jso at commit {commit}; did you mean resid1/cfg.json",
        ),
        (
            "hub://some/coder/resid1",
            "{address} can't be fetched: {url} has no repository some/coder, or it is private; correct the",
        ),
        (
            "hub://some/coders/resid1@v2",
            "{address} can't be fetched: some/coders has no revision v2; name a branch, a tag or a",
        ),
        (
            f"hub://some/coders/resid1@{'0' * 40}",
            f"{{address}} can't be fetched: some/coders has no revision {'0' * 40}; name a branch",
        ),
        (
            "hub://some--x/coders",
            "{address} can't be fetched: some--x/coders is neither a folder here nor the name of a repos",
        ),
        ("hub://some", "expected an address like hub://owner/repository/folder@revision, found {address}"),
        ("hub://some/coders@", "expected an address like hub://owner/repository/folder@revision, found {address}"),
        (
            "hub://some/coders/../../etc",
            "expected an address like hub://owner/repository/folder@revision, found {address}",
        ),
    ],
)
def test_what_is_not_there_is_a_mistake(hub: Hub, repository: Repository, address: str, expected: str) -> None:
    expected = expected.format(address=address, url=hub.url, commit=repository.branches["main"])
    assert mistake(address).startswith(expected)


def test_a_private_repository_needs_a_token(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository.token = "secret"
    address = "hub://some/coders/resid1"
    needed = "or it is private; correct the name, or give a token that may read it in HF_TOKEN or by hf auth login"
    assert mistake(address).endswith(needed)
    monkeypatch.setenv("HF_TOKEN", "another")
    assert mistake(address).endswith(needed)
    monkeypatch.setenv("HF_TOKEN", "stale")
    assert mistake(address) == (
        f"{address} can't be fetched: {hub.url} refuses the token in use (401); give one that may read some/coders in HF_TOKEN "
        "or by hf auth login"
    )
    assert cached(tmp_path / "hub") == set()
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert fetch(address).path.is_dir()


def test_a_gated_repository_says_how_to_get_in(hub: Hub, repository: Repository) -> None:
    repository.gated = True
    assert mistake("hub://some/coders/resid1") == (
        f"hub://some/coders/resid1 can't be fetched: some/coders is gated; accept its terms on {hub.url}/some/coders, and give that "
        "account's token in HF_TOKEN or by hf auth login"
    )


def test_a_hub_that_fails_says_its_status(hub: Hub, repository: Repository) -> None:
    hub.status = 500
    assert mistake("hub://some/coders/resid1").endswith(f"{hub.url} answered 500; try again later")


def test_a_download_that_ends_early_leaves_nothing(hub: Hub, repository: Repository, tmp_path: Path) -> None:
    hub.cut = True
    message = mistake("hub://some/coders/resid1")
    assert (
        message
        == "hub://some/coders/resid1 can't be fetched: the download ended early, and nothing of it was kept; run again"
    )
    assert cached(tmp_path / "hub") <= {"resid1/cfg.json"}
    hub.cut = False
    check(fetch("hub://some/coders/resid1"))


def test_a_download_with_another_hash_leaves_nothing(hub: Hub, repository: Repository, tmp_path: Path) -> None:
    hub.flip = True
    message = mistake("hub://some/coders/resid1")
    assert message.startswith("sae.safetensors of hub://some/coders/resid1 should have the hash ")
    assert message.endswith("… was received; it was taken out of the cache, so run again")
    assert cached(tmp_path / "hub") == {"resid1/cfg.json"}
    assert not [blob for blob in (tmp_path / "hub").glob("*/blobs/*") if blob.stat().st_size > 10_000]
    hub.flip = False
    check(fetch("hub://some/coders/resid1"))


@pytest.mark.parametrize("name", [WEIGHTS, "cfg.json"])
def test_a_cache_that_was_damaged_is_mended(hub: Hub, repository: Repository, name: str) -> None:
    found = fetch("hub://some/coders/resid1")
    blob = (found.path / name).resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert f"{name} of hub://some/coders/resid1 should have the hash" in mistake("hub://some/coders/resid1")
    check(fetch("hub://some/coders/resid1"))


def check(found: Fetched) -> None:
    for file in (CODERS / "resid1").iterdir():
        assert (found.path / file.name).read_bytes() == file.read_bytes()


def test_other_errors_have_no_reason_here() -> None:
    assert fetching.reason(ValueError("no tokenizer"), "some/model", None) is None


def test_a_run_from_the_hub_and_then_without_it(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = Path("params.yaml").read_text()
    coder = "{path: hub://glossa/toy/coders/resid1, hookpoint: layers.1}"
    text = text.replace("{model: subject}", "{model: glossa/toy-subject}").replace(
        "3_200, bos: <|end|>", "640, bos: <|endoftext|>"
    )
    Path("params.yaml").write_text(text.replace("{path: coders/one, hookpoint: layers.0}", coder))
    stores = []
    with serving(monkeypatch, tmp_path / "hub") as hub:
        subject = hub.add("glossa/toy-subject", ROOT / "tests/toy/subject", inside=".")
        coders = hub.add("glossa/toy", CODERS)
        run("tokenize")
        run("cache", "one")
        stores.append(tree(paths.latents("one")))
    shutil.rmtree("data/latents")
    run("cache", "one")
    stores.append(tree(paths.latents("one")))
    assert stores[0] == stores[1]
    meta = LatentStore.open(paths.latents("one")).meta
    assert meta["subject"]["revision"] == subject.branches["main"]
    assert meta["coder"]["commit"] == coders.branches["main"]
    assert meta["coder"]["path"] == "hub://glossa/toy/coders/resid1"


def run(*arguments: str) -> None:
    result = CliRunner().invoke(main, [*arguments], env={"GLOSSA_SHARE_FORWARD": "false"})
    assert result.exit_code == 0, result.output
