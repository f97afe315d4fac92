"""Replays a capture through a policy: a library of its own, which opens and prints nothing."""
