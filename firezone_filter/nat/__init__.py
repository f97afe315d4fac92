"""Translation for DNS resources: proxy addresses, and the sessions of their flows."""
