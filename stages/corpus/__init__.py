"""Text sources -> rows of tokens, and the document of every row."""
