#!/usr/bin/env bash
# circuit-tracer 0.5.0 can't load the cross-layer transcoders of Gemma Scope 2.
#
# load_gemma_scope_2_clt stacks the files of `range(max(paths.keys()))` layers, where layers count from 0, so the last one is left out. The decoders
# of the others still write to all layers, one more than the model that it makes has, and loading ends in size mismatches.
# Source: circuit_tracer/transcoder/cross_layer_transcoder.py (load_gemma_scope_2_clt).
# Seen on 2026-11-30, Python 3.11: RuntimeError … size mismatch for W_dec.0: copying a param with shape torch.Size([16, 3, 8]) from checkpoint, the
# shape in current model is torch.Size([16, 2, 8]).
# To use one, load its files layer by layer, or raise the range by one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy safetensors "huggingface-hub<1" "transformers==4.57.3" pydantic tqdm einops
"$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps circuit-tracer==0.5.0
cat > "$work/load.py" <<'PY'
import sys

import torch
from circuit_tracer.transcoder.cross_layer_transcoder import load_gemma_scope_2_clt
from safetensors.torch import save_file

paths = {layer: f"{sys.argv[1]}/params_layer_{layer}.safetensors" for layer in range(3)}
for path in paths.values():
    save_file({"w_enc": torch.randn(8, 16), "w_dec": torch.randn(16, 3, 8), "b_enc": torch.randn(16), "b_dec": torch.randn(8),
               "threshold": torch.rand(16)}, path)
load_gemma_scope_2_clt(paths, device=torch.device("cpu"), dtype=torch.float32)
print("loaded")
PY
found=$("$work/venv/bin/python" -W ignore "$work/load.py" "$work" 2>&1 || true)
echo "$found" | tail -3
grep -q "size mismatch for W_dec.0: .*\[16, 3, 8\].*\[16, 2, 8\]" <<< "$(tr '\n' ' ' <<< "$found")"
