"""The live test: a text that someone types, read as the corpus was, and the latents that fire on it."""
