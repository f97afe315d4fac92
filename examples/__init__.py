"""Examples: read them, run them."""
