"""Connection tracking: lifetimes and TCP state of sessions, which live by their packets."""
