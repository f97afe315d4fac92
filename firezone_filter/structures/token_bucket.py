"""A token bucket that lives on the host's clock."""


class TokenBucket:
    """Allows *rate* a second on average and *burst* at once; full at first."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled = now

    def has_token(self, now: float) -> bool:
        """Tell whether `take` would get a token at *now*, without taking it."""
        return self._filled_up(now) >= 1.0

    def take(self, now: float) -> None:
        """Take a token that is there."""
        self._tokens = self._filled_up(now) - 1.0
        self._filled = now

    def _filled_up(self, now: float) -> float:
        if now == self._filled or not self._rate:
            return self._tokens
        # As floats: two huge ints may be further apart than a float can say.
        elapsed = float(now) - float(self._filled)
        return min(float(self._burst), self._tokens + elapsed * self._rate)

    def start_clock(self, now: float) -> None:
        """Count from *now*: no time had passed before."""
        self._filled = now
