"""The JSON Schema of policy files: that it is one, tells what each field is, and is shipped."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import fields_dict
from jsonschema import Draft202012Validator

import firezone_filter
from firezone_filter import GatewayOptions, load_policy
from firezone_filter.policy.schema import policy_schema
from tests.unit.policy.documents import Json

SHIPPED = Path(firezone_filter.__file__).with_name("policy") / "policy.schema.json"
EXAMPLES = Path(__file__).parents[3] / "examples"


def properties(schema: Json) -> Iterator[tuple[str, Json]]:
    """Yield the properties of all objects in a schema, but for those that rules look at."""
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
    for inner in schema.get("$defs", {}).values():
        yield from properties(inner)


def test_it_is_a_schema_of_draft_2020_12() -> None:
    schema = policy_schema()
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_the_file_in_the_package_is_the_schema() -> None:
    """If this fails: `firezone-filter schema > firezone_filter/policy/policy.schema.json`."""
    assert SHIPPED.read_text() == json.dumps(policy_schema(), indent=2) + "\n"


def test_every_field_tells_what_it_is() -> None:
    found = list(properties(policy_schema()))
    assert {"tests", "exclude", "port_range_end", "types_v6"} <= {name for name, _ in found}
    assert [name for name, one in found if not one.get("description")] == []
    assert all(one.get("title") or "items" in one for one in policy_schema()["$defs"].values())


def test_every_option_is_in_it() -> None:
    options = policy_schema()["$defs"]["options"]["properties"]
    assert list(options) == list(fields_dict(GatewayOptions))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*/policy.json")), ids=str)
def test_the_examples_keep_to_it(example: Path) -> None:
    assert not list(
        Draft202012Validator(policy_schema()).iter_errors(json.loads(example.read_text()))
    )


def test_a_target_may_have_the_name_that_logs_have() -> None:
    pattern = policy_schema()["$defs"]["test"]["properties"]["deny"]["items"]["pattern"]
    assert re.search(pattern, "icmpv6/128 fd00::1")
    assert not re.search(pattern, "icmpv4 10.0.0.5")


def test_the_example_of_the_docstring_keeps_to_it() -> None:
    found = re.search(r"```json\n(.*?)```", load_policy.__doc__ or "", re.DOTALL)
    assert found is not None
    document = json.loads(found.group(1))
    assert load_policy(document).tests
    assert not list(Draft202012Validator(policy_schema()).iter_errors(document))
