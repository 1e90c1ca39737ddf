"""Sparse coders as SAELens 6 and later saves them: ``cfg.json`` and ``sae_weights.safetensors``.

``sparsity.safetensors`` and ``runner_cfg.json`` beside them decide nothing and are not read. What a coder of a ``hook_z``
reads has its heads merged already where Hugging Face models offer it, at the input of the attention's output projection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import Activation, Gated, JumpRelu, Relu, TopK
from stages.coders.readers import Options, files, fold, processing
from stages.coders.sparse_coder import InputNorm, SparseCoder
from stages.errors import GlossaError

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SCALER = "activation_scaler.json"
"""What lies beside a checkpoint, and holds the constant by which inputs were multiplied."""

ENCODERS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
    "batchtopk": ("b_enc",),
}
"""Tensors of an encoder beside W_enc, [d_sae] each."""

ARCHITECTURES = {
    **{name: name for name in ENCODERS},
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
    "matryoshka_batchtopk": "batchtopk",
}
"""The encoder of every architecture that can be read."""

REFUSED = {
    "temporal": "makes a token's latents depend on the tokens before it, which no sparse coder here does; use another",
    "matching_pursuit": "finds its latents one after the other, which no sparse coder here does; use another",
    "abstopk": "keeps the latents of the largest size, whatever their sign, which no sparse coder here does; use another",
}

NORMS: dict[str, InputNorm] = {
    "none": "none",
    "expected_average_only_in": "none",  # a constant, folded into the weights
    "constant_norm_rescale": "constant_norm",
    "layer_norm": "layer_norm",
}


def present(folder: Path) -> bool:
    """Whether ``folder`` holds the files of a SAELens coder of any version."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def major_version(folder: Path) -> int | None:
    """Returns the major version of the SAELens that saved a coder, 0 if it does not say, None if it can't be read."""
    try:
        config = files.read_json(folder / CONFIG)
    except GlossaError:
        return None
    metadata = config.get("metadata")
    nested = metadata.get("sae_lens_version") if isinstance(metadata, dict) else None
    found = re.match(r"[0-9]{1,4}", str(config.get("sae_lens_version") or nested))
    return int(found[0]) if found else 0


def detect(folder: Path) -> bool:
    """Whether ``folder`` is in this format."""
    return present(folder) and major_version(folder) not in range(6)


