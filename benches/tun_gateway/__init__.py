"""The example host with the library's decisions, and without them."""
