"""`help` and `inspect.getdoc` tell what every public attribute means, as editors do."""

import inspect
import pydoc
from typing import is_typeddict

import pytest

from firezone_filter import Direction, Reason, TunnelAddresses
from tests.public import CLASSES, attributes, written_docs

# What is written below the keys of a dictionary is for editors alone: no class has them.
OBJECTS = {name: cls for name, cls in CLASSES.items() if not is_typeddict(cls)}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_attribute_of_a_class_has_a_doc_of_its_own(name: str) -> None:
    cls = OBJECTS[name]
    docs = {each: inspect.getdoc(value) for each, value in attributes(cls).items()}
    assert [each for each, doc in docs.items() if doc in {None, "", inspect.getdoc(cls)}] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_the_doc_of_an_attribute_is_the_text_below_it(name: str) -> None:
    cls = OBJECTS[name]
    written = dict(written_docs(cls))
    assert written == {each: inspect.getdoc(attributes(cls)[each]) for each in written}


@pytest.mark.parametrize("reason", Reason)
def test_the_doc_of_a_reason_is_its_description(reason: Reason) -> None:
    assert inspect.getdoc(reason) == reason.description


@pytest.mark.parametrize(
    ("cls", "lines"),
    [
        (
            TunnelAddresses,
            ["ipv4", "The IPv4 address, or `None`."],
        ),
        (
            Direction,
            ["OUTBOUND = <Direction.OUTBOUND: 'outbound'>", "From a client, to a resource"],
        ),
    ],
)
def test_help_shows_it_below_the_attribute(cls: type, lines: list[str]) -> None:
    shown = pydoc.render_doc(cls, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    first, second = lines
    assert f"|  {first}\n |      {second}" in shown
