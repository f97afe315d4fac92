"""General data structures; no word of Firezone."""
