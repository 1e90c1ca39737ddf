"""How files that are nothing but weights are meant: what params.yaml, a config beside them or their authors say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.coders.readers import Function, Options, files
from stages.errors import GlossaError

FUNCTIONS: dict[str, Function] = {
    "relu": "relu",
    "standard": "relu",
    "vanilla": "relu",
    "topk": "topk",
    "topksae": "topk",
    "autoencodertopk": "topk",
    "jumprelu": "jumprelu",
    "jumprelusae": "jumprelu",
}
SAYS_NOTHING = {"sae", "autoencoder", "sparseautoencoder", "transcoder", "crosscoder", "none", ""}
OF_THE_FUNCTION = ("activation", "activation_fn", "activation_fn_str", "activation_function", "act_fn", "nonlinearity")
OF_THE_KIND = ("architecture", "sae_type", "dict_class", "arch", "variant", "type")
OF_K = ("k", "top_k", "topk", "k_active")
OF_THE_BIAS = ("pre_bias", "use_pre_bias", "apply_b_dec_to_input", "apply_decoder_bias_to_pre_encoder")
OF_THE_NORM = (
    "normalize_activations",
    "norm_activation",
    "input_norm",
    "normalize_inputs",
    "normalize_input",
    "normalize",
)
CONFIGS = ("config.json", "cfg.json", "hyperparams.json", "config.yaml")
WITHIN = "what else it holds"
"""Stands for a config in the file of the weights itself."""
DEPTH = 3
"""Objects inside objects of a config that are looked into."""


@dataclass(frozen=True)
class Meaning:
    """How weights are meant."""

    function: Function
    k: int | None
    subtracts: bool | None
    """Whether the decoder's bias is subtracted from the input; None if nothing says so."""


@dataclass(frozen=True)
class Known:
    """What is published of files that say nothing."""

    function: Function
    subtracts: bool


def beside(weights: Path) -> dict[str, Any]:
    """Returns what configs beside ``weights`` hold, by the names of the files.

    Raises:
        GlossaError: one can't be read.
    """
    names = (f"{weights.stem}_cfg.json", f"{weights.stem}.json", *CONFIGS)
    found = [weights.with_name(name) for name in dict.fromkeys(names)]
    return {
        path.name: files.read_yaml(path) if path.suffix == ".yaml" else files.read_json(path)
        for path in found
        if path.is_file()
    }


def meaning(configs: Mapping[str, Any], known: Known | None, options: Options, weights: Path) -> Meaning:
    """Returns how ``weights`` are meant, on which all who say something have to agree.

    Raises:
        GlossaError: nobody says it, two disagree, or it is something that can't be read.
    """
    said = {_called(name): _of_config(config, name, weights) for name, config in configs.items()}
    said["params.yaml"] = (options.activation, options.k, options.pre_bias)
    if known is not None:
        said["its name"] = (known.function, None, known.subtracts)
    function, k, subtracts = (
        _agreed(what, {who: values[i] for who, values in said.items()}, weights)
        for i, what in enumerate(("activation", "k", "pre_bias"))
    )
    _check_norm(configs, options, weights)
    if function is None:
        raise GlossaError(
            f"{weights} holds weights alone, and nothing says what its activation function is; say activation: relu, topk (with k) or "
            "jumprelu, and pre_bias: true or false, in its entry in params.yaml"
        )
    if function == "topk" and k is None:
        raise GlossaError(f"{weights} is said to be topk, but nothing says its k; say k in its entry in params.yaml")
    if function != "topk" and k is not None:
        raise GlossaError(
            f"{weights} is said to be {function}, but to have k: {k} as well, which only topk has; correct activation or k in params.yaml"
        )
    return Meaning(function, k, subtracts)


def refuse_others(weights: Path, configs: Mapping[str, Any]) -> None:
    """Refuses ``weights`` that are taken for a ReLU since no tensor says otherwise, where a config does.

    Raises:
        GlossaError: one does.
    """
    for name, config in configs.items():
        function, k, _ = _of_config(config, name, weights)
        other = function if function not in (None, "relu") else None if k is None else f"k: {k}"
        if other is not None:
            raise GlossaError(
                f"{weights} has the layout of a coder whose activation function is relu, but {_where(name, weights)} says {other}; "
                "correct what is wrong, or save it in another layout"
            )


def _called(name: str) -> str:
    return name if name == WITHIN else f"{name} beside it"


def _where(name: str, weights: Path) -> str:
    return f"{name} in {weights}" if name == WITHIN else f"{name} beside {weights}"


def _of_config(config: Any, name: str, weights: Path) -> tuple[Function | None, int | None, bool | None]:
    where = _where(name, weights)
    functions = [_function(value, where) for value in _all(config, OF_THE_FUNCTION)]
    kinds = [_function(value, where) for value in _all(config, OF_THE_KIND)]
    # "standard" is said of every shape of encoder, so it says nothing beside an activation function.
    wanted = {f for f in functions if f} or {f for f in kinds if f}
    if any(functions) and {f for f in kinds if f} - wanted - {"relu"}:
        wanted |= {f for f in kinds if f}
    if len(wanted) > 1:
        raise GlossaError(
            f"expected one activation function in {where}, found {' and '.join(sorted(wanted))}; correct it"
        )
    ks = {int(value) for value in _all(config, OF_K) if type(value) in (int, float) and value > 0 and value % 1 == 0}
    biases = {value for value in _all(config, OF_THE_BIAS) if type(value) is bool}
    for what, values in (("k", ks), ("pre-bias", biases)):
        if len(values) > 1:
            raise GlossaError(f"expected one {what} in {where}, found several; correct it")
    return next(iter(wanted), None), next(iter(ks), None), next(iter(biases), None)


def _function(value: Any, where: str) -> Function | None:
    if not isinstance(value, str):
        return None
    plain = re.sub(r"[^a-z0-9]", "", value.lower())
    if plain in SAYS_NOTHING:
        return None
    if plain not in FUNCTIONS:
        raise GlossaError(
            f"expected the activation relu, topk or jumprelu in {where}, found {files.shown(value)}; no other can be read from weights alone"
        )
    return FUNCTIONS[plain]


def _agreed(what: str, said: Mapping[str, Any], weights: Path) -> Any:
    values = {who: value for who, value in said.items() if value is not None}
    if len(set(values.values())) > 1:
        listed = ", ".join(f"{str(value).lower()} in {who}" for who, value in values.items())
        raise GlossaError(f"expected one {what} for {weights}, found {listed}; correct what is wrong")
    return next(iter(values.values()), None)


def _check_norm(configs: Mapping[str, Any], options: Options, weights: Path) -> None:
    """Refuses a config that speaks of normalised inputs, unless params.yaml says which way."""
    if options.normalise is not None:
        return
    for name, config in configs.items():
        for value in _all(config, OF_THE_NORM):
            if value not in (None, False, "none", "None"):
                raise GlossaError(
                    f"{_where(name, weights)} says that inputs were normalised ({files.shown(value)}); say normalise: constant_norm (to "
                    "the norm √d_in), layer_norm or none in its entry in params.yaml"
                )


def _all(config: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    """What ``keys`` are in a config and in objects inside it, each of which is looked into once however often it is referred to."""
    layer, seen = [config], set[int]()
    for _ in range(DEPTH):
        layer = [part for part in layer if isinstance(part, dict) and id(part) not in seen]
        seen |= {id(part) for part in layer}
        for part in layer:
            yield from (value for name, value in part.items() if name in keys)
        layer = list(
            {id(value): value for part in layer for value in part.values() if isinstance(value, dict)}.values()
        )
