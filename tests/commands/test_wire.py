from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages import params
from stages.estimate.pending import stages_of
from stages.wiring import fingerprints, root
from stages.wiring.coder import address, stage_of
from tests.clones import Clone


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A wired copy of the repository, the current folder."""
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    clone.wire()
    return clone


def read(name: str = "dvc.yaml") -> str:
    return Path(name).read_text()


def block(name: str) -> list[str]:
    """The generated lines of a block in dvc.yaml."""
    lines = read().splitlines()
    (found,) = (found for found in root.find(read()) if found.name == name)
    return [line.strip() for line in lines[found.start : found.end]]


def stages(coder: str = "one") -> dict[str, Any]:
    """The stages of a coder."""
    return YAML(typ="safe", pure=True).load(read(f"pipelines/{coder}/dvc.yaml"))["stages"]


def fails(clone: Clone, *arguments: str) -> str:
    result = clone.glossa("wire", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output.removeprefix("Error: ").strip()


def test_a_wired_project_stays_as_it_is(clone: Clone) -> None:
    before = read(), read("pipelines/one/dvc.yaml"), read("fingerprints.json")
    assert clone.wire() == "wire: dvc.yaml and pipelines/ follow params.yaml already\n"
    assert (read(), read("pipelines/one/dvc.yaml"), read("fingerprints.json")) == before
    assert clone.glossa("wire", "--check").exit_code == 0


def test_it_says_where_another_model_than_the_subject_judges_by_probabilities(clone: Clone) -> None:
    other, itself = {"provider": "transformers", "model": "a/judge"}, {"provider": "subject"}
    kinds = {"surprisal": other, "intervention": other, "pmi": itself, "detection": other}
    clone.params["scorers"] = {kind: {"kind": kind, "model": model} for kind, model in kinds.items()}
    clone.write_params()
    said = "wire: a/judge, and not the subject demo/subject, judges for surprisal and intervention; provider: subject is the subject"
    assert said in clone.wire().splitlines()
    clone.params["scorers"] = {kind: {"kind": kind, "model": itself} for kind in kinds}
    clone.write_params()
    assert "judges for" not in clone.wire()


def test_ready_token_ids_and_the_size_of_the_vocabulary_are_what_rows_are_made_of(clone: Clone) -> None:
    clone.params["corpus"] = {"source": "tokens", "path": "data/ids", "context_length": 128, "tokens": 1000}
    clone.write_params()
    clone.wire()
    assert block("tokenize.data") == [
        "deps:",
        "- data/ids",
        "- demo/subject/config.json",
        "- demo/subject/tokenizer.json",
        "- demo/subject/tokenizer_config.json",
    ]


def test_what_two_coders_and_two_scorers_give(clone: Clone) -> None:
    assert block("code.data") == ["- stages"]
    assert block("tokenize.data") == [
        "deps:",
        "- constraints.txt",
        "- demo/subject/tokenizer.json",
        "- demo/subject/tokenizer_config.json",
    ]
    assert list(stages()) == ["cache", "sample", "explain", "score"]
    cache, explain, score = (stages()[name] for name in ("cache", "explain", "score"))
    assert cache["deps"] == ["data/tokens", "demo/coders/one", "demo/subject"]
    assert cache["outs"] == [{"data/latents/one.zarr": {"push": False}}]
    assert explain["matrix"] == {"explainer": ["pattern"]}
    assert explain["cmd"] == "glossa explain one ${item.explainer}"
    assert score["matrix"] == {"explainer": ["pattern"], "scorer": ["detection", "fuzzing"]}
    assert score["params"] == [{"fingerprints.json": ["coders.one.score.${item.scorer}"]}]
    assert score["outs"] == ["data/scores/one/${item.explainer}/${item.scorer}"]
    assert {stage["wdir"] for stage in stages().values()} == {"../.."}
    assert block("compare.data") == [
        "- data/explanations/one/pattern",
        "- data/explanations/two/pattern",
        "- demo/subject",
        "- demo/coders/one",
        "- demo/coders/two",
    ]
    assert explain["deps"] == ["data/examples/one"]
    assert score["deps"] == ["data/explanations/one/${item.explainer}"]
    assert block("report.data") == [
        "- data/scores/one/pattern/detection",
        "- data/scores/one/pattern/fuzzing",
        "- data/scores/two/pattern/detection",
        "- data/scores/two/pattern/fuzzing",
    ]


def test_every_stage_has_its_fingerprint(clone: Clone) -> None:
    keys = set(fingerprints.read())
    assert keys == {
        *("tokenize", "compare", "report"),
        *(
            f"coders.{coder}.{name}"
            for coder in ("one", "two")
            for name in ("cache", "sample", "explain.pattern", "score.detection", "score.fuzzing")
        ),
    }
    subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo(".") as repo:
        named = {
            key for stage in repo.index.stages for dep in stage.deps if hasattr(dep, "params") for key in dep.params
        }
        names = {stage.addressing for stage in repo.index.stages}
    assert named == keys
    assert names == {
        *("code", "tokenize", "compare", "report"),
        *(address(coder, name) for coder in ("one", "two") for name in ("cache", "sample")),
        *(stage_of(params.load(), *stage) for stage in stages_of(params.load())),
    }


def test_a_scorer_of_latents_needs_no_explanations(clone: Clone) -> None:
    clone.params["scorers"] = {"odd": {"kind": "intruder", "model": {"provider": "pattern"}}}
    clone.write_params()
    clone.wire()
    assert list(stages()) == ["cache", "sample", "explain", "score-latent"]
    score = stages()["score-latent"]
    assert score["matrix"] == {"scorer": ["odd"]}
    assert score["outs"] == ["data/scores/one/latent/${item.scorer}"]
    assert score["deps"] == ["data/examples/one"]


def test_what_changed_is_said_and_checked(clone: Clone) -> None:
    old = read()
    clone.params["coders"]["three"] = {"path": "demo/coders/three/", "hookpoint": "layers.3"}
    clone.write_params()
    said = fails(clone, "--check")
    assert said.startswith("dvc.yaml line ")
    assert said.endswith("should be '- data/explanations/three/pattern', found '- demo/subject'; run glossa wire")
    assert read() == old
    said = clone.wire()
    assert said.startswith(
        "wire: wrote dvc.yaml, pipelines/three/dvc.yaml\nwire: 7 of 18 fingerprints changed; dvc status"
    )
    del clone.params["coders"]["three"]
    clone.write_params()
    assert fails(clone, "--check").startswith("dvc.yaml line ")
    assert "removed pipelines/three/dvc.yaml" in clone.wire()
    assert read() == old
    assert not Path("pipelines/three").exists()


def test_fingerprints_that_are_out_of_date_are_named(clone: Clone) -> None:
    text = read("fingerprints.json")
    Path("fingerprints.json").write_text(text.replace("code ", "code 0", 1))
    assert (
        fails(clone, "--check")
        == "fingerprints.json has another tokenize than the code and params.yaml give; run glossa wire"
    )
    for damaged in ("", "[]", "{", '{"tokenize": 3}', "\0"):
        Path("fingerprints.json").write_text(damaged)
        clone.wire()
        assert read("fingerprints.json") == text


def test_the_order_of_names_counts_where_results_are_listed_in_it(clone: Clone) -> None:
    before = fingerprints.read()
    clone.params["coders"] = dict(reversed(clone.params["coders"].items()))
    clone.write_params()
    clone.wire()
    assert set(fingerprints.changes(before, fingerprints.read())) == {"compare", "report"}


def test_what_is_written_by_hand_stays(clone: Clone) -> None:
    own = "\n  own:\n    cmd: echo  # mine\n    deps:\n    - data/similarity\n"
    text = read().replace("\nplots:", f"{own}\nplots:", 1)
    text = text.replace("      - data/similarity\n", "      - mine\n      - data/similarity\n", 1)
    Path("dvc.yaml").write_text(text)
    assert "already" in clone.wire()
    assert read() == text


def test_no_scorers(clone: Clone) -> None:
    clone.params["scorers"] = {}
    clone.write_params()
    clone.wire()
    assert list(stages()) == ["cache", "sample", "explain"]


def test_a_coder_from_elsewhere_has_no_folder(clone: Clone) -> None:
    clone.params["coders"]["two"]["path"] = "hub://org/coder@0123"
    clone.write_params()
    clone.wire()
    assert stages("two")["cache"]["deps"] == ["data/tokens", "demo/subject"]
    assert block("compare.data")[-1] == "- demo/coders/one"


def test_a_control_depends_on_the_subject(clone: Clone) -> None:
    clone.params["coders"] |= {
        "neurons": {"kind": "neurons", "hookpoint": "layers.1.mlp", "k": 32},
        "random": {"kind": "random", "hookpoint": "layers.1", "latents": 1024, "k": 16},
    }
    clone.write_params()
    clone.wire()
    assert stages("neurons")["cache"]["deps"] == stages("random")["cache"]["deps"] == ["data/tokens", "demo/subject"]
    assert block("compare.data")[-3:] == ["- demo/subject", "- demo/coders/one", "- demo/coders/two"]
    clone.params["subject"] = {"model": "org/model", "revision": "0123"}
    clone.write_params()
    clone.wire()
    assert block("compare.data")[-2:] == ["- demo/coders/one", "- demo/coders/two"]
    assert stages("neurons")["cache"]["deps"] == ["data/tokens"]


def test_compare_depends_on_activations_only_if_it_reads_them(clone: Clone) -> None:
    stores = ["- data/latents/one.zarr", "- data/latents/two.zarr"]
    for options in ({"activations": True}, {"match": "activations"}):
        clone.params["compare"] = options
        clone.write_params()
        clone.wire()
        assert block("compare.data")[2:4] == stores
    clone.params["compare"] = {"match": "encoder"}
    clone.write_params()
    clone.wire()
    assert not set(stores) & set(block("compare.data"))


def test_compare_runs_explainers_only_for_a_ceiling(clone: Clone) -> None:
    def units() -> set[str]:
        return {start for start in fingerprints.part(params.load(), "compare").starts if "explainers" in start}

    assert units() == set()
    clone.params["compare"] = {"ceiling": 10}
    clone.write_params()
    assert units() == {"stages.explainers.pattern"}


def test_compare_depends_on_the_coders_of_other_projects(clone: Clone) -> None:
    clone.params["compare"] = {"others": {"theirs": {"path": "../other", "coder": "resid"}}}
    clone.write_params()
    clone.wire()
    assert block("compare.data")[2:4] == [
        '- "../other/data/examples/resid"',
        '- "../other/data/explanations/resid/pattern"',
    ]


def test_a_subject_from_elsewhere_has_no_folder(clone: Clone) -> None:
    clone.params["subject"] = {"model": "org/model", "revision": "0123"}
    clone.params["corpus"] = {"source": "text", "path": "my texts", "context_length": 128, "tokens": 1000}
    clone.write_params()
    clone.wire()
    assert stages()["cache"]["deps"] == ["data/tokens", "demo/coders/one"]
    assert block("tokenize.data") == ["deps:", '- "my texts"']
    assert YAML(typ="safe").load(read())["stages"]["tokenize"]["deps"] == ["my texts"]


def test_a_first_stage_may_depend_on_nothing_here(clone: Clone) -> None:
    clone.params["subject"] = {"model": "org/model", "revision": "0123"}
    clone.params["corpus"] = {
        "source": "hub", "path": "org/texts", "revision": "0", "context_length": 128, "tokens": 1000,
    }  # fmt: skip
    clone.write_params()
    clone.wire()
    assert block("tokenize.data") == []
    subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo(".") as repo:
        assert "tokenize" in {stage.addressing for stage in repo.index.stages}


def test_an_entry_that_reads_files_of_its_own_depends_on_them(clone: Clone) -> None:
    theirs = {"kind": "imported", "format": "delphi", "path": "their ${results}", "coders": {"one": "layers.1"}}
    clone.params["explainers"]["theirs"] = theirs
    clone.write("judges/small/config.json", "{}")
    clone.params["scorers"]["local"] = {
        "kind": "detection",
        "model": {"provider": "transformers", "model": "judges/small"},
    }
    clone.params["scorers"]["own"] = {
        "kind": "detection",
        "model": {"provider": "transformers", "model": "demo/subject"},
    }
    clone.write_params()
    clone.wire()
    assert stages()["explain"]["matrix"] == {"explainer": ["pattern"]}
    explain, local = stages()["explain-theirs"], stages()["score-local"]
    assert explain["deps"][1:] == [r"their \${results}"]
    assert explain["cmd"] == "glossa explain one theirs"
    assert "matrix" not in explain
    assert local["deps"][-1] == "judges/small"
    assert local["matrix"] == {"explainer": ["pattern", "theirs"]}
    assert local["cmd"] == "glossa score one ${item.explainer} local"
    assert stages()["score"]["matrix"]["scorer"] == ["detection", "fuzzing", "own"], "examples change with the subject"
    subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo(".") as repo:
        names = {stage.addressing for stage in repo.index.stages}
    assert {stage_of(params.load(), *stage) for stage in stages_of(params.load())} <= names


def test_what_a_lock_file_holds_of_other_stages_is_dropped(clone: Clone) -> None:
    entry = "  {}:\n    cmd: a\n    outs:\n    - path: data/x\n      md5: 123\n"
    lock = "schema: '2.0'\nstages:\n"
    Path("dvc.lock").write_text(
        lock + "".join(map(entry.format, ("tokenize", "cache@one", "score-fuzzing@one-pattern", "report")))
    )
    Path("pipelines/one/dvc.lock").write_text(
        lock + entry.format("score@pattern-fuzzing") + entry.format("score@gone-fuzzing")
    )
    said = clone.wire()
    assert "dropped 3 entries of stages that are no more" in said
    assert "dvc commit --force code tokenize pipelines/one/dvc.yaml:cache pipelines/two/dvc.yaml:cache" in said
    assert Path("dvc.lock").read_text() == lock + entry.format("tokenize") + entry.format("report")
    assert Path("pipelines/one/dvc.lock").read_text() == lock + entry.format("score@pattern-fuzzing")
    assert "dropped" not in clone.wire()
    assert "dvc commit" not in clone.wire()


def test_leftovers_are_named_and_kept(clone: Clone) -> None:
    for path in (
        "latents/one.zarr/zarr.json",
        "latents/gone.zarr/zarr.json",
        "examples/gone/meta.json",
        "examples/.gitignore",
        "explanations/one/pattern/meta.json",
        "explanations/one/llm/meta.json",
        "scores/one/pattern/detection/meta.json",
        "scores/one/pattern/simulation/meta.json",
        "scores/one/llm/detection/meta.json",
        "scores/gone/pattern/detection/meta.json",
    ):
        clone.write(f"data/{path}", "")
    said = clone.wire().splitlines()[1]
    assert said == (
        "wire: no entry makes these any more, delete them if you like: data/examples/gone data/explanations/one/llm "
        "data/latents/gone.zarr data/scores/gone data/scores/one/llm data/scores/one/pattern/simulation"
    )
    assert Path("data/examples/gone/meta.json").is_file()


@pytest.mark.parametrize(
    ("section", "name", "entry", "message"),
    [
        (
            "scorers",
            "new",
            {"kind": "fuzing"},
            "params.yaml: scorers.new.kind is 'fuzing', which is unknown; did you mean fuzzing?",
        ),
        (
            "scorers",
            "new",
            {"kind": "fuzzing", "model": {"provider": "patern"}},
            "params.yaml: scorers.new.model.provider is 'patern', which is unknown; did you mean pattern or openai?",
        ),
        (
            "subject",
            "model",
            "demo/absent",
            "params.yaml: subject.model should be a folder or a repository on the Hub, but there is nothing at demo/absent; "
            "fetch it, or correct the path",
        ),
    ],
)
def test_mistakes_in_params(clone: Clone, section: str, name: str, entry: object, message: str) -> None:
    before = read()
    clone.params[section][name] = entry
    clone.write_params()
    assert fails(clone) == message
    assert read() == before


def test_mistakes_in_dvc_yaml(clone: Clone) -> None:
    text = read()
    Path("dvc.yaml").write_text(text.replace("# wired: report.data\n      -", "# wired: reports\n      -"))
    assert "has the unknown mark '# wired: reports'; did you mean report.data" in fails(clone)
    Path("dvc.yaml").write_text(text.replace("      # wired: report.data\n", ""))
    assert fails(clone) == "dvc.yaml should have the mark '# wired: report.data'; restore it from git"
    Path("dvc.yaml").write_text(text + "  # wired: report.data\n")
    assert fails(clone).endswith("has the mark '# wired: report.data' again; remove one of them")
    Path("dvc.yaml").unlink()
    assert fails(clone) == "expected dvc.yaml here, but there is no such file; run Glossa in a clone of it"


def test_aliases_of_models_become_names(clone: Clone) -> None:
    path = Path("params.yaml")
    models, entry = (
        '"models": {"judge": &judge {"provider": "pattern"}}',
        '"aliased": {"kind": "detection", "model": *judge}',
    )
    path.write_text(path.read_text().replace('"scorers": {', f'{models}, "scorers": {{{entry},'))
    assert "run glossa wire" in clone.glossa("code").output
    before = params.load()
    said = clone.wire()
    assert said.startswith("wire: params.yaml names 1 model that was a YAML alias, which dvc exp run -S loses\n")
    assert "*judge" not in path.read_text()
    assert "&judge" not in path.read_text()
    assert params.load() == before
    assert "alias" not in clone.glossa("code").output
    assert clone.wire() == "wire: dvc.yaml and pipelines/ follow params.yaml already\n"
