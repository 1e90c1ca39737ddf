#!/usr/bin/env bash
# llamascopium 2.0.0b34, installed as pip installs it, can't be imported.
#
# It asks for transformer-lens >= 2.16.2 without an upper end, imports transformer_lens.HookedTransformer in its own __init__, and transformer-lens 4
# has removed that.
# Source: METADATA of llamascopium; llamascopium/backend/language_model.py.
# Seen on 2026-11-30, Python 3.11: ImportError: 'HookedTransformer' was removed in TransformerLens 4.0.
# To use it, pip install transformer-lens==3.9.0 beside it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 llamascopium==2.0.0b34
found=$("$work/venv/bin/python" -W ignore -c 'import llamascopium' 2>&1 | tail -1 || true)
echo "$found"
grep -q "HookedTransformer' was removed" <<< "$found"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformer-lens==3.9.0
"$work/venv/bin/python" -W ignore -c 'import llamascopium' && echo "with transformer-lens 3.9.0 it can"
