"""How fast and where things run. Nothing in this package can change a byte of a result, so no stage's fingerprint covers it."""
