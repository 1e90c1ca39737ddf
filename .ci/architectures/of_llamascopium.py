"""Cases of llamascopium: ``python .ci/architectures/of_llamascopium.py FOLDER``."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch
from cases import D_IN, LATENTS, Case, Cases, K, draw, inputs
from llamascopium.models.clt import CLTConfig, CrossLayerTranscoder
from llamascopium.models.crosscoder import Crosscoder, CrosscoderConfig
from llamascopium.models.lorsa import LorsaConfig, LowRankSparseAttention
from llamascopium.models.molt import MixtureOfLinearTransform, MOLTConfig
from llamascopium.models.sae import SAEConfig, SparseAutoEncoder

SHAPE: dict[str, Any] = {
    "d_model": D_IN,
    "expansion_factor": LATENTS / D_IN,
    "top_k": K,
    "device": "cpu",
    "dtype": torch.float32,
}
NORMS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


def made(coder: Any, seed: int, places: list[str]) -> Any:
    """The same with random weights and, if it wants them, norms of activations."""
    draw(coder, seed, positive=lambda name: False)
    if coder.cfg.norm_activation == "dataset-wise":
        coder.set_dataset_average_activation_norm(dict(zip(places, NORMS, strict=False)))
    return coder


def run(coder: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """What its own inference does with raw activations: latents, outputs and the scales by place."""
    scaled, scales = coder.normalize_activations(batch, return_scale_factor=True)
    x, encoder, decoder = coder.prepare_input(scaled)
    latents = coder.encode(x, **encoder)
    return latents, coder.decode(latents, **decoder), scales


def sae(cases: Cases) -> None:
    """Autoencoders and transcoders of one place."""
    x = inputs()
    hooks = {
        "SAE": ("blocks.9.hook_resid_post",) * 2,
        "transcoder": ("blocks.9.ln2.hook_normalized", "blocks.9.hook_mlp_out"),
    }
    for kind, function, weighed, norm in product(
        hooks, ["relu", "jumprelu", "topk", "batchtopk"], [True, False], ["dataset-wise", "inference", "token-wise"]
    ):
        case = cases.new(f"{kind}, {function}", f"{norm}, {'' if weighed else 'not '}weighed by decoder norms")
        hook_in, hook_out = hooks[kind]
        config = SAEConfig(
            **SHAPE, hook_point_in=hook_in, hook_point_out=hook_out, act_fn=function, norm_activation=norm,
            sparsity_include_decoder_norm=weighed,
        )  # fmt: skip
        coder = made(SparseAutoEncoder(config), cases.n, [hook_in, hook_out])
        with torch.inference_mode():
            coder.save_pretrained(str(case.coder))
            config.save_hyperparameters(case.coder)
            latents, outputs, scales = run(coder, {hook_in: x, hook_out: x})
            units, norms = scales[hook_in], 1
            if weighed and function == "topk":  # then values are such that what a latent writes has the norm 1
                norms = coder.decoder_norm() * scales[hook_in] / scales[hook_out]
            latents = latents if norm == "token-wise" else latents / units  # in units of the activations as they are
            case.done(x, latents * norms, outputs / scales[hook_out])


def clt(cases: Cases) -> None:
    """Layers of cross-layer transcoders."""
    layers = 3
    hooks = [[f"blocks.{at}.{hook}" for at in range(layers)] for hook in ("hook_resid_mid", "hook_mlp_out")]
    for function, weighed, norm, layer in product(
        ["relu", "jumprelu", "topk", "layertopk", "batchtopk", "batchlayertopk"],
        [True, False],
        ["dataset-wise", "inference"],
        [0, 1],
    ):
        if layer and function in ("layertopk", "batchtopk", "batchlayertopk"):
            continue
        case = cases.new(
            f"cross-layer transcoder, {function}",
            f"{norm}, layer {layer}, weighed {weighed}",
            hookpoint=hooks[0][layer],
        )
        config = CLTConfig(
            **SHAPE, hook_points_in=hooks[0], hook_points_out=hooks[1], act_fn=function, norm_activation=norm,
            sparsity_include_decoder_norm=weighed,
        )  # fmt: skip
        coder = made(CrossLayerTranscoder(config), cases.n, [*hooks[0], *hooks[1]])
        x = inputs(layers * D_IN).split(D_IN, 1)
        with torch.inference_mode():
            coder.save_pretrained(str(case.coder))
            config.save_hyperparameters(case.coder)
            latents, _, scales = run(
                coder, {name: x[at] for at, name in enumerate(hooks[0])} | dict.fromkeys(hooks[1], x[0])
            )
            own = latents[:, layer]
            written = {
                name: own @ coder.W_D[at][layer] / scales[name] for at, name in enumerate(hooks[1]) if at >= layer
            }
            norms = coder.decoder_norm_per_feature()[layer] if weighed and function == "topk" else 1
            case.done(x[layer], own / scales[hooks[0][layer]] * norms, None, **written)


def crosscoder(cases: Cases) -> None:
    """Crosscoders of two places; a latent is active where it is so at one of them."""
    hooks = ["blocks.2.hook_resid_post", "blocks.5.hook_resid_post"]
    for function, norm in product(
        ["relu", "jumprelu", "topk", "batchtopk"], ["dataset-wise", "inference", "token-wise"]
    ):
        case = cases.new(f"crosscoder, {function}", norm)
        coder = made(
            Crosscoder(CrosscoderConfig(**SHAPE, hook_points=hooks, act_fn=function, norm_activation=norm)),
            cases.n,
            hooks,
        )
        x = inputs(2 * D_IN)
        with torch.inference_mode():
            coder.save_pretrained(str(case.coder))
            coder.cfg.save_hyperparameters(case.coder)
            latents, outputs, scales = run(coder, dict(zip(hooks, x.split(D_IN, 1), strict=True)))
            back = torch.cat([outputs[:, at] / scales[name] for at, name in enumerate(hooks)], 1)
            case.done(x, latents.amax(1), back if function == "relu" else None)


def others(cases: Cases) -> None:
    """What is no set of directions."""
    for name, config, kind in (
        ("Lorsa", LorsaConfig, LowRankSparseAttention),
        ("MOLT", MOLTConfig, MixtureOfLinearTransform),
    ):
        case = cases.new(name)
        more: dict[str, Any] = {
            "Lorsa": {"hook_point_in": "blocks.1.ln1.hook_normalized", "hook_point_out": "blocks.1.hook_attn_out", "n_qk_heads": 2,
                      "d_qk_head": 4, "rotary_dim": 4, "n_ctx": 8, "norm_activation": "inference"},
            "MOLT": {"hook_point_in": "blocks.1.ln2.hook_normalized", "hook_point_out": "blocks.1.hook_mlp_out", "rank_counts": {2: 8, 4: 8},
                     "norm_activation": "inference"},
        }[name]  # fmt: skip
        coder = kind(config(**SHAPE, **more))
        draw(coder, cases.n, positive=lambda name: False)
        save(case, coder)
        case.done(inputs(), torch.zeros(len(inputs()), LATENTS))


def save(case: Case, coder: Any) -> None:
    """Weights and config."""
    coder.save_pretrained(str(case.coder))
    coder.cfg.save_hyperparameters(case.coder)


def main(folder: Path) -> None:
    """Writes them."""
    cases = Cases(folder, "llamascopium")
    sae(cases)
    clt(cases)
    crosscoder(cases)
    others(cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
