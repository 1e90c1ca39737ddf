"""Servers of language models: one call until it is answered, and what a server really does."""
