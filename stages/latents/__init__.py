"""The store of activations: what is written, how it is sorted, and how it is read."""
