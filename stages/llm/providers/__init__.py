"""Providers of language models: a file each, and what those in this process share."""
