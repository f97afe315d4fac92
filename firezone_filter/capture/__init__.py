"""Reads captures: pcap and pcapng files, and the IP packets inside their frames."""
