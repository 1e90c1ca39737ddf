#!/usr/bin/env bash
# What llamascopium 2.0.0b34 computes with activation scales folded in is not what it computed before.
#
# standardize_parameters_of_dataset_norm (save_pretrained and from_pretrained with fold_activation_scale=True) is to move the scale of the
# activations into the weights. Of an autoencoder with JumpReLU it divides the encoder's bias by the scale but leaves the threshold as it was, so other latents fire.
# Of a crosscoder it divides the bias of every place by the scale of that place, though what enters the latents is a sum over places, so pre-activations
# change wherever scales differ. Besides, CrossLayerTranscoder.encode_single_layer multiplies pre-activations by the norms to each of the layers, a matrix
# where `encode` takes their norm over layers, and fails unless there are as many inputs as layers.
# Source: llamascopium/models/sae.py, crosscoder.py (standardize_parameters_of_dataset_norm), clt.py (encode_single_layer, decoder_norm_per_feature).
# Seen on 2026-11-30, Python 3.11: of the same inputs the autoencoder fires 3.5 latents a token before and 6.8 after; a crosscoder with ReLU has the
# same latents active at 91 % of places; encode_single_layer: The size of tensor a (5) must match the size of tensor b (3).
# To be safe, save without folding, and encode with `encode`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 llamascopium==2.0.0b34 transformer-lens==3.9.0
cat > "$work/fold.py" <<'PY'
import torch
from llamascopium.models.clt import CLTConfig, CrossLayerTranscoder
from llamascopium.models.crosscoder import Crosscoder, CrosscoderConfig
from llamascopium.models.sae import SAEConfig, SparseAutoEncoder

SHAPE = {"d_model": 8, "expansion_factor": 2.0, "device": "cpu", "dtype": torch.float32}
torch.manual_seed(0)


def filled(coder, norms):
    with torch.no_grad():
        for value in coder.parameters():
            value.copy_(torch.randn_like(value) * 0.5)
    coder.set_dataset_average_activation_norm(norms)
    return coder


def active(coder, batch):
    x, more, _ = coder.prepare_input(coder.normalize_activations(batch))
    return coder.encode(x, **more) > 0


with torch.inference_mode():
    for coder, norms in (
        (SparseAutoEncoder(SAEConfig(**SHAPE, hook_point_in="a", hook_point_out="a", act_fn="jumprelu")), {"a": 12.0}),
        (Crosscoder(CrosscoderConfig(**SHAPE, hook_points=["a", "b"], act_fn="relu")), {"a": 3.0, "b": 6.0}),
    ):
        filled(coder, norms)
        batch = {name: torch.randn(64, 8) * 3 for name in norms}
        before = active(coder, batch)
        coder.standardize_parameters_of_dataset_norm()
        print(f"{type(coder).__name__}: the same latents {bool((before == active(coder, batch)).all())}")
    hooks = {"hook_points_in": ["a", "b", "c"], "hook_points_out": ["d", "e", "f"]}
    coder = filled(CrossLayerTranscoder(CLTConfig(**SHAPE, **hooks, act_fn="relu", norm_activation="inference")), {})
    try:
        coder.encode_single_layer(torch.randn(5, 8), 1)
    except RuntimeError as error:
        print(f"encode_single_layer: {error}")
PY
found=$("$work/venv/bin/python" -W ignore "$work/fold.py" 2>/dev/null | grep -E "^(Sparse|Cross|encode)")
echo "$found"
grep -q "SparseAutoEncoder: the same latents False" <<< "$found"
grep -q "Crosscoder: the same latents False" <<< "$found"
grep -q "encode_single_layer: The size of tensor a (5) must match the size of tensor b (3)" <<< "$found"
