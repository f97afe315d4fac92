"""Lifetimes, TCP state and limits of everything that lives by its packets."""
