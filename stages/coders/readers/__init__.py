"""One file per on-disk format of sparse coders."""
