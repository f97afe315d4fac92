"""A token bucket that lives on the host's clock."""


class TokenBucket:
    """Allows *rate* a second on average and *burst* at once; full at first."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled = now

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        if now != self._filled:
            # As floats: two huge ints may be further apart than a float can say.
            elapsed = float(now) - float(self._filled)
            if self._rate:
                self._tokens = min(float(self._burst), self._tokens + elapsed * self._rate)
            self._filled = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def start_clock(self, now: float) -> None:
        """Count from *now*: no time had passed before."""
        self._filled = now
