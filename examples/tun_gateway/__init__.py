"""A gateway for Linux that embeds the library, and a client for it. For tests and study.

From the world to the library: `tun` is the kernel's end, `carrier` the place where WireGuard
would be, `portal` the policy file; `gateway` is the host that asks the library about every
packet, `client` the other end.
"""
