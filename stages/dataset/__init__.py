"""results/dataset: explanations, scores, verdicts and examples as a folder that others load without Glossa."""
