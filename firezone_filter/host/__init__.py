"""The host of a gateway: devices, routes, sockets and clocks around the library."""
