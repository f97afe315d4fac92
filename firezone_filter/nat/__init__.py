"""DNS resources: proxy addresses, and the sessions that translate what goes to them."""
