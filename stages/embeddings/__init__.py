"""Embeddings of sentences, and those that were computed before."""
