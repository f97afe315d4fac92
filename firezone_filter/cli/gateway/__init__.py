"""The command `gateway`, which runs a gateway on Linux. It needs the extra `gateway`."""
