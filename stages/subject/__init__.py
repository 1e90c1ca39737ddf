"""The language model under study: loading, hookpoints, and a forward pass that stops early."""
