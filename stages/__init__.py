"""Glossa: explain the latents of sparse coders in natural language, and score the explanations."""

__version__ = "0.1.0"
