"""The report as a site: pages that open from disk, and the data that they load piece by piece."""
