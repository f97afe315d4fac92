"""The same in C: what is done to bytes, and looking up (see `twins`)."""
