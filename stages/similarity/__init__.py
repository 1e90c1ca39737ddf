"""Matching the latents of different sparse coders, and comparing what is said of them."""
