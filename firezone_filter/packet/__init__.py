"""The bytes of packets: headers, flow keys, rewriting with checksums, replies. No policy."""
