"""What the explain and score stages would ask of language models, before anything is sent."""
