"""For hosts on asyncio: `GatewayTimer`, which every one of them would write itself.

The core knows no event loop; this room does, so it is imported by its own name:
`from firezone_filter.aio import GatewayTimer`.
"""

from firezone_filter.aio.timer import GatewayTimer, Timed

__all__ = ["GatewayTimer", "Timed"]
