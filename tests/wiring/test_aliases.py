from __future__ import annotations

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from stages import params
from stages.wiring.aliases import named, write_names

BEFORE = """\
# ours
models:
  judge: &judge {provider: openai, endpoint: lab, model: alpha}   # the large one
  small: &small
    provider: pattern
  "no": &no {provider: pattern}
scorers:
  detection: {kind: detection, model: *judge}
  fuzzing:
    judge: *judge   # for now
    model: *no
  merged: {kind: fuzzing, model: {<<: *small, reasks: 1}}
explainers:
  cot: {kind: cot, model: *small}
"""
AFTER = """\
# ours
models:
  judge: {provider: openai, endpoint: lab, model: alpha}   # the large one
  small: &small
    provider: pattern
  "no": {provider: pattern}
scorers:
  detection: {kind: detection, model: judge}
  fuzzing:
    judge: judge   # for now
    model: no
  merged: {kind: fuzzing, model: {<<: *small, reasks: 1}}
explainers:
  cot: {kind: cot, model: small}
"""


def test_aliases_of_models_become_names_and_nothing_else_changes() -> None:
    assert named(BEFORE) == (AFTER, 4)
    assert named(AFTER) == (AFTER, 0)


@pytest.mark.parametrize(
    "text",
    [
        "models: {}\n",
        "a: &a {x: 1}\nscorers: {d: {model: *a}}\n",  # no model's
        "models: {m: &m {x: 1}}\nreport: {model: *m}\n",  # no entry's
        "models: {m: &m {x: 1}}\nscorers: {d: {models: [*m]}}\n",
        "",
        "- 1\n",
    ],
)
def test_other_aliases_stay(text: str) -> None:
    assert named(text) == (text, 0)


@pytest.mark.parametrize("line", ['"true": &m {x: 1}', '"7": &m {x: 1}', '"a b": &m {x: 1}'])
def test_a_name_that_yaml_reads_as_something_else_is_quoted(line: str) -> None:
    name = line.partition(":")[0]
    assert named(f"models:\n  {line}\nscorers: {{d: {{model: *m}}}}\n")[0].endswith(f"model: {name}}}}}\n")


PARAMS = """\
corpus: {{source: text, path: texts, context_length: 8, tokens: 80}}
subject: {{model: somewhere}}
coders: {{one: {{path: coders/one, hookpoint: layers.0}}}}
sampling: {{latents: [2], window: 4}}
models: {{judge: {anchor}{{provider: openai, endpoint: lab, model: alpha}}}}
scorers: {{detection: {{kind: detection, model: {model}}}}}
explainers: {{pattern: {{kind: pattern}}}}
"""


def test_what_dvc_is_told_with_s_reaches_the_scorer(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.format(anchor="&judge ", model="*judge"))
    before = params.load(path)
    assert write_names(path) == 1
    assert params.load(path) == before
    assert path.read_text() == PARAMS.format(anchor="", model="judge")
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]
    apply_overrides(path, ["models.judge.model=beta"])
    assert params.load(path).scorers["detection"]["model"]["model"] == "beta"
    assert write_names(path) == 0
