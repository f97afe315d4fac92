"""JSON documents with faults that know their place; shared by policy files and the portal."""
