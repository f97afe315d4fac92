"""What one client may ask: so many questions a second, and so many at a time."""

from collections.abc import Collection
from typing import Final

from attrs import define

from firezone_filter.structures.token_bucket import TokenBucket

RATE: Final = 50.0
"""Questions a second of one client, on average. Each costs a quarter of a millisecond, in the loop
that moves the packets of all. A browser that opens a page with fifty hosts asks three times as
many in a second, and then none: that is what `BURST` is for."""

BURST: Final = 200
"""Questions of one client at once, beyond the average."""

MOST_WAITING: Final = 32
"""Questions of one client that wait for an answer. Each costs a task and at most one socket."""

MOST_CONNECTIONS: Final = 256
"""TCP connections of all clients. Each has a file, and a process has 1,024 by default."""

MOST_CONNECTIONS_OF_ONE: Final = 8
"""TCP connections of one client."""


@define(eq=False)
class _Client:
    bucket: TokenBucket
    waiting: int = 0
    connections: int = 0


class Limits:
    """Counts what clients ask. Memory is that of clients that are connected."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}
        self._connections = 0

    def begin(self, client_id: str, now: float) -> bool:
        """Tell whether a client may ask now; if so, `end` has to follow."""
        client = self._get(client_id, now)
        if client.waiting >= MOST_WAITING or not client.bucket.has_token(now):
            return False
        client.bucket.take(now)
        client.waiting += 1
        return True

    def end(self, client_id: str) -> None:
        """Note that a question has been answered, or never will be."""
        self._clients[client_id].waiting -= 1

    def connect(self, client_id: str, now: float) -> bool:
        """Tell whether a client may have another connection; if so, `disconnect` has to follow."""
        client = self._get(client_id, now)
        if client.connections >= MOST_CONNECTIONS_OF_ONE or self._connections >= MOST_CONNECTIONS:
            return False
        client.connections += 1
        self._connections += 1
        return True

    def disconnect(self, client_id: str) -> None:
        """Note that a connection is closed."""
        self._clients[client_id].connections -= 1
        self._connections -= 1

    def retain(self, client_ids: Collection[str]) -> None:
        """Forget all other clients, unless something of them is still going on."""
        for client_id, client in list(self._clients.items()):
            if client_id not in client_ids and not client.waiting and not client.connections:
                del self._clients[client_id]

    def _get(self, client_id: str, now: float) -> _Client:
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = _Client(TokenBucket(RATE, BURST, now))
        return client
