"""Flow records, refusals, events and metrics: counts decisions, and never makes one."""
