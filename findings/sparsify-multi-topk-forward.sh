#!/usr/bin/env bash
# With multi_topk, the reconstruction that sparsify 1.3.3's forward returns is not that of the latents which fire.
#
# SparseCoder.forward computes the loss of 4 k latents beside that of k, and keeps the reconstruction by 4 k in the variable that it returns as
# `sae_out`, with their latents as `latent_indices`; the skip connection is not in it either. `encode` and `decode` know nothing of multi_topk, and so
# what one gets of a coder for inference depends on which of the two ways is taken.
# Source: sparsify/sparse_coder.py (SparseCoder.forward).
# Seen on 2026-11-30, Python 3.11: forward gives 8 latents of a coder with k = 2, and other outputs than decode(encode(x)) plus the skip connection.
# To be safe, use encode and decode.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 eai-sparsify==1.3.3
cat > "$work/forward.py" <<'PY'
import torch
from sparsify import SparseCoder, SparseCoderConfig

torch.manual_seed(0)
coder = SparseCoder(8, SparseCoderConfig(k=2, num_latents=16, multi_topk=True, skip_connection=True, transcode=True))
with torch.inference_mode():
    for value in coder.parameters():
        value.normal_()
    x = torch.randn(4, 8)
    found = coder.encode(x)
    own = coder.decode(found.top_acts, found.top_indices) + x @ coder.W_skip.mT
    out = coder(x)
print(f"latents {tuple(out.latent_indices.shape)}, outputs differ {bool((out.sae_out - own).abs().max() > 1)}")
PY
found=$("$work/venv/bin/python" -W ignore "$work/forward.py" 2>&1 | tail -1)
echo "$found"
[ "$found" = "latents (4, 8), outputs differ True" ]
