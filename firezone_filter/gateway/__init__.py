"""The front door, the judge, the flow cache, and the state of each client."""
