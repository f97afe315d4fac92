"""A client that hears of its access after the gateway has: it has none until SIGHUP.

python -m tests.e2e.uninformed ID …
"""

import asyncio
import logging
import signal

from examples.tun_gateway.client import TunClient, main


class Uninformed(TunClient):
    """Takes nothing at first, and then what `--access` says."""

    async def run(self) -> None:
        access, self._access = self._access, []

        def hear() -> None:
            self._access = access
            logging.getLogger("tun_client").info("Access known")

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hear)
        await super().run()


if __name__ == "__main__":
    main(Uninformed)
