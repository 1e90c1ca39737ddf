"""Questions as files, for others to answer."""
