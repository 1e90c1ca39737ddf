"""People explain latents and rate explanations: what they are shown, where answers come from, and what ratings come to."""
