"""The outputs of a replay: tables of decisions and flow events, captures of packets, and files."""
