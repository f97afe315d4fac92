"""`Step`: one call of a gateway, as a value."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from firezone_filter import Direction, Gateway
from firezone_filter.structures.attribute_docs import documented


@documented
@frozen
class Step:
    """One call of a gateway: a packet, a hook, or a moment that has come.

    Its `repr` is the call as it stands in a program, so that the story of a failure can be
    pasted into a test.
    """

    method: str
    """The method's name."""

    arguments: tuple[Any, ...] = ()
    """The positional arguments."""

    keywords: Mapping[str, Any] = field(factory=dict)
    """The arguments that go by name."""

    def run(self, gateway: Gateway) -> Any:  # noqa: ANN401 - whatever the method returns
        """Call the method of *gateway*, and return what it returns: of a packet the decision."""
        return getattr(gateway, self.method)(*self.arguments, **self.keywords)

    @property
    def is_packet(self) -> bool:
        """Whether it is a call of `handle_packet`; `Gateway.explain` takes the same arguments."""
        return self.method == "handle_packet"

    def __repr__(self) -> str:
        shown = [_shown(one) for one in self.arguments]
        shown += [f"{name}={_shown(one)}" for name, one in self.keywords.items()]
        return f"gateway.{self.method}({', '.join(shown)})"


def _shown(argument: object) -> str:
    if isinstance(argument, Direction):
        return str(argument)
    if isinstance(argument, bytes):
        return f"bytes.fromhex({argument.hex()!r})"
    return repr(argument)