def read(folder: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32; see ``build``.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or the coder can't be read faithfully.
    """
    return build(files.read_json(folder / CONFIG), folder, options, "saelens")


def build(config: Mapping[str, Any], folder: Path, options: Options, form: str) -> SparseCoder:
    """Makes the coder that ``config``, as SAELens 6 writes it, and the weights in ``folder`` describe.

    The input is normalised, then b_dec is subtracted if ``apply_b_dec_to_input`` (never of a transcoder). The constant of
    ``expected_average_only_in`` is folded as W_enc · s, W_dec / s, b_dec / s. With ``rescale_acts_by_decoder_norm`` the
    pre-activations are multiplied by the norms of W_dec before the k largest are kept, and divided by them in decoding:
    that is folded after the constant, as SAELens does. Checkpoints of BatchTopK and Matryoshka training fire above the
    ``topk_threshold`` that training has found, as SAELens saves them for inference.

    Raises:
        GlossaError: see ``read``.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    architecture = _architecture(config, path)
    encoder, transcoder = ARCHITECTURES[architecture], "transcoder" in architecture
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise GlossaError(
            f"expected an object for metadata in {path}, found {files.shown(metadata)}; fetch the coder again"
        )
    _check_heads(config, metadata, path)
    norm, factor = _normalisation(config, transcoder, options, folder)
    state = processing.state(config, metadata, folder, old=form == "saelens_old")
    if options.centre is None:
        _ask_for_centring(state, folder)

    d_in, d_sae = files.whole(config, "d_in", path), files.whole(config, "d_sae", path)
    d_out = files.whole(config, "d_out", path) if transcoder else d_in
    shapes = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    shapes |= dict.fromkeys(ENCODERS[encoder], (d_sae,))
    if "skip" in architecture:
        shapes["W_skip"] = (d_out, d_in)
    tensors = _without_scale(files.read_safetensors(weights), weights)
    if encoder == "jumprelu" and "threshold" not in tensors and "log_threshold" in tensors:  # of old checkpoints
        tensors["threshold"] = files.take(tensors, "log_threshold", (d_sae,), weights).exp()
        del tensors["log_threshold"]
    if encoder == "batchtopk":
        shapes["topk_threshold"] = ()
    files.only(tensors, shapes, weights)
    t = {name: files.take(tensors, name, shape, weights) for name, shape in shapes.items()}
    subtract = _subtracts(config, transcoder, path)
    of_k = encoder in ("topk", "batchtopk")
    rescale = of_k and files.flag(config, "rescale_acts_by_decoder_norm", path, default=encoder == "batchtopk")
    # In training the threshold is in units of what is multiplied by the norms of a decoder for unscaled outputs.
    units = factor if rescale and factor is not None else 1.0
    activation = _activation(encoder, config, t, units, path)

    W_enc, b_enc = t["W_enc"].T.contiguous(), t.get("b_enc", torch.zeros(d_sae))  # noqa: N806
    W_dec, b_dec = t["W_dec"], t["b_dec"]  # noqa: N806
    if factor is not None:
        W_enc, W_dec, b_dec = W_enc * factor, W_dec / factor, b_dec / factor  # noqa: N806
    if rescale:
        W_enc, b_enc, W_dec = fold.unit_decoder(W_enc, b_enc, W_dec, weights)  # noqa: N806
    facts = {
        "format": form,
        "architecture": architecture,
        "apply_b_dec_to_input": subtract,
        "input_norm": norm,
        "norm_factor": factor,
        "k": activation.k if isinstance(activation, TopK) else None,
        "rescale_acts_by_decoder_norm": rescale,
    }
    if folded := state == "folded":
        facts["values_folded"] = True
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_dec if subtract else torch.zeros(d_in),
        activation=activation,
        source=str(folder),
        identity=files.identity(facts, weights),
        W_skip=t.get("W_skip"),
        input_norm=norm,
        hookpoint=files.text(metadata, "hf_hook_name") or files.text(metadata, "hook_name"),
        reconstructs=_hook_out(metadata) if transcoder else None,
        published_l0=float(activation.k) if isinstance(activation, TopK) else None,
        prepend_bos=prepend if isinstance(prepend := metadata.get("prepend_bos"), bool) else None,
        values_folded=folded,
    )


def _hook_out(metadata: Mapping[str, Any]) -> str | None:
    return files.text(metadata, "hf_hook_name_out") or files.text(metadata, "hook_name_out")


def _ask_for_centring(state: processing.State, folder: Path) -> None:
    """Raises GlossaError if a coder was trained on a subject without its mean, or may have been."""
    if state == "centred":
        raise GlossaError(
            f"the coder in {folder} was trained on a mean-centred residual stream (center_writing_weights, as SAELens did before "
            "3.19.2), which the subject as published doesn't have; add centre: true to it in params.yaml, and the mean of every "
            "input is taken away, or centre: false if it was trained on the subject as it is"
        )
    if state == "unknown":
        raise GlossaError(
            f"the files of the coder in {folder} don't say which SAELens trained it (sae_lens_training_version), and before 3.19.2 it "
            "trained on a mean-centred residual stream, which the subject as published doesn't have; say centre: true or false of it "
            "in params.yaml (glossa coder check shows which fits)"
        )


def _architecture(config: Mapping[str, Any], path: Path) -> str:
    name = files.text(config, "architecture")
    if name in REFUSED:
        raise GlossaError(f"the coder in {path.parent} is of the architecture {name}, which {REFUSED[name]}")
    return _choice(config, "architecture", ARCHITECTURES, "", path)


