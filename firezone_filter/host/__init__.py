"""A gateway for Linux: devices, routes and peers around the library, which decides."""
