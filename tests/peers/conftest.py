"""Imports the peers once, with the warnings of their own imports left out; the tests of one that is missing are skipped."""

from __future__ import annotations

import warnings
from contextlib import suppress
from importlib import import_module

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for _peer in ("delphi.log.result_analysis", "sae_lens", "sparsify", "dictionary_learning", "transformer_lens"):
        with suppress(ImportError):
            import_module(_peer)
