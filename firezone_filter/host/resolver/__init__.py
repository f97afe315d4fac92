"""A resolver on the gateway's tunnel address, for the names of DNS resources (resolver.md).

It knows nothing of tunnels: clients are known by the source address, and `access.Access` is all
that it asks of a gateway.
"""
