"""Playing a capture through a policy."""
