from __future__ import annotations

from pathlib import Path

import pytest
from dvc.parsing import Context
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stages import pipeline
from stages.errors import GlossaError
from tests.clones import Clone


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A wired copy of the repository, the current folder."""
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    clone.wire()
    return clone


def read() -> str:
    return Path("dvc.yaml").read_text()


def block(name: str) -> list[str]:
    """The generated lines of a block in dvc.yaml."""
    lines = read().splitlines()
    (found,) = (found for found in pipeline.find(read()) if found.name == name)
    return [line.strip() for line in lines[found.start : found.end]]


def fails(clone: Clone, *arguments: str) -> str:
    result = clone.glossa("wire", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output.removeprefix("Error: ").strip()


def test_a_wired_file_stays_as_it_is(clone: Clone) -> None:
    before = read()
    assert clone.wire() == "wire: dvc.yaml follows params.yaml and the code already\n"
    assert read() == before
    assert clone.glossa("wire", "--check").exit_code == 0


def test_what_two_coders_and_two_scorers_give(clone: Clone) -> None:
    assert block("cache.entries") == [
        "one: {coder: one, weights: demo/coders/one}",
        "two: {coder: two, weights: demo/coders/two}",
    ]
    assert block("cache.data") == ["- demo/subject"]
    assert block("tokenize.data") == [
        "- constraints.txt",
        "- demo/subject/tokenizer.json",
        "- demo/subject/tokenizer_config.json",
    ]
    stages = YAML(typ="safe").load(read())["stages"]
    assert [name for name in stages if "-" in name] == ["explain-pattern", "score-detection", "score-fuzzing"]
    explain, score = stages["explain-pattern"], stages["score-fuzzing"]
    assert explain["matrix"] == {"coder": "${coders}"}
    assert explain["cmd"] == "glossa explain ${item.coder} pattern"
    assert score["matrix"] == {"coder": "${coders}", "explainer": "${explainers}"}
    assert score["params"] == ["seed", "scorers.fuzzing"]
    assert score["outs"] == ["data/scores/${item.coder}/${item.explainer}/fuzzing"]
    assert block("compare.data") == [
        "- data/tokens",
        "- data/examples/one",
        "- data/examples/two",
        "- data/explanations/one/pattern",
        "- data/explanations/two/pattern",
        "- demo/subject",
        "- demo/coders/one",
        "- demo/coders/two",
    ]
    assert block("report.data")[-5:] == [
        "- data/explanations/two/pattern",
        "- data/scores/one/pattern/detection",
        "- data/scores/one/pattern/fuzzing",
        "- data/scores/two/pattern/detection",
        "- data/scores/two/pattern/fuzzing",
    ]
    assert {"data/explanations/${item.coder}/${item.explainer}", "stages/scorers/fuzzing.py"} < set(score["deps"])
    assert {"stages/corpus", "stages/examples", "stages/llm"} < set(score["deps"])
    assert "stages/scorers/fuzzing.py" not in stages["score-detection"]["deps"]


def test_a_scorer_of_latents_needs_no_explanations(clone: Clone) -> None:
    clone.params["scorers"] = {"odd": {"kind": "intruder", "model": {"provider": "pattern"}}}
    clone.write_params()
    clone.wire()
    score = YAML(typ="safe").load(read())["stages"]["score-odd"]
    assert score["matrix"] == {"coder": "${coders}"}
    assert score["outs"] == ["data/scores/${item.coder}/latent/odd"]
    assert not [dep for dep in score["deps"] if "explanations" in dep]


def test_what_changed_is_said_and_checked(clone: Clone) -> None:
    old = read()
    clone.params["coders"]["three"] = {"path": "demo/coders/three/", "hookpoint": "layers.3"}
    clone.write_params()
    said = fails(clone, "--check")
    assert said.startswith("dvc.yaml line ")
    assert said.endswith("should be 'three: {coder: three, weights: demo/coders/three}', found 'do:'; run glossa wire")
    assert read() == old
    assert clone.wire() == (
        "wire: dvc.yaml changed in cache.entries +1 -0, compare.data +3 -0, report.data +4 -0, artifacts +1 -0\n"
    )
    del clone.params["coders"]["three"]
    clone.write_params()
    assert "report.data +0 -4" in clone.wire()
    assert read() == old


def test_an_entry_that_moves_is_a_change(clone: Clone) -> None:
    clone.params["coders"] = dict(reversed(clone.params["coders"].items()))
    clone.write_params()
    assert clone.wire() == "wire: dvc.yaml changed in the order of lines\n"


def test_what_is_written_by_hand_stays(clone: Clone) -> None:
    own = "\n  own:\n    cmd: echo  # mine\n    deps:\n    - data/similarity\n"
    text = (
        read()
        .replace("\nplots:", f"{own}\nplots:", 1)
        .replace("        - data/tokens\n", "        - mine\n        - data/tokens\n", 1)
    )
    Path("dvc.yaml").write_text(text)
    assert "already" in clone.wire()
    assert read() == text


def test_no_scorers(clone: Clone) -> None:
    clone.params["scorers"] = {}
    clone.write_params()
    clone.wire()
    assert block("score") == []
    assert not [name for name in YAML(typ="safe").load(read())["stages"] if name.startswith("score")]


def test_a_coder_from_elsewhere_has_no_folder(clone: Clone) -> None:
    clone.params["coders"]["two"]["path"] = "hub://org/coder@0123"
    clone.write_params()
    clone.wire()
    assert block("cache.entries")[1] == "two: {coder: two, weights: stages/cache.py}"
    assert "- stages/cache.py" in block("cache.code")
    assert block("compare.data")[-1] == "- demo/coders/one"


def test_a_control_depends_on_the_subject(clone: Clone) -> None:
    clone.params["coders"] |= {
        "neurons": {"kind": "neurons", "hookpoint": "layers.1.mlp", "k": 32},
        "random": {"kind": "random", "hookpoint": "layers.1", "latents": 1024, "k": 16},
    }
    clone.write_params()
    clone.wire()
    assert block("cache.entries")[2:] == [
        "neurons: {coder: neurons, weights: stages/cache.py}",
        "random: {coder: random, weights: stages/cache.py}",
    ]
    assert block("compare.data")[-3:] == ["- demo/subject", "- demo/coders/one", "- demo/coders/two"]
    stages = YAML(typ="safe").load(read())["stages"]
    assert {"seed", "subject"} < set(stages["compare"]["params"])
    clone.params["subject"] = {"model": "org/model", "revision": "0123"}
    clone.write_params()
    clone.wire()
    assert block("compare.data")[-2:] == ["- demo/coders/one", "- demo/coders/two"]


def test_compare_depends_on_activations_only_if_it_reads_them(clone: Clone) -> None:
    stores = ["- data/latents/one.zarr", "- data/latents/two.zarr"]
    for options in ({"activations": True}, {"match": "activations"}):
        clone.params["compare"] = options
        clone.write_params()
        clone.wire()
        assert block("compare.data")[5:7] == stores
    clone.params["compare"] = {"match": "encoder"}
    clone.write_params()
    clone.wire()
    assert not set(stores) & set(block("compare.data"))


def test_compare_runs_explainers_only_for_a_ceiling(clone: Clone) -> None:
    clone.wire()
    assert "- stages/explainers/pattern.py" not in block("compare.code")
    clone.params["compare"] = {"ceiling": 10}
    clone.write_params()
    clone.wire()
    assert {"- stages/explainers/pattern.py", "- stages/explainers/rules.py"} < set(block("compare.code"))


def test_compare_depends_on_the_coders_of_other_projects(clone: Clone) -> None:
    clone.params["compare"] = {"others": {"theirs": {"path": "../other", "coder": "resid"}}}
    clone.write_params()
    clone.wire()
    assert block("compare.data")[5:7] == [
        '- "../other/data/examples/resid"',
        '- "../other/data/explanations/resid/pattern"',
    ]


def test_a_subject_from_elsewhere_has_no_folder(clone: Clone) -> None:
    clone.params["subject"] = {"model": "org/model", "revision": "0123"}
    clone.params["corpus"] = {"source": "text", "path": "my texts", "context_length": 128, "tokens": 1000}
    clone.write_params()
    clone.wire()
    assert block("cache.data") == []
    assert block("tokenize.data") == ['- "my texts"']
    assert YAML(typ="safe").load(read())["stages"]["tokenize"]["deps"][0] == "my texts"


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
    Path("dvc.yaml").write_text(text.replace("# wired: score", "# wired: scores"))
    assert "has the unknown mark '# wired: scores'; did you mean score" in fails(clone)
    Path("dvc.yaml").write_text(text.replace("  # wired: score\n", ""))
    assert fails(clone) == "dvc.yaml should have the mark '# wired: score'; restore it from git"
    Path("dvc.yaml").write_text(text + "  # wired: score\n")
    assert fails(clone).endswith("has the mark '# wired: score' again; remove one of them")
    Path("dvc.yaml").unlink()
    assert fails(clone) == "expected dvc.yaml here, but there is no such file; run Glossa in a clone of it"


NAMES = st.sampled_from(["a", "b.c", "d"])
ITEMS = st.lists(st.text("abc/ .", min_size=1).map(lambda text: f"- x{text}x"), max_size=4)


@given(first=st.fixed_dictionaries({"a": ITEMS, "b": ITEMS}), second=st.fixed_dictionaries({"a": ITEMS, "b": ITEMS}))
def test_the_last_wiring_decides(first: dict[str, list[str]], second: dict[str, list[str]]) -> None:
    text = "x:\n  deps:\n    - own\n    # wired: a\n\n  next:\n  - own\n  # wired: b\n  after: 1\n"
    once = pipeline.rewrite(text, second)
    assert pipeline.rewrite(pipeline.rewrite(text, first), second) == once
    assert [line for line in once.splitlines() if "- x" not in line] == text.splitlines()
    with pytest.raises(GlossaError):
        pipeline.rewrite(text, {"a": []})


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\"), min_size=1))
def test_any_path_survives_yaml_and_dvc(path: str) -> None:
    (line,) = pipeline._list([Path(path)])
    (found,) = YAML(typ="safe", pure=True).load(line)
    assert Context().resolve_str(found) == Path(path).as_posix()


def test_a_folder_stands_for_all_that_lies_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, part, alone = Path("room/whole"), Path("room"), Path("alone")
    for file in (
        whole / "a.py",
        whole / "b.md",
        whole / "__pycache__/a.pyc",
        part / "c.py",
        part / "d.py",
        alone / "e.py",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert pipeline.folded([part / "c.py", whole / "b.md", whole / "a.py", alone / "e.py"]) == [
        alone / "e.py",
        part / "c.py",
        whole,
    ]
    assert pipeline.folded([whole / "a.py"]) == [whole / "a.py"]


def test_imported_explanations_are_a_dependency(clone: Clone) -> None:
    theirs = {"kind": "imported", "format": "delphi", "path": "their ${results}", "coders": {"one": "layers.1"}}
    clone.params["explainers"]["theirs"] = theirs
    clone.write_params()
    clone.wire()
    explain = YAML(typ="safe").load(read())["stages"]["explain-theirs"]
    assert explain["deps"][2] == r"their \${results}"
    assert "stages/explainers/imported.py" in explain["deps"]
    assert "their" not in str(YAML(typ="safe").load(read())["stages"]["explain-pattern"])
