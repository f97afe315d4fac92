"""A gateway for Linux, between a VPN that ends in an interface and the networks behind it.

It is outside the core, and embeds it as any host would: by public names. From the kernel
to the library: `tun` moves packets, `rules` and `routing` see to it that the kernel brings
them, `peers` reads what WireGuard binds to whom, `sessions` tells the gateway, `host` asks
it about every packet, `daemon` lets all of it live and end.
"""
