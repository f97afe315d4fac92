"""The tests of a policy: whether what must be permitted is, and what must not be is not.

Exact, and without a packet: the addresses, ports and types of a target are compared with the
areas of its client (`view`). A packet is made only to show what fails.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Literal, TypeVar
from typing import Protocol as Kind

from attrs import field, frozen

from firezone_filter.policy.analysis.areas import HasPolicy, Surveyor
from firezone_filter.policy.analysis.view import Failure, View
from firezone_filter.policy.building import build_gateway, living
from firezone_filter.policy.parts import PolicyTest
from firezone_filter.policy.targets import Target, parse_target
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.decisions import Direction
from firezone_filter.values.explanations import Explanation
from firezone_filter.values.json_types import to_dict

T = TypeVar("T")

Side = Literal["allow", "deny"]
"""The two lists of a test."""


@documented
@frozen
class TestResult:
    """What became of one test of a policy."""

    __test__: ClassVar[bool] = False

    name: str
    """The name of the test."""

    passed: bool
    """Whether all of it holds."""

    part: str | None = None
    """The first target that fails, as it is written; those of `allow` come before those of
    `deny`. `None` if the test has passed."""

    witness: tuple[Direction, bytes] | None = None
    """A packet that shows it: one that is refused in spite of `allow`, or permitted in spite of
    `deny`. `None` if the test has passed, or if the target is a name without proxy addresses."""

    explanation: Explanation | None = None
    """Why a gateway of the policy, at the moment of the test, decides about the witness as it
    does; `None` without one."""

    client: str = field(default="", kw_only=True)
    """The id of the client."""

    side: Side | None = field(default=None, kw_only=True)
    """The list that `part` stands in; `None` if the test has passed."""

    others: tuple[tuple[Side, str], ...] = field(default=(), kw_only=True)
    """The other targets that fail, in their order, each behind the list that it stands in."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types; the witness as an object, its packet as hex."""
        witness: dict[str, object] | None = None
        if self.witness is not None:
            direction, packet = self.witness
            witness = {"direction": direction.value, "packet": packet.hex()}
        why = None if self.explanation is None else self.explanation.to_dict()
        return {**to_dict(self), "witness": witness, "explanation": why}


class HasTests(HasPolicy, Kind):
    """The parts of a `Policy`, which is above this room."""

    @property
    def tests(self) -> tuple[PolicyTest, ...]:
        """The tests."""


def run_tests(policy: HasTests) -> tuple[TestResult, ...]:
    """Run the tests of a policy, as `Policy.run_tests`."""
    results: dict[int, TestResult] = {}
    for at, tests in _grouped(enumerate(policy.tests), lambda one: one.at).items():
        by_client = _grouped(tests, lambda one: one.client)
        clients = {one.id: one for one in policy.clients if one.id in by_client}
        # With the options of the policy, for explanations; the areas are the same with any.
        gateway = build_gateway(
            policy.addresses,
            policy.address_plan,
            policy.options,
            living(clients.values(), at),
            None,
        )
        surveyor = Surveyor(gateway)
        for client_id, of_client in by_client.items():
            view = View(clients[client_id], policy.addresses, gateway, surveyor)
            results.update((number, _run(test, view)) for number, test in of_client)
    return tuple(results[number] for number in range(len(policy.tests)))


def _grouped(
    tests: Iterable[tuple[int, PolicyTest]], key: Callable[[PolicyTest], T]
) -> dict[T, list[tuple[int, PolicyTest]]]:
    """Return numbered tests by what a *key* says of them."""
    groups: dict[T, list[tuple[int, PolicyTest]]] = {}
    for number, test in tests:
        groups.setdefault(key(test), []).append((number, test))
    return groups


def _run(test: PolicyTest, view: View) -> TestResult:
    failed = tuple(_failures(test, view))
    if not failed:
        return TestResult(name=test.name, passed=True, client=test.client)
    (side, text, target, failure), *others = failed
    witness, explanation = view.show(target, failure)
    return TestResult(
        name=test.name,
        passed=False,
        part=text,
        witness=witness,
        explanation=explanation,
        client=test.client,
        side=side,
        others=tuple((side, text) for side, text, *_ in others),
    )


def _failures(test: PolicyTest, view: View) -> Iterator[tuple[Side, str, Target, Failure]]:
    sides: tuple[tuple[Side, tuple[str, ...]], ...] = ("allow", test.allow), ("deny", test.deny)
    for side, texts in sides:
        for text in texts:
            target = parse_target(text)
            failure = view.refused(target) if side == "allow" else view.permitted(target)
            if failure is not None:
                yield side, text, target, failure
