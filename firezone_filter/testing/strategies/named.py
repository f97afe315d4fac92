"""Strategies that are shown by the name of the function that made them."""

from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def named(name: str, strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Return a strategy that is the same and has a short `repr`.

    Hypothesis shows strategies where drawing fails, and warns where that is long: those here have
    hundreds of parts, and parts of a policy in them.
    """

    def drawn(draw: st.DrawFn) -> T:
        return draw(strategy)

    drawn.__name__ = drawn.__qualname__ = name
    return st.composite(drawn)()
