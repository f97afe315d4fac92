"""The front door, the judge of packets, and what is kept of each client."""
