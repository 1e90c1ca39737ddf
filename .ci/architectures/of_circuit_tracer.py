"""Cases of circuit-tracer: ``python .ci/architectures/of_circuit_tracer.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from cases import D_IN, LATENTS, Case, Cases, K, draw, inputs
from circuit_tracer.transcoder.activation_functions import JumpReLU, TopK
from circuit_tracer.transcoder.cross_layer_transcoder import CrossLayerTranscoder, load_clt
from circuit_tracer.transcoder.single_layer_transcoder import (
    SingleLayerTranscoder,
    load_gemma_scope_2_transcoder,
    load_gemma_scope_transcoder,
    load_relu_transcoder,
)
from safetensors.torch import save_file
from torch.nn import functional

LAYERS = 3
CPU = torch.device("cpu")


def config(case: Case, **more: object) -> None:
    """The config.yaml of its repository."""
    lines = {
        "model_name": "some/model",
        "feature_input_hook": "hook_resid_mid",
        "feature_output_hook": "hook_mlp_out",
        **more,
    }
    (case.coder / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))


def per_layer(cases: Cases) -> None:
    """Transcoders of one layer, as it saves them and as it loads those of Gemma Scope."""
    x = inputs()
    for function in ("relu", "jumprelu", "topk"):
        for skip in (False, True):
            case = cases.new(f"per-layer transcoder, {function}", "with a skip connection" if skip else "")
            makers = {
                "relu": lambda: functional.relu,
                "jumprelu": lambda: JumpReLU(torch.zeros(LATENTS)),
                "topk": lambda: TopK(K),
            }
            coder = SingleLayerTranscoder(D_IN, LATENTS, makers[function](), 2, skip, device=CPU, dtype=torch.float32)
            draw(coder, seed=cases.n)
            coder.to_safetensors(str(case.coder / "layer_2.safetensors"))
            config(case, model_kind="transcoder_set", activation=function, **({"k": K} if function == "topk" else {}))
            if function != "topk":  # of which its loader makes another
                coder = load_relu_transcoder(str(case.coder / "layer_2.safetensors"), 2, CPU)
            with torch.inference_mode():
                case.done(x, coder.encode(x), coder(x), "layer_2.safetensors")


def gemma_scope(cases: Cases) -> None:
    """The transcoders of Gemma Scope and Gemma Scope 2, as its own loaders read them."""
    generator, x = torch.Generator().manual_seed(5), inputs()

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / 2

    case = cases.new("Gemma Scope transcoder")
    shapes = {"W_enc": (D_IN, LATENTS), "W_dec": (LATENTS, D_IN), "b_enc": (LATENTS,), "b_dec": (D_IN,)}
    arrays = {name: drawn(*shape) for name, shape in shapes.items()} | {"threshold": drawn(LATENTS).abs()}
    place = case.coder / "gemma-scope-2b-pt-transcoders/layer_5/width_16k/average_l0_76"
    place.mkdir(parents=True)
    np.savez(place / "params.npz", **{name: value.numpy() for name, value in arrays.items()})
    coder = load_gemma_scope_transcoder(str(place / "params.npz"), 5, CPU)
    with torch.inference_mode():
        case.done(x, coder.encode(x), coder(x), place.relative_to(case.coder).as_posix())
    for affine in (False, True):
        case = cases.new("Gemma Scope 2 transcoder", "affine" if affine else "")
        shapes = {"w_enc": (D_IN, LATENTS), "w_dec": (LATENTS, D_IN), "b_enc": (LATENTS,), "b_dec": (D_IN,)}
        tensors = {name: drawn(*shape) for name, shape in shapes.items()} | {"threshold": drawn(LATENTS).abs()}
        if affine:
            tensors["affine_skip_connection"] = drawn(D_IN, D_IN)
        place = case.coder / f"transcoder_all/layer_5_width_16k_l0_big{'_affine' if affine else ''}"
        place.mkdir(parents=True)
        save_file(tensors, place / "params.safetensors")
        coder = load_gemma_scope_2_transcoder(str(place / "params.safetensors"), 5, CPU)
        with torch.inference_mode():
            case.done(x, coder.encode(x), coder(x), place.relative_to(case.coder).as_posix())


def cross_layer(cases: Cases) -> None:
    """Layers of cross-layer transcoders."""
    for function in ("relu", "jump_relu"):
        for layer in range(LAYERS):
            case = cases.new(f"cross-layer transcoder, {function}", f"layer {layer} of {LAYERS}")
            made = CrossLayerTranscoder(
                LAYERS, LATENTS, D_IN, function, lazy_decoder=False, device=CPU, dtype=torch.float32
            )
            draw(made, seed=cases.n)
            made.to_safetensors(str(case.coder))
            config(case, model_kind="cross_layer_transcoder")
            coder = load_clt(str(case.coder), device=CPU, dtype=torch.float32)
            x = inputs(LAYERS * D_IN).view(-1, LAYERS, D_IN).transpose(0, 1).contiguous()
            with torch.inference_mode():
                latents = coder.encode(x)
                alone = torch.zeros_like(latents)
                alone[layer] = latents[layer]
                written = coder.decode(alone) - coder.b_dec[:, None]
            places = {f"blocks.{at}.hook_mlp_out": written[at] for at in range(layer, LAYERS)}
            case.done(x[layer], latents[layer], None, f"W_enc_{layer}.safetensors", **places)


def main(folder: Path) -> None:
    """Writes them."""
    cases = Cases(folder, "circuit-tracer")
    per_layer(cases)
    gemma_scope(cases)
    cross_layer(cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
