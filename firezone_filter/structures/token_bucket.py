"""A token bucket: a rate limit on the host's clock."""


class TokenBucket:
    """A bucket that holds *burst* tokens, is full at first, and gains *rate* a second."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled = now

    def has_token(self, now: float) -> bool:
        """Tell whether `take` would get a token at *now*, without taking it."""
        return self._tokens >= 1.0 or self._filled_up(now) >= 1.0

    def take(self, now: float) -> None:
        """Take a token; `has_token` must be true at *now*."""
        if now != self._filled:
            self._tokens = self._filled_up(now)
            self._filled = now
        self._tokens -= 1.0

    def _filled_up(self, now: float) -> float:
        if now == self._filled or not self._rate:
            return self._tokens
        # Convert before subtracting: the difference of two huge ints may exceed any float.
        elapsed = float(now) - float(self._filled)
        return min(float(self._burst), self._tokens + elapsed * self._rate)

    def shift_clock(self, by: float) -> None:
        """Move every moment: the host's clock has been set, or has begun."""
        self._filled += by
