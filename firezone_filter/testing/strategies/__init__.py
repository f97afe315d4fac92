"""Hypothesis strategies: of packets, of policies and their parts, and of stories."""
