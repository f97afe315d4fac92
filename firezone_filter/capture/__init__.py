"""Reading capture files: pcap and pcapng, link layers."""
