"""A replay in parts: one reader, and partitions that decide about some of the clients each.

clusters.md tells how it works, and what follows from that.
"""

from typing import Final

MAX_WORKERS: Final = 64
"""The most worker processes on one machine: one thread reads for all of them, and is too slow
for so many. Each takes some 30 MB before it has decided anything."""
