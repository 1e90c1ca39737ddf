"""What people look at: the metrics file, the plots and the pages of the report."""
