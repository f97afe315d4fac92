"""Stateful filtering: the flows that clients have begun, and to which packets belong."""
