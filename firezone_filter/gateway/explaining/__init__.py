"""The rows of both tables in words, for `gateway.explain`. They decide and change nothing."""
