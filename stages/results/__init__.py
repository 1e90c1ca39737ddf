"""What the stages found, read once, and what is told of it: measures, metrics, differences."""
