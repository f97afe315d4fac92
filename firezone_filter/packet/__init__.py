"""Bytes only: headers, ICMP errors, fragments, replies, checksums. Knows no policy."""
