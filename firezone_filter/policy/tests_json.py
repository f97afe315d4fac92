"""The tests of a policy as JSON: `PolicyTest` in a policy file, read and written."""

from functools import partial

from firezone_filter.documents.nodes import Node, build_if_complete
from firezone_filter.policy.consistency import Names, check_test_client, check_test_target
from firezone_filter.policy.parts import PolicyTest
from firezone_filter.policy.targets import parse_target
from firezone_filter.values.resources import to_id
from firezone_filter.values.times import IN_SECONDS, to_time


def read_tests(node: Node | None, names: Names | None) -> tuple[PolicyTest, ...] | None:
    """Read the tests of a policy file; there may be none.

    Args:
        node: the list; `None` if it is missing, `null` is a fault.
        names: the clients that there are, and the names of each; `None` if they are faulty
            themselves.
    """
    return () if node is None else node.each(partial(_read_test, names))


def write_tests(tests: tuple[PolicyTest, ...]) -> list[dict[str, object]]:
    """Return *tests* in the form that `read_tests` reads."""
    return [_write_test(test) for test in tests]


def _read_test(names: Names | None, node: Node) -> PolicyTest | None:
    fields = node.fields_only("name", "client", "at", "allow", "deny")
    if fields is None:
        return None
    name = fields.require("name").text(str)
    client = fields.require("client")
    client_id = client.text(to_id)
    if client_id is not None:
        check_test_client(client, client_id, names)
    moment = fields.get_unless_null("at")
    at = {} if moment is None else {"at": _read_time(moment)}
    targets = {
        part: one.each(partial(_read_target, client_id, names))
        for part in ("allow", "deny")
        if (one := fields.get(part)) is not None
    }
    return build_if_complete(PolicyTest, name=name, client=client_id, **at, **targets)


def _read_time(node: Node) -> float | None:
    seconds = node.number(IN_SECONDS)
    return None if seconds is None else node.attempt(to_time, seconds)


def _read_target(client_id: str | None, names: Names | None, node: Node) -> str | None:
    target = node.text(parse_target)
    if target is None:
        return None
    check_test_target(node, target, client_id, names)
    return str(node.value)


def _write_test(test: PolicyTest) -> dict[str, object]:
    written: dict[str, object] = {"name": test.name, "client": test.client}
    if test.at is not None:
        written["at"] = test.at
    for part, texts in (("allow", test.allow), ("deny", test.deny)):
        if texts:
            written[part] = list(texts)
    return written
