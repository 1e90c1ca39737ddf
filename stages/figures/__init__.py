"""The figures of the report and of `dvc plots`: a Vega-Lite spec each, and the code that fills it."""
