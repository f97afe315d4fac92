"""Connection tracking: lifetimes, TCP state and limits of what lives by its packets."""
