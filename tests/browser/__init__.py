"""A report in a real browser. It skips where there is none."""
