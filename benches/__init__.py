"""How fast, and beside what: benches, and the scripts that read and add to them."""
