"""Who may reach what: authorizations, compiled filters, longest-prefix match, special ranges."""
