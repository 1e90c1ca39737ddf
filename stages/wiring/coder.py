"""The stages of a sparse coder, from the template ``coder.yaml``."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages import params, paths, plan
from stages.wiring import inputs

TEMPLATE = Path(__file__).with_name("coder.yaml")
HEAD = "# Written by `glossa wire` from params.yaml and stages/wiring/coder.yaml; edit those.\n"
NAME = "<coder>"


def pipelines(p: params.Params) -> dict[Path, str]:
    """Returns what the file of stages of every coder should say.

    Raises:
        GlossaError: the subject's folder is missing.
    """
    return {path: HEAD + _dump(found) for path, found in stages(p).items()}


def stages(p: params.Params) -> dict[Path, dict[str, Any]]:
    """Returns the stages of every coder by the file that holds them; see ``pipelines``."""
    template = params.read_yaml(TEMPLATE)
    return {paths.pipeline(coder): _stages(p, coder, template["stages"]) for coder in p.coders}


def stage_of(p: params.Params, coder: str, explainer: str, scorer: str | None = None) -> str:
    """Returns what DVC calls the stage that explains or, with a ``scorer``, that scores."""
    if scorer is None:
        name = f"explain-{explainer}" if inputs.own(p, p.explainers[explainer]) else f"explain@{explainer}"
    elif inputs.own(p, p.scorers[scorer]):
        name = f"score-{scorer}" + ("" if explainer == params.LATENT else f"@{explainer}")
    else:
        name = f"score-latent@{scorer}" if explainer == params.LATENT else f"score@{explainer}-{scorer}"
    return address(coder, name)


def address(coder: str, stage: str) -> str:
    """Returns what DVC calls a stage of a coder."""
    return f"{paths.pipeline(coder).as_posix()}:{stage}"


def _stages(p: params.Params, coder: str, template: dict[str, Any]) -> dict[str, Any]:
    stages: dict[str, Any] = _filled(template, NAME, coder)
    stages["cache"]["deps"] += map(_literal, [*inputs.weights(p, coder), *inputs.subject(p.subject)])
    of_latents = plan.scorers_of_latents(p)
    explained = [name for name, entry in p.explainers.items() if not inputs.own(p, entry)]
    scored = [name for name, entry in p.scorers.items() if not inputs.own(p, entry)]
    own = {
        **{
            f"explain-{name}": _own(p, stages["explain"], "explainer", name)
            for name in p.explainers
            if name not in explained
        },
        **{
            f"score-{name}": _own(p, stages["score-latent" if name in of_latents else "score"], "scorer", name)
            for name in p.scorers
            if name not in scored
        },
    }
    _loop(stages, "explain", explainer=explained)
    _loop(stages, "score", explainer=list(p.explainers), scorer=[name for name in scored if name not in of_latents])
    _loop(stages, "score-latent", scorer=[name for name in scored if name in of_latents])
    return stages | own


def _own(p: params.Params, stage: dict[str, Any], loop: str, name: str) -> dict[str, Any]:
    """The stage of an entry that reads files of its own, on which it depends."""
    entry = (p.explainers if loop == "explainer" else p.scorers)[name]
    stage = _filled(stage, f"${{item.{loop}}}", name)
    del stage["matrix"][loop]
    if stage["matrix"]:
        stage["matrix"] = {"explainer": list(p.explainers)}
    else:
        del stage["matrix"]
    return stage | {"deps": [*stage["deps"], *map(_literal, inputs.own(p, entry))]}


def _loop(stages: dict[str, Any], name: str, **names: list[str]) -> None:
    """Gives a stage the names for which it runs; without any it goes."""
    if all(names.values()):
        stages[name]["matrix"] = names
    else:
        del stages[name]


def _filled(value: Any, mark: str, name: str) -> Any:
    """A copy of ``value`` in which ``name`` stands in the place of a mark in every text."""
    if isinstance(value, str):
        return value.replace(mark, name)
    if isinstance(value, dict):
        return {_filled(key, mark, name): _filled(one, mark, name) for key, one in value.items()}
    return [_filled(one, mark, name) for one in value] if isinstance(value, list) else value


def _literal(path: Path) -> str:
    """A path that a user gave, in which DVC fills in nothing."""
    return path.as_posix().replace("${", r"\${")


def _dump(stages: dict[str, Any]) -> str:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = yaml.sort_base_mapping_type_on_output = False
    yaml.width = 200
    text = StringIO()
    yaml.dump({"stages": stages}, text)
    return text.getvalue()
