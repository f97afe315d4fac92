"""General data structures, which know nothing of Firezone or packets."""
