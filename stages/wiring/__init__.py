"""What every stage is made of: the fingerprints of the code and values that decide it, and the files that tell DVC so."""