def _choice(config: Mapping[str, Any], key: str, choices: Iterable[str], default: str, path: Path) -> str:
    value = default if config.get(key) is None else config[key]
    if not isinstance(value, str) or value not in choices:
        raise GlossaError(
            f"expected {key} to be one of {', '.join(choices)} in {path}, found {files.shown(value) or 'nothing'}; "
            "no other can be read"
        )
    return value


def _check_heads(config: Mapping[str, Any], metadata: Mapping[str, Any], path: Path) -> None:
    _choice(config, "reshape_activations", ("none", "hook_z"), "none", path)
    for key in ("hook_head_index", "hook_head_index_out"):
        if metadata.get(key) is not None:
            raise GlossaError(
                f"the coder in {path.parent} is of one attention head ({key}: {files.shown(metadata[key])}), which can't be "
                "hooked alone; use one of all heads"
            )


def _normalisation(
    config: Mapping[str, Any], transcoder: bool, options: Options, folder: Path
) -> tuple[InputNorm, float | None]:
    """What is done to every input, and the constant that they are multiplied by, if there is one."""
    key = "normalize_activations"
    if config.get(key) == "covariance_whitening":
        raise GlossaError(
            f"the coder in {folder} was trained on whitened inputs (covariance_whitening), but its files don't hold the "
            "whitening; save it with SAELens at the end of its training, which folds it in"
        )
    name = _choice(config, key, NORMS, "none", folder / CONFIG)
    if transcoder and NORMS[name] != "none":
        raise GlossaError(
            f"the transcoder in {folder} has {key}: {name}, which leaves open on what scale its output is; use one without"
        )
    if name != "expected_average_only_in":
        options.refuse_norm_factor(folder)
    elif options.norm_factor is None and options.listed_norm_factor is not None:
        return options.input_norm(NORMS[name], folder), options.listed_norm_factor
    elif options.norm_factor is None and (scaler := folder / SCALER).is_file():
        return options.input_norm(NORMS[name], folder), files.real(files.read_json(scaler), "scaling_factor", scaler)
    elif options.norm_factor is None:
        raise GlossaError(
            f"the coder in {folder} was trained on inputs multiplied by a constant ({key}: {name}) that its files don't hold; "
            "give it as norm_factor in params.yaml (√d_in over the mean norm of the inputs: SAELens lists it as "
            "norm_scaling_factor of published coders, and keeps it in activation_scaler.json in training)"
        )
    return options.input_norm(NORMS[name], folder), options.norm_factor


def _without_scale(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Leaves out the scale that finetuning may have put on the activations, where it is 1."""
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        if name in tensors and not (files.take(tensors, name, None, path) == 1).all():
            raise GlossaError(
                f"the coder in {path.parent} has a {name} other than 1 on its activations, which has meant different things; "
                "multiply the rows of W_dec by it and take it out of the file"
            )
        tensors.pop(name, None)
    return tensors


def _subtracts(config: Mapping[str, Any], transcoder: bool, path: Path) -> bool:
    subtract = files.flag(config, "apply_b_dec_to_input", path, default=not transcoder)
    if subtract and transcoder:
        raise GlossaError(
            f"expected apply_b_dec_to_input to be false in {path}, because the b_dec of a transcoder belongs to its output, "
            "found true; correct it there"
        )
    return subtract


def _activation(
    encoder: str, config: Mapping[str, Any], t: Mapping[str, Tensor], units: float, path: Path
) -> Activation:
    if encoder == "batchtopk":
        if t["topk_threshold"] <= 0:
            raise GlossaError(
                f"expected a topk_threshold above 0 in the checkpoint {path.parent}, found {t['topk_threshold']:g}: training has not "
                "set it yet, and without it everything positive would fire; use a later checkpoint"
            )
        return JumpRelu((t["topk_threshold"] / units).expand(len(t["b_enc"])).contiguous())
    if encoder == "jumprelu":
        return JumpRelu(t["threshold"])
    if encoder == "gated":
        return Gated(r_mag=t["r_mag"], b_mag=t["b_mag"], b_gate=t["b_gate"])
    if encoder == "standard":
        return Relu()
    return TopK(files.whole(config, "k", path, at_most=len(t["b_enc"])))
