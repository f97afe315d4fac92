"""Flow records, counters and events. What is counted never decides."""
